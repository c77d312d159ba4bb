"""Sequence transformations: Shanks, Levin, Weniger (chapter `gaussian-integrals`)."""

import math
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from derive._typing import typed
from derive.series._numbers import (
    Coefficients,
    Real,
    at_least,
    coefficients,
    enough,
    finite,
    unit_roundoff,
)

Remainder = Literal["next", "t", "u", "v"]


@typed
def shanks(s: Coefficients) -> Real:
    r"""Shanks' transform of a sequence, by Wynn's epsilon algorithm.

    For the partial sums $S_0, \dots, S_{2N}$ of a power series it is the Padé approximant
    [N/N], found without a linear system: O(n²) operations, O(n) memory. Exact on exact input;
    with an even number of members the first is not used.

    Args:
        s: Members of the sequence, at least one.

    Returns:
        The last entry of the last even column. A column that has become constant is returned
        at once: the sequence was a sum of geometric ones, and its limit has been reached.

    Raises:
        TypeError: If a member is no real number.
        ValueError: If there is none, or one is not finite.
        ArithmeticError: If two neighbours of an odd column agree, where the algorithm breaks
            down; drop a member, or use `levin`.

    Source:
        Wynn 1956.

    Example:
        >>> shanks([1, Fraction(1, 2), Fraction(3, 4)])  # 1 - 1/2 + 1/4 - ...
        Fraction(2, 3)
    """
    s = coefficients("s", enough(s, 1, "a sequence transformation"))
    s = s[1 - len(s) % 2 :]
    before: list[Real] = [0] * (len(s) + 1)
    column: list[Real] = [Fraction(x) if isinstance(x, int) else x for x in s]
    for k in range(1, len(s)):
        steps = [y - x for x, y in pairwise(column)]
        if any(step == 0 for step in steps):
            if k % 2:  # an even column (k counts from 1) repeats itself: converged
                return column[-1]
            raise ArithmeticError(
                f"Shanks: column {k - 1} has two equal neighbours, so column {k} is undefined; "
                "drop a member of the sequence, or use levin."
            )
        new = [p + 1 / step for p, step in zip(before[1:], steps, strict=False)]
        before, column = column, new
    return column[-1]


@typed
def levin(
    terms: Coefficients,
    *,
    beta: Real = 1,
    remainder: Remainder = "next",
    wanted: float = 1e-8,
) -> Real:
    r"""Levin's transform of the series whose terms are given.

    $$\frac{\sum_j (-1)^j \binom kj (\beta+j)^{k-1} S_j/\omega_j}
           {\sum_j (-1)^j \binom kj (\beta+j)^{k-1} / \omega_j},\qquad S_j=\sum_{i\le j}a_i,$$
    where $\omega_j$ estimates the remainder of S_j. O(k) operations after O(k) for the weights.

    Args:
        terms: a_0, a_1, ..., with their signs; for remainder "next" and "v" the last term only
            serves as an estimate, so that n terms give order k = n - 2, else k = n - 1.
        beta: Positive parameter of the weights.
        remainder: "next": a_{j+1} (Smith and Ford); "t": a_j; "u": (beta + j) a_j;
            "v": a_j a_{j+1} / (a_j - a_{j+1}).
        wanted: Relative accuracy that rounded input must still allow.

    Returns:
        The estimate of the sum, exact if the terms are.

    Raises:
        ValueError: If beta <= 0, there are too few terms, a term used as an estimate is 0, or
            the terms are rounded so coarsely that the transform amplifies it beyond `wanted`.
        TypeError: If a term is no real number.

    Source:
        Levin 1973; notation of Weniger 1989, section 7.

    Example:
        >>> round(float(levin([Fraction((-1) ** n, n + 1) for n in range(10)])), 8)  # log 2
        0.69314718
    """
    return _transform(terms, beta, remainder, wanted, lambda x, k: x ** (k - 1), "levin")


@typed
def weniger_delta(
    terms: Coefficients,
    *,
    beta: Real = 1,
    remainder: Remainder = "next",
    wanted: float = 1e-8,
) -> Real:
    r"""Weniger's delta transform of the series whose terms are given.

    Levin's formula with the power $(\beta+j)^{k-1}$ replaced by the rising factorial
    $(\beta+j)_{k-1}$, which suits terms that grow like factorials.

    Args:
        terms: a_0, a_1, ..., with their signs, as in `levin`.
        beta: Positive parameter of the weights.
        remainder: Estimate of the remainder, as in `levin`.
        wanted: Relative accuracy that rounded input must still allow.

    Returns:
        The estimate of the sum, exact if the terms are.

    Raises:
        TypeError, ValueError: As in `levin`.

    Source:
        Weniger 1989, section 8.

    Example:
        >>> terms = [Fraction((-1) ** n * math.factorial(n)) for n in range(16)]
        >>> round(float(weniger_delta(terms)), 7)  # the integral of exp(-x) / (1 + x)
        0.5963474
    """
    return _transform(terms, beta, remainder, wanted, _rising, "weniger_delta")


def _rising(x, k):
    return math.prod((x + i for i in range(k - 1)), start=x**0)


def _transform(terms, beta, remainder, wanted, weight, name):
    if not finite("beta", beta) > 0:
        raise ValueError(f"beta must be > 0, got {beta}.")
    if not wanted > 0:
        raise ValueError(f"wanted must be > 0, got {wanted}.")
    ahead = remainder in ("next", "v")
    k = at_least("the order of the transform", len(terms) - 1 - ahead, 1)
    # int / int would be a float: make integers exact before dividing
    a = [Fraction(x) if isinstance(x, int) else x for x in coefficients("terms", terms)]
    if 0 in a[: k + 1 + ahead]:
        raise ValueError(
            f"{name}: a zero term cannot estimate a remainder, got 0 as term {a.index(0)}; leave "
            "zeros out."
        )
    sums, weights, total = [], [], 0
    for j in range(k + 1):
        total = total + a[j]
        sums.append(total)
        omega = _estimate(a, j, beta, remainder)
        weights.append((-1) ** j * math.comb(k, j) * weight(beta + j, k) / omega)
    top, bottom = [w * s for w, s in zip(weights, sums, strict=True)], weights
    amplification = max(
        float(sum(map(abs, p)) / abs(sum(p))) if sum(p) else math.inf for p in (top, bottom)
    )
    noise = unit_roundoff(a) * amplification
    if noise > wanted:
        raise ValueError(
            f"{name} amplifies the rounding of these terms {amplification:.1e} times, to a "
            f"relative {noise:.1e} > wanted={wanted:.0e}: give exact terms (Fractions) or more "
            "digits (mpmath), lower the order, or raise wanted."
        )
    return sum(top) / sum(bottom)


def _estimate(a, j, beta, remainder):
    if remainder == "next":
        return a[j + 1]
    if remainder == "t":
        return a[j]
    if remainder == "u":
        return (beta + j) * a[j]
    return a[j] * a[j + 1] / (a[j] - a[j + 1])
