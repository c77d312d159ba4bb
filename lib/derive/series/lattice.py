"""A ring of coupled quartic variables: the Gaussian bound and the exact value."""

import math
from typing import NamedTuple

import numpy as np

from derive._typing import typed
from derive.series._numbers import Real, at_least, finite


class RingBound(NamedTuple):
    """The best Gaussian for a ring."""

    log_bound: float
    variance: float
    precisions: np.ndarray


def _refuse(n: int, a: Real, kappa: Real, epsilon: Real) -> None:
    at_least("the number of variables n", n, 1)
    for name, value in (("a", a), ("kappa", kappa), ("epsilon", epsilon)):
        finite(name, value)
    if kappa < 0 or epsilon <= 0:
        raise ValueError(f"kappa must be >= 0 and epsilon > 0, got {kappa} and {epsilon}.")
    if max(abs(a), kappa, epsilon) > 1e150 or max(abs(a), kappa) > 1e140 * math.sqrt(epsilon):
        raise ValueError(
            f"a, kappa and epsilon are too far apart for floats, got {a}, {kappa} and {epsilon}."
        )


@typed
def ring_gaussian_bound(n: int, a: Real, kappa: Real, epsilon: Real) -> RingBound:
    r"""Lower bound on log Z of a ring of n quartic variables from the best Gaussian.

    For $S = \sum_i a x_i^2 + \kappa(x_{i+1}-x_i)^2 + \varepsilon x_i^4$, x periodic, the best
    Gaussian has the precisions $2A_k$, $A_k = a + 2\kappa(1-\cos\frac{2\pi k}n) + 6\varepsilon s$,
    on the Fourier modes, where $s = \frac1n\sum_k\frac1{2A_k}$ is the variance of each variable;
    the bound is $\frac12\sum_k\log\frac\pi{A_k} + 3n\varepsilon s^2$ (book equation `gi-ring`).
    One equation for s, solved by bisection: O(n) time and memory for each of about 200 steps.

    Args:
        n: Number of variables, >= 1.
        a: Coefficient of x^2, either sign.
        kappa: Coupling of neighbours, >= 0.
        epsilon: Coefficient of x^4, > 0.

    Returns:
        The bound, the variance s, and the A_k.

    Raises:
        ValueError: If n < 1, kappa < 0 or epsilon <= 0, or they differ by more than floats can
            hold.

    Example:
        >>> round(ring_gaussian_bound(1, 1, 0, 1).log_bound, 5)  # log 1.34547
        0.29674
    """
    _refuse(n, a, kappa, epsilon)
    modes = float(a) + 2 * float(kappa) * (1 - np.cos(2 * np.pi * np.arange(n) / n))
    epsilon = float(epsilon)

    def variance(shift):
        return float(np.mean(0.5 / (modes + shift)))

    # shift = 6 epsilon s; shift / (6 epsilon) rises and the variance falls with it: one crossing
    low = max(0.0, -modes.min())
    high = low + 6 * epsilon + 1
    while high / (6 * epsilon) < variance(high):
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if middle / (6 * epsilon) < variance(middle):
            low = middle
        else:
            high = middle
    A = modes + high
    s = variance(high)
    # With s solved to rounding only, the full form of the bound is the safe one to report.
    log_bound = (
        0.5 * np.log(np.pi / A).sum() - ((modes - A) / (2 * A)).sum() - 3 * n * epsilon * s**2
    )
    return RingBound(float(log_bound), s, A)


@typed
def ring_log_partition(n: int, a: Real, kappa: Real, epsilon: Real, *, points: int = 241) -> float:
    r"""Exact log Z of the ring of n quartic variables, by its transfer matrix.

    $Z = \operatorname{tr} T^n$ with $T(x,y) = e^{-V(x)/2 - \kappa(x-y)^2 - V(y)/2}$,
    $V = ax^2+\varepsilon x^4$, discretised by the trapezoidal rule, whose error is exponentially
    small for so smooth and short-ranged a kernel. O(points³) time, O(points²) memory, whatever n.

    Args:
        n: Number of variables, >= 1.
        a: Coefficient of x^2, either sign.
        kappa: Coupling of neighbours, >= 0.
        epsilon: Coefficient of x^4, > 0.
        points: Nodes of the rule.

    Returns:
        log Z.

    Raises:
        ValueError: If n < 1, kappa < 0, epsilon <= 0 or points < 2, they differ by more than
            floats can hold, or the nodes are too far apart for the width of the kernel (raise
            points).

    Example:
        >>> round(ring_log_partition(1, 1, 5, 1), 6), round(math.log(1.3684268557), 6)
        (0.313662, 0.313662)
    """
    _refuse(n, a, kappa, epsilon)
    at_least("points", points, 2)
    a, kappa, epsilon = float(a), float(kappa), float(epsilon)
    lowest = -a * a / (4 * epsilon) if a < 0 else 0.0
    # V - lowest = 80 at the ends: what is cut off is e^-80
    square = (-a + math.sqrt(a * a + 4 * epsilon * (80 + lowest))) / (2 * epsilon)
    if not square > 0:
        raise ValueError(f"epsilon is lost in rounding beside a^2, got {epsilon} and a={a}.")
    x, step = np.linspace(-math.sqrt(square), math.sqrt(square), points, retstep=True)
    widest = 2 * math.pi / math.sqrt(4 * (kappa + abs(a) + math.sqrt(epsilon)) * 36)
    if step > widest:
        raise ValueError(
            f"nodes {step:.3g} apart are too coarse for kappa={kappa:.3g}: raise points to "
            f"{math.ceil(points * step / widest)}."
        )
    half = -0.5 * (a * x**2 + epsilon * x**4 - lowest)
    T = step * np.exp(half[:, None] + half - kappa * (x[:, None] - x) ** 2)
    values = np.linalg.eigvalsh(T)
    top = values[-1]
    return float(n * (math.log(top) - lowest) + math.log(((values / top) ** n).sum()))
