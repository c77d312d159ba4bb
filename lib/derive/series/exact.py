"""The integral of exp(-a x^2 - epsilon x^4), exactly (chapter `gaussian-integrals`)."""

import math
from typing import NamedTuple

import mpmath
import numpy as np
from jaxtyping import Float
from scipy.special import gamma, ive, kve

from derive._typing import typed
from derive.series._numbers import Real, at_least, broadcast, finite, lost_digits, to_mp

Values = int | float | Float[np.ndarray, "..."]

# For t = |a| / sqrt(epsilon) below this the strong-coupling series has no cancellation to speak
# of, and the Bessel functions' argument u = t^2/8 has not underflowed yet.
_SMALL_T = 0.5
_STRONG = np.array([(-1) ** k * gamma(k / 2 + 0.25) / math.factorial(k) for k in range(24)])


@typed
def quartic_partition(a: Values, epsilon: Values, *, log: bool = False) -> float | np.ndarray:
    r"""The integral $Z(a, \varepsilon) = \int e^{-a x^2 - \varepsilon x^4} dx$ over the real line.

    Book equation `gi-exact`, in exponentially scaled Bessel functions, so that neither small
    nor large couplings overflow; near a = 0 the strong-coupling series `gi-strong`. Relative
    error about 1e-13. O(1) time and memory for each element.

    Args:
        a: Coefficient of x^2, of either sign; broadcasts against epsilon.
        epsilon: Coefficient of x^4, >= 0.
        log: Return log Z, which stays finite where Z overflows (deep double wells).

    Returns:
        Z, or log Z: a float for two numbers, an array otherwise.

    Raises:
        ValueError: If epsilon < 0, or epsilon = 0 with a <= 0 (the integral diverges).
        OverflowError: If Z exceeds the range of float64; log Z does only for a below -1e150.

    Example:
        >>> round(quartic_partition(1, 1), 6)
        1.368427
        >>> round(quartic_partition(-100, 1, log=True), 4)
        2498.6164
    """
    a, epsilon = broadcast(a=a, epsilon=epsilon)
    if not (np.isfinite(a).all() and np.isfinite(epsilon).all()):
        raise ValueError("a and epsilon must be finite, got NaN or infinity.")
    if (epsilon < 0).any() or ((epsilon == 0) & (a <= 0)).any():
        raise ValueError(
            "the integral diverges unless epsilon > 0, or epsilon = 0 and a > 0; "
            f"got epsilon as low as {epsilon.min()} with a as low as {a.min()}."
        )
    logs = np.empty(a.shape)
    t = np.divide(a, np.sqrt(epsilon), out=np.full(a.shape, np.inf), where=epsilon > 0)
    small = np.abs(t) < _SMALL_T
    logs[small] = _log_small(t[small], epsilon[small])
    logs[~small & (a > 0)] = _log_single_well(t[~small & (a > 0)], a[~small & (a > 0)])
    logs[~small & (a < 0)] = _log_double_well(t[~small & (a < 0)], a[~small & (a < 0)])
    if np.isinf(logs).any():
        raise OverflowError(f"even log Z is beyond float64, got a as low as {a.min()}.")
    if not log and (logs > 709.78).any():
        raise OverflowError(
            f"Z is about exp({logs.max():.6g}), beyond float64: ask for log=True instead."
        )
    result = logs if log else np.exp(logs)
    return float(result) if result.ndim == 0 else result


def _log_small(t: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
    return np.log(0.5 * np.polynomial.polynomial.polyval(t, _STRONG)) - 0.25 * np.log(epsilon)


def _log_single_well(t: np.ndarray, a: np.ndarray) -> np.ndarray:
    # F = Z / sqrt(pi/a) = sqrt(2u/pi) e^u K_{1/4}(u); past u = 1e9 the Bessel function has
    # nothing to add to 1 - 3g/4, g = 1/(8u), and u may overflow.
    with np.errstate(divide="ignore", over="ignore"):
        u = np.minimum(t / 8 * t, 1e9)
        g = 1 / t**2
    F = np.where(u < 1e9, np.sqrt(2 * u / np.pi) * kve(0.25, u), 1 - 0.75 * g)
    return np.log(F) + 0.5 * np.log(np.pi / a)


def _log_double_well(t: np.ndarray, a: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        u = t / 8 * t
    # ive loses its accuracy past 1e9, where I_{1/4} + I_{-1/4} is 2 e^u (1 + 3g/4) / sqrt(2 pi u).
    v = np.minimum(u, 1e9)
    scaled = np.sqrt(v) * (ive(0.25, v) + ive(-0.25, v))
    # (pi/2) sqrt(|a| / 2 epsilon) = pi sqrt(u / |a|), since u = a^2 / 8 epsilon
    return 2 * u + np.log(np.pi * scaled) - 0.5 * np.log(-a)


@typed
def quartic_partition_precise(a: Real, epsilon: Real, *, digits: int) -> mpmath.mpf:
    r"""The same integral to any number of digits, from the parabolic cylinder function.

    One formula for every real a (last part of book equation `gi-exact`):
    $\sqrt\pi\,(2\varepsilon)^{-1/4} e^{u}\, U(0, a/\sqrt{2\varepsilon})$, $u = a^2/8\varepsilon$.

    Args:
        a: Coefficient of x^2; give a Fraction, or a decimal string through one, to be exact.
        epsilon: Coefficient of x^4, > 0.
        digits: Correct decimal digits wanted.

    Returns:
        Z as an mpmath number that carries `digits` digits and ten guard digits.

    Raises:
        ValueError: If epsilon <= 0 or digits < 1.

    Example:
        >>> import mpmath
        >>> print(mpmath.nstr(quartic_partition_precise(1, 1, digits=20), 20))
        1.3684268557355087731
    """
    at_least("digits", digits, 1)
    finite("a", a)
    if not finite("epsilon", epsilon) > 0:
        raise ValueError(f"epsilon must be > 0, got {epsilon}; at epsilon = 0, Z = sqrt(pi/a).")
    with mpmath.workdps(digits + 10):
        a, epsilon = to_mp(a), to_mp(epsilon)
        u = a * a / (8 * epsilon)
        U = mpmath.pcfu(0, a / mpmath.sqrt(2 * epsilon))
        return mpmath.sqrt(mpmath.pi) * (2 * epsilon) ** mpmath.mpf(-0.25) * mpmath.exp(u) * U


@typed
def quartic_ratio(g: Real, *, digits: int) -> mpmath.mpf:
    r"""The ratio $F(g) = Z / \sqrt{\pi/a}$ at $g = \varepsilon/a^2$, to any precision.

    Args:
        g: Coupling, > 0.
        digits: Correct decimal digits wanted.

    Returns:
        F, between 0 and 1.

    Raises:
        ValueError: If g <= 0, where the integral does not exist.

    Example:
        >>> import mpmath
        >>> print(mpmath.nstr(quartic_ratio(1, digits=15), 15))
        0.772052177852982
    """
    value = quartic_partition_precise(1, g, digits=digits)
    with mpmath.workdps(digits + 10):
        return value / mpmath.sqrt(mpmath.pi)


class StrongCouplingSum(NamedTuple):
    """A partial sum of the strong-coupling series and what it cost."""

    value: mpmath.mpf
    largest_term: mpmath.mpf
    lost_digits: int


@typed
def strong_coupling_sum(
    a: Real, epsilon: Real, *, terms: int, working_digits: int = 15, wanted_digits: int = 6
) -> StrongCouplingSum:
    r"""Partial sum of the strong-coupling series, which converges for every real a.

    Computes $\frac12\varepsilon^{-1/4}\sum_{k<\text{terms}} \frac{t^k}{k!}\Gamma(\frac k2+\frac14)$
    with $t = -a/\sqrt\varepsilon$ (book equation `gi-strong`) in O(terms) time. The sum converges,
    yet for small coupling its terms grow enormous before they fall: rounded at too low a
    precision they leave nothing, and this function says so instead of returning it.

    Args:
        a: Coefficient of x^2, either sign.
        epsilon: Coefficient of x^4, > 0.
        terms: Number of terms, >= 1.
        working_digits: Decimal digits of the arithmetic; 15 is float64.
        wanted_digits: Digits that must survive the cancellation.

    Returns:
        The value, the largest term (same prefactor) and the digits lost to cancellation.

    Raises:
        ValueError: If epsilon <= 0, terms < 1, or fewer than wanted_digits digits survive.

    Example:
        >>> round(float(strong_coupling_sum(0, 1, terms=1).value), 6)
        1.812805
    """
    at_least("terms", terms, 1)
    finite("a", a)
    if not finite("epsilon", epsilon) > 0:
        raise ValueError(f"the expansion in 1/sqrt(epsilon) needs epsilon > 0, got {epsilon}.")
    with mpmath.workdps(working_digits):
        t = -to_mp(a) / mpmath.sqrt(to_mp(epsilon))
        scale = to_mp(epsilon) ** mpmath.mpf(-0.25) / 2
        series = [
            scale * t**k / mpmath.factorial(k) * mpmath.gamma(mpmath.mpf(2 * k + 1) / 4)
            for k in range(terms)
        ]
        total, largest = mpmath.fsum(series), max(abs(term) for term in series)
        lost = lost_digits(largest, total)
        if working_digits - lost < wanted_digits:
            raise ValueError(
                f"terms as large as {mpmath.nstr(largest, 2)} cancel down to about "
                f"{mpmath.nstr(total, 2)}: {lost} of {working_digits} digits are lost, fewer than "
                f"{wanted_digits} remain. Raise working_digits to {lost + wanted_digits} or more, "
                "add terms if they still grow, or use quartic_partition at so small a coupling."
            )
        return StrongCouplingSum(total, largest, lost)
