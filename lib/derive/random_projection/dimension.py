"""How many dimensions: exact, bounded, and from below (chapter `jl-lemma`)."""

import math
from typing import Literal

import numpy as np

from derive._typing import typed

Bound = Literal["exact", "chernoff", "dasgupta-gupta", "seed"]


@typed
def chi2_failure(
    k: int | np.integer | np.ndarray, epsilon: float | np.ndarray
) -> float | np.ndarray:
    r"""Probability that a Gaussian projection to k dimensions changes |x|² by epsilon or more.

    $P(|\,\|u\|^2 - 1| \ge \varepsilon)$ for $u \sim N(0, I_k/k)$, exactly: the two tails of a
    chi-square variable (book equation `jl-norm`). O(1) time.

    Args:
        k: Projected dimension; an integer, or an array of them.
        epsilon: Relative error of the squared norm, in (0, 1); a number, or an array.

    Returns:
        The probability; an array where an argument is one (they broadcast).

    Raises:
        TypeError: If k is not made of integers, or epsilon not of floating-point numbers.
        ValueError: If k < 1 or epsilon is outside (0, 1), or two arrays do not broadcast.

    Example:
        >>> round(chi2_failure(1000, 0.2), 8)
        1.307e-05
    """
    from scipy.special import gammainc, gammaincc  # here, not above: importing it takes a while

    _require_arrays(k, epsilon)
    if not np.all(np.asarray(k) >= 1):
        raise ValueError(f"k must be at least 1, got k={k}.")
    if not np.all((np.asarray(epsilon) > 0) & (np.asarray(epsilon) < 1)):
        raise ValueError(f"epsilon must lie in (0, 1), got {epsilon}.")
    half = np.asarray(k) / 2
    tails = gammaincc(half, half * (1 + epsilon)) + gammainc(half, half * (1 - epsilon))
    return tails if np.ndim(tails) else float(tails)


@typed
def min_dim(n: int, epsilon: float, delta: float = 0.05, *, kind: Bound = "exact") -> int:
    r"""Smallest dimension for which the union bound certifies all pairs of n points.

    Smallest k with $\binom n2 P(k) \le \delta$ (book equations `jl-lemma`, `jl-exact-dim`), where
    P is the failure probability of one pair, or a bound on it:

    * `exact`: `chi2_failure`;
    * `chernoff`: $e^{\frac k2(\log(1+\varepsilon)-\varepsilon)}
      + e^{\frac k2(\log(1-\varepsilon)+\varepsilon)}$;
    * `dasgupta-gupta`: $2e^{-\frac k2(\varepsilon^2/2-\varepsilon^3/3)}$; with
      `delta = 1 - 1/n` this is scikit-learn's `johnson_lindenstrauss_min_dim`, rounded up;
    * `seed`: $2e^{-k\varepsilon^2/8}$; with `delta = 1/n` this gives $24\log n/\varepsilon^2$ and
      with `delta = 1 - 1/n` it gives $16\log n/\varepsilon^2$ (from below, within 1 per cent).

    O(log k) evaluations.

    Args:
        n: Number of points, at least 2.
        epsilon: Relative error of *squared* distances, in (0, 1).
        delta: Probability of failure that is allowed, in (0, 1).
        kind: Which failure probability of a pair to use.

    Returns:
        The dimension k.

    Raises:
        ValueError: If n < 2, epsilon or delta is outside (0, 1), or epsilon is so small that no
            dimension up to 2^100 is enough.

    Source:
        Dasgupta & Gupta (Random Struct. Alg. 2003). Unlike theirs, delta is explicit for all.

    Example:
        >>> min_dim(1000, 0.2), min_dim(1000, 0.2, 0.001, kind="seed")
        (1524, 4145)
    """
    _check_points(n, epsilon)
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie in (0, 1), got {delta}.")
    allowed = math.log(delta) - math.log(n) - math.log((n - 1) / 2)
    # Every kind decreases with k: double until it holds, then bisect.
    high = 1
    while _log_failure(high, epsilon, kind) > allowed:
        high *= 2
        if high > 2**100:
            raise ValueError(f"no dimension up to 2^100 is enough, got epsilon={epsilon}.")
    low = high // 2  # fails (or is 0)
    while high - low > 1:
        middle = (low + high) // 2
        if _log_failure(middle, epsilon, kind) > allowed:
            low = middle
        else:
            high = middle
    return high


@typed
def lower_bound_dim(n: int, epsilon: float) -> int:
    r"""Dimension that n unit vectors with all inner products within epsilon cannot do without.

    The largest m such that every smaller dimension k breaks, for some tensor power t,
    $\binom{k+t-1}t \ge \frac n{1+(n-1)\varepsilon^{2t}}$ (book equations `jl-rank` for t = 1,
    `jl-alon` for all t). Each power alone is a valid bound; the best one is taken. O(t log m)
    time.

    Args:
        n: Number of vectors, at least 2.
        epsilon: Largest absolute inner product, in (0, 1).

    Returns:
        The bound on the dimension, at least 2.

    Raises:
        ValueError: If n < 2 or epsilon is outside (0, 1).

    Source:
        Welch (IEEE Trans. IT 1974); Alon (Discrete Math. 2003).

    Example:
        >>> lower_bound_dim(1000, 0.2)
        28
    """
    from scipy.special import gammaln

    _check_points(n, epsilon)
    # Past log n / (2 log 1/eps) the right side stops growing and the left does not; a cap keeps
    # memory bounded as eps -> 1, where leaving powers out only weakens a bound that is small.
    saturated = math.log(n) / (-2 * math.log(epsilon))
    t = np.arange(1, min(2 * int(min(saturated, 1e6)) + 20, 10**6) + 1)
    needed = -np.logaddexp(-math.log(n), math.log1p(-1 / n) + 2 * t * math.log(epsilon))

    def impossible(k: int) -> bool:
        available = gammaln(k + t) - gammaln(t + 1) - gammaln(k)
        # The margin keeps rounding of log-gamma from claiming more than is true.
        return bool(np.any(available < needed - 1e-13 * (gammaln(k + t) + 1)))

    high = 2
    while impossible(high):
        high *= 2
    low = high // 2  # impossible (k = 1 always is)
    while high - low > 1:
        middle = (low + high) // 2
        if impossible(middle):
            low = middle
        else:
            high = middle
    return high


def _log_failure(k: int, epsilon: float, kind: Bound) -> float:
    if kind == "exact":
        # Underflow to 0 happens only far below any delta / n^2 that is allowed.
        return math.log(max(chi2_failure(k, epsilon), 1e-323))
    if kind == "chernoff":
        return float(
            np.logaddexp(
                k / 2 * (math.log1p(epsilon) - epsilon), k / 2 * (math.log1p(-epsilon) + epsilon)
            )
        )
    rate = epsilon**2 / 8 if kind == "seed" else (epsilon**2 / 2 - epsilon**3 / 3) / 2
    return math.log(2) - k * rate


def _require_arrays(k: int | np.integer | np.ndarray, epsilon: float | np.ndarray) -> None:
    k, epsilon = np.asarray(k), np.asarray(epsilon)
    if k.dtype.kind not in "iuf" or epsilon.dtype.kind != "f":
        raise TypeError(
            f"k must hold integers and epsilon floating-point numbers, got {k.dtype} and "
            f"{epsilon.dtype}."
        )
    try:
        np.broadcast_shapes(k.shape, epsilon.shape)
    except ValueError:
        raise ValueError(
            f"k and epsilon must broadcast, got shapes {k.shape} and {epsilon.shape}."
        ) from None


def _check_points(n: int, epsilon: float) -> None:
    if n < 2:
        raise ValueError(f"distances need at least 2 points, got n={n}.")
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon must lie in (0, 1), got {epsilon}.")
