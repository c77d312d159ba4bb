"""Choosing the Gaussian: bounds and the optimised expansion (chapter `gaussian-integrals`)."""

import math
from functools import lru_cache
from typing import NamedTuple

import mpmath
import numpy as np
from jaxtyping import Float

from derive._typing import typed
from derive.series._numbers import Real, at_least, broadcast, finite, lost_digits, to_mp

Values = int | float | Float[np.ndarray, "..."]


def _root(a, product):
    """Return the positive A with A (A - a) = product, without cancellation for a < 0."""
    discriminant = np.sqrt(a * a + 4 * product)
    return np.where(a > 0, (a + discriminant) / 2, 2 * product / (discriminant - np.minimum(a, 0)))


def _prepared(a: Values, epsilon: Values) -> tuple[np.ndarray, np.ndarray]:
    a, epsilon = broadcast(a=a, epsilon=epsilon)
    if not (np.isfinite(a).all() and np.isfinite(epsilon).all() and (epsilon > 0).all()):
        raise ValueError(
            f"a must be finite and epsilon finite and > 0, got epsilon as low as {epsilon.min()}; "
            "at epsilon = 0 the integral is sqrt(pi/a) and nothing is to be chosen."
        )
    if (np.abs(a) > 1e150).any() or (epsilon > 1e300).any():
        raise ValueError(
            f"a and epsilon must leave room for a^2 and 12 epsilon, got them up to "
            f"{np.abs(a).max()} and {epsilon.max()}."
        )
    return a, epsilon


def _plain(x: np.ndarray) -> float | np.ndarray:
    return float(x) if x.ndim == 0 else x


@typed
def gaussian_bound(
    a: Values, epsilon: Values, *, best: bool = True, log: bool = False
) -> float | np.ndarray:
    r"""Lower bound on $Z(a,\varepsilon)$ from a single Gaussian $e^{-Ax^2}$ (Gibbs–Bogoliubov).

    With best=True, $\sqrt{\pi/A}\,e^{3\varepsilon/4A^2}$ at
    $A = \frac12(a+\sqrt{a^2+12\varepsilon})$, the evidence lower bound of the best Gaussian (book
    equation `gi-gibbs`); otherwise $\sqrt{\pi/A}$ at $A = \frac12(a+\sqrt{a^2+6\varepsilon})$,
    where the first-order correction vanishes (`gi-fac`). Any real a; O(1) for each element.

    Args:
        a: Coefficient of x^2, either sign.
        epsilon: Coefficient of x^4, > 0.
        best: Take the best Gaussian.
        log: Return the logarithm of the bound.

    Returns:
        The bound: a float for two numbers, an array otherwise.

    Raises:
        ValueError: If epsilon <= 0.

    Example:
        >>> round(gaussian_bound(1, 1), 5), round(gaussian_bound(1, 1, best=False), 5)
        (1.34547, 1.31279)
    """
    a, epsilon = _prepared(a, epsilon)
    A = _root(a, (3 if best else 1.5) * epsilon)
    logs = 0.5 * np.log(np.pi / A) + (0.75 * epsilon / A**2 if best else 0.0)
    return _plain(logs if log else np.exp(logs))


GAMMA = 16 * math.pi**2 / math.gamma(0.25) ** 4


@typed
def two_point_approximant(a: Values, epsilon: Values) -> float | np.ndarray:
    r"""Closed formula for Z within 0.66 % for every $a \ge 0$ and $\varepsilon > 0$.

    $\sqrt{\pi/A}$ with $A = (1-\frac\gamma3)a + \sqrt{(\gamma a/3)^2 + \gamma\varepsilon}$ and
    $\gamma = 16\pi^2/\Gamma(\frac14)^4$: right to first order in $\varepsilon$ and at a = 0
    (book equation `gi-twopoint`). O(1) for each element.

    Args:
        a: Coefficient of x^2, >= 0.
        epsilon: Coefficient of x^4, > 0.

    Returns:
        The approximation: a float for two numbers, an array otherwise.

    Raises:
        ValueError: If a < 0 (the formula knows nothing of the double well) or epsilon <= 0.

    Example:
        >>> round(two_point_approximant(0, 1), 6)  # exact there
        1.812805
    """
    a, epsilon = _prepared(a, epsilon)
    if (a < 0).any():
        raise ValueError(f"the formula holds for a >= 0, got {a.min()}: use quartic_partition.")
    A = (1 - GAMMA / 3) * a + np.sqrt((GAMMA * a / 3) ** 2 + GAMMA * epsilon)
    return _plain(np.sqrt(np.pi / A))


class DeltaExpansion(NamedTuple):
    """One order of the re-expanded series, and the Gaussian that it was taken around."""

    value: mpmath.mpf
    A: mpmath.mpf
    is_lower_bound: bool


@typed
def delta_expansion(
    order: int,
    a: Real,
    epsilon: Real,
    *,
    A: Real | None = None,
    digits: int = 15,
    working_digits: int | None = None,
) -> DeltaExpansion:
    r"""The integral re-expanded around the Gaussian $e^{-Ax^2}$, to a given order K.

    $Z_K(A) = \sum_{n\le K}\frac{(-1)^n}{n!}\int e^{-Ax^2}\,[(a-A)x^2+\varepsilon x^4]^n dx$ (book
    equation `gi-oddbound`). For odd K it is a lower bound on Z for every A > 0; without A given,
    the largest, at the one stationary point $A(A-a) = r_K\varepsilon$ (`stationary_ratio`).
    O(K²) operations; the working precision follows from the cancellation met.

    Args:
        order: K >= 0.
        a: Coefficient of x^2, either sign.
        epsilon: Coefficient of x^4, > 0.
        A: The Gaussian to expand around, > 0; None for the best, which only odd orders have.
        digits: Correct digits wanted.
        working_digits: Precision to compute at, instead of as much as it takes.

    Returns:
        Z_K, A, and whether Z_K is a lower bound (K odd).

    Raises:
        ValueError: If order < 0, epsilon <= 0 or A <= 0; if the order is even and no A is given
            (Z_K then falls with A for ever); if working_digits is too low for the cancellation.

    Source:
        Buckley, Duncan and Jones 1993, where the convergence is proved.

    Example:
        >>> round(float(delta_expansion(9, 1, 1).value), 6)  # exact: 1.368427
        1.368414
    """
    at_least("order", order, 0)
    at_least("digits", digits, 1)
    finite("a", a)
    if not finite("epsilon", epsilon) > 0:
        raise ValueError(f"epsilon must be > 0, got {epsilon}: without it there is no correction.")
    if A is None and order % 2 == 0:
        raise ValueError(
            f"order {order} is even: Z_K falls with A for ever and has no best A; take order "
            f"{order + 1}, or give A."
        )
    if A is not None and not finite("A", A) > 0:
        raise ValueError(f"the Gaussian exp(-A x^2) needs A > 0, got {A}.")
    precision = working_digits or digits + 10
    while True:
        with mpmath.workdps(precision):
            around = _best_gaussian(order, to_mp(a), to_mp(epsilon)) if A is None else to_mp(A)
            total, largest = _reexpanded(order, 1 - to_mp(a) / around, to_mp(epsilon) / around**2)
            lost = lost_digits(largest, total)
            if precision - lost >= digits + (0 if working_digits else 5):
                value = mpmath.sqrt(mpmath.pi / around) * total
                return DeltaExpansion(value, around, order % 2 == 1)
        if working_digits:
            raise ValueError(
                f"order {order}: terms as large as {mpmath.nstr(largest, 2)} cancel, and "
                f"{lost} of {working_digits} working digits with them, fewer than "
                f"digits={digits} remain; raise working_digits to {digits + lost}, or leave it out."
            )
        precision = max(2 * precision, digits + lost + 10)


def _reexpanded(order: int, b, eta):
    """Return Z_K / sqrt(pi/A) and its largest term, for b = 1 - a/A and eta = epsilon/A^2.

    The term with j quartic and i quadratic vertices is b^i/i! (-eta)^j/j! (1/2)_{i+2j}.
    """
    total, largest = 0, 1
    quartic = b**0  # the term with i = 0
    for j in range(order + 1):
        term = quartic
        for i in range(order - j + 1):
            total, largest = total + term, max(largest, abs(term))
            term = term * b * (2 * (i + 2 * j) + 1) / (2 * (i + 1))
        quartic = -quartic * eta * (4 * j + 1) * (4 * j + 3) / (4 * (j + 1))
    return total, largest


def _best_gaussian(order: int, a: mpmath.mpf, epsilon: mpmath.mpf) -> mpmath.mpf:
    product = stationary_ratio(order, digits=mpmath.mp.dps) * epsilon
    discriminant = mpmath.sqrt(a * a + 4 * product)
    return (a + discriminant) / 2 if a > 0 else 2 * product / (discriminant - a)


@lru_cache(maxsize=512)
@typed
def stationary_ratio(order: int, *, digits: int = 15) -> mpmath.mpf:
    r"""The number $r_K = A(A-a)/\varepsilon$ at which $Z_K(A)$ is stationary, for odd K.

    The same for every a and epsilon: the only real zero of
    $\sum_j\binom Kj(-r)^{K-j}(K+\frac32)_j$, which falls strictly (book equation
    `gi-stationary`). For large K it approaches 1.3255 K.

    Args:
        order: K, odd.
        digits: Correct digits.

    Returns:
        r_K.

    Raises:
        ValueError: If the order is even (no zero) or negative.

    Example:
        >>> print(mpmath.nstr(stationary_ratio(1), 6))
        2.5
    """
    if at_least("order", order, 1) % 2 == 0:
        raise ValueError(f"order {order} is even: dZ_K/dA has one sign and never vanishes.")
    # The zero is simple, but the terms cancel: about half a digit an order.
    with mpmath.workdps(digits + 10 + order):
        coefficients, rising = [], mpmath.mpf(1)
        for j in range(order + 1):  # coefficient of r^(K-j)
            coefficients.append((-1) ** (order - j) * math.comb(order, j) * rising)
            rising *= mpmath.mpf(2 * (order + j) + 3) / 2
        return mpmath.findroot(
            lambda r: mpmath.polyval(coefficients, r),
            (mpmath.mpf(1), mpmath.mpf(2 * order + 2)),
            solver="anderson",
            tol=mpmath.mpf(10) ** (-2 * mpmath.mp.dps),
            verify=False,
            maxsteps=400,
        )
