"""The weak-coupling series and what can be squeezed out of it (chapter `gaussian-integrals`)."""

from fractions import Fraction
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Float

from derive._typing import typed
from derive.series._numbers import (
    Coefficients,
    Real,
    at_least,
    coefficients,
    enough,
    exact,
    finite,
    positive_coupling,
    representable,
)


@typed
def quartic_coefficients(order: int, *, dimension: int = 1) -> list[Fraction]:
    r"""Coefficients $c_0, \dots, c_{\text{order}}$ of $F(g) \sim \sum_n (-1)^n c_n g^n$, exactly.

    $c_n = \Gamma(N/2 + 2n) / (\Gamma(N/2)\, n!)$ in N dimensions (book equations `gi-series`
    and `gi-on`), by the ratio of successive coefficients in O(order) exact operations.

    Args:
        order: Last index, >= 0.
        dimension: N, the number of components of x in $e^{-a|x|^2-\varepsilon|x|^4}$.

    Returns:
        The order + 1 coefficients, all positive; `alternating` puts the signs in.

    Raises:
        ValueError: If order < 0 or dimension < 1.

    Example:
        >>> [str(c) for c in quartic_coefficients(3)]
        ['1', '3/4', '105/32', '3465/128']
    """
    at_least("order", order, 0)
    at_least("dimension", dimension, 1)
    half = Fraction(dimension, 2)
    c = [Fraction(1)]
    for n in range(order):
        c.append(c[-1] * (half + 2 * n) * (half + 2 * n + 1) / (n + 1))
    return c


@typed
def alternating(c: Coefficients) -> list[Real]:
    """The coefficients $(-1)^n c_n$ of the power series itself.

    Args:
        c: Coefficients without their signs.

    Returns:
        A list as long as c.

    Raises:
        TypeError: If a coefficient is no real number.
        ValueError: If one is not finite.

    Example:
        >>> alternating([1, 2, 3])
        [1, -2, 3]
    """
    return [-x if n % 2 else x for n, x in enumerate(coefficients("c", c))]


@typed
def series_terms(c: Coefficients, g: Real) -> list[Real]:
    """The terms $(-1)^n c_n g^n$ of the alternating series.

    Exact when c and g are exact: the accelerators below want them so.

    Args:
        c: Coefficients c_n, without signs.
        g: Coupling.

    Returns:
        A list as long as c, of Fractions when both arguments are exact.

    Raises:
        TypeError: If a coefficient is no real number.
        ValueError: If a number is not finite, or a float term overflows.

    Example:
        >>> series_terms([1, 2, 3], 2)
        [1, -4, 12]
    """
    finite("the coupling g", g)
    power: Real = 1
    result: list[Real] = []
    for n, x in enumerate(coefficients("c", c)):
        result.append(-x * power if n % 2 else x * power)
        power = power * g
    return representable("series_terms", result)


@typed
def partial_sums(c: Coefficients, g: Real) -> list[Real]:
    r"""Partial sums $S_n = \sum_{k \le n} (-1)^k c_k g^k$ of the alternating series.

    Args:
        c: Coefficients c_n, without signs.
        g: Coupling; give a Fraction to keep the sums exact.

    Returns:
        S_0, S_1, ...: as many as coefficients.

    Raises:
        TypeError: If a coefficient is no real number.
        ValueError: If a number is not finite, or a float term overflows.

    Example:
        >>> partial_sums([1, 2, 3], 1)
        [1, -1, 2]
    """
    total: Real = 0
    result: list[Real] = []
    for term in series_terms(c, g):
        total = total + term
        result.append(total)
    return result


class Enclosure(NamedTuple):
    """Two numbers with the truth between them."""

    lower: Real | Float[np.ndarray, "..."]
    upper: Real | Float[np.ndarray, "..."]


class Truncation(NamedTuple):
    """The series stopped where its error bound is smallest."""

    order: int
    value: Fraction
    bound: Fraction
    enclosure: Enclosure
    at_smallest_term: bool


@typed
def optimal_truncation(c: Coefficients, g: Real) -> Truncation:
    r"""The alternating series cut just before its smallest term.

    For coefficients that are moments of a positive variable the remainder has the sign of the
    first omitted term and at most its size (book equation `gi-enclose`), so that two successive
    partial sums enclose F. In exact arithmetic; O(len(c)) operations.

    Args:
        c: Coefficients c_0, c_1, ... without signs, at least two.
        g: Coupling, > 0.

    Returns:
        The order kept, the partial sum, the bound on its error, the enclosure, and whether the
        terms grow again after the first omitted one (if not, more coefficients do better).

    Raises:
        ValueError: If g <= 0, where the remainder has no sign, or with fewer than two terms.

    Example:
        >>> best = optimal_truncation(quartic_coefficients(40), Fraction(1, 50))
        >>> best.order, float(f"{float(best.bound):.2g}")
        (12, 5.8e-07)
    """
    enough(c, 2, "optimal truncation")
    positive_coupling(g, "the terms must alternate for the remainder to be bounded by one of them.")
    size = [abs(t) for t in series_terms([exact(x) for x in c], exact(g))]
    omitted = min(range(1, len(size)), key=size.__getitem__)
    # Exact numbers in, exact sums out.
    sums = cast("list[Fraction]", partial_sums([exact(x) for x in c], exact(g)))
    # sums[omitted] includes the first omitted term: it lies on the other side of F.
    lower, upper = sorted([sums[omitted - 1], sums[omitted]])
    return Truncation(
        order=omitted - 1,
        value=sums[omitted - 1],
        bound=size[omitted],
        enclosure=Enclosure(lower, upper),
        at_smallest_term=omitted < len(size) - 1,
    )
