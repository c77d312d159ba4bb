"""Borel sums: dividing the factorials out and integrating them back (`gaussian-integrals`)."""

import math
from collections.abc import Callable
from fractions import Fraction

import mpmath
import numpy as np

from derive._typing import typed
from derive.series._numbers import (
    Coefficients,
    Real,
    at_least,
    enough,
    exact,
    finite,
    positive_coupling,
    to_mp,
)
from derive.series.coefficients import Enclosure
from derive.series.pade import pade, pade_enclosure

_WHY = "for g < 0 the path of integration runs into the singularities of the Borel transform."
# Rounding and quadrature error of the float64 sums below, relative; tests/lib hold it to this.
_QUADRATURE = 1e-13


@typed
def borel_coefficients(c: Coefficients) -> list[Fraction]:
    """The coefficients $b_n = c_n / n!$ of the Borel transform, exactly.

    Args:
        c: Coefficients of a power series, with or without signs.

    Returns:
        A list as long as c.

    Raises:
        TypeError: If a coefficient is no real number.
        ValueError: If one is not finite.

    Example:
        >>> [str(b) for b in borel_coefficients([1, -1, 2, -6])]
        ['1', '-1', '1', '-1']
    """
    return [exact(x) / math.factorial(n) for n, x in enumerate(c)]


@typed
def laplace(B: Callable, g: Real, *, digits: int | None = None) -> float | mpmath.mpf:
    r"""The integral $\int_0^\infty e^{-s} B(g s)\, ds$ for a function B smooth on the half line.

    Args:
        B: Function of an array of floats, or of one mpmath number if `digits` is given.
        g: Coupling, > 0.
        digits: None for float64 (double-exponential rule, 150 points); otherwise the digits.

    Returns:
        The integral.

    Raises:
        ValueError: If g <= 0.

    Source:
        Takahasi and Mori 1974 for the substitution s = exp(t - exp(-t)).

    Example:
        >>> round(laplace(lambda x: 1 / (1 + x), 1), 12)
        0.596347362323
    """
    positive_coupling(g, _WHY)
    if digits is None:
        t = np.linspace(-4.6, 4.1, 150)
        s = np.exp(t - np.exp(-t))
        weight = np.exp(-s) * s * (1 + np.exp(-t)) * (t[1] - t[0])
        return float(weight @ B(float(g) * s))
    with mpmath.workdps(at_least("digits", digits, 1) + 10):
        g = to_mp(g)
        # The bend of B is near s = 1/g: give tanh-sinh a node there.
        stops = sorted({mpmath.mpf(0), min(1 / g, 5), mpmath.mpf(10), mpmath.mpf(40), mpmath.inf})
        return mpmath.quad(lambda s: mpmath.exp(-s) * B(g * s), stops)


@typed
def borel_pade(
    c: Coefficients, g: Real, L: int, M: int, *, digits: int | None = None
) -> float | mpmath.mpf:
    r"""Borel–Padé sum: the Padé approximant [L/M] of the Borel transform, integrated back.

    Args:
        c: Coefficients of the power series with their signs, at least L + M + 1.
        g: Coupling, > 0.
        L: Degree of the numerator.
        M: Degree of the denominator.
        digits: None for float64, otherwise the correct digits of the integration.

    Returns:
        The sum.

    Raises:
        ValueError: If g <= 0, or the approximant has a pole on the positive axis, where the
            integral has no meaning by itself.
        ArithmeticError: If the approximant does not exist (a degenerate entry of the Padé table).

    Example:
        >>> round(borel_pade([(-1) ** n * math.factorial(n) for n in range(3)], 1, 0, 1), 12)
        0.596347362323
    """
    positive_coupling(g, _WHY)
    approximant = pade(borel_coefficients(c), L, M)
    for pole in approximant.poles():
        if pole.real > 0 and abs(pole.imag) < 1e-10 * abs(pole):
            raise ValueError(
                f"the Padé approximant [{L}/{M}] of the Borel transform has a pole at "
                f"{mpmath.nstr(pole.real, 4)}, on the positive axis: take another [L/M]; if they "
                "all have one (series whose signs do not alternate), the sum is ambiguous."
            )
    # mypy takes no named tuple for a callable, not even one with __call__.
    return laplace(approximant, g, digits=digits)  # type: ignore[arg-type]


@typed
def borel_conformal(
    c: Coefficients, g: Real, *, singularity: Real = Fraction(-1, 4), digits: int | None = None
) -> float | mpmath.mpf:
    r"""Borel sum by a conformal map of the cut plane to the unit disk.

    With the singularity of the Borel transform at $-\rho$, the variable
    $w = (\sqrt{1+x/\rho}-1)/(\sqrt{1+x/\rho}+1)$ takes the plane cut along $(-\infty,-\rho]$ to
    $|w|<1$; the transform, re-expanded in w (exactly), converges on the whole path.

    Args:
        c: Coefficients of the power series with their signs.
        g: Coupling, > 0.
        singularity: The nearest singularity of the Borel transform, < 0; every other one has to
            lie beyond it on the negative axis.
        digits: None for float64, otherwise the correct digits of the integration.

    Returns:
        The sum.

    Raises:
        ValueError: If g <= 0, or singularity >= 0 or not finite.

    Example:
        >>> c = [(-1) ** n * math.factorial(n) for n in range(21)]
        >>> round(borel_conformal(c, 1, singularity=-1), 6)
        0.596347
    """
    positive_coupling(g, _WHY)
    if not finite("the singularity", singularity) < 0:
        raise ValueError(f"the singularity must be < 0, got {singularity}: {_WHY}")
    rho = -exact(singularity)
    b = borel_coefficients(enough(c, 1, "a Borel sum"))
    # x = 4 rho w / (1-w)^2, and the coefficient of w^m in w^n (1-w)^(-2n) is C(m+n-1, m-n)
    d = [b[0]] + [
        sum(b[n] * (4 * rho) ** n * math.comb(m + n - 1, m - n) for n in range(1, m + 1))
        for m in range(1, len(b))
    ]
    if digits is None:
        coefficients, root = np.array([float(x) for x in d]), np.sqrt
        scale = float(rho)

        def B(x):
            y = root(1 + x / scale)
            return np.polynomial.polynomial.polyval((y - 1) / (y + 1), coefficients)

        return laplace(B, g)
    with mpmath.workdps(digits + 10):
        largest_first, scale = [to_mp(x) for x in reversed(d)], to_mp(rho)

        def B_precise(x):
            y = mpmath.sqrt(1 + x / scale)
            return mpmath.polyval(largest_first, (y - 1) / (y + 1))

        return laplace(B_precise, g, digits=digits)


@typed
def borel_enclosure(c: Coefficients, g: Real) -> Enclosure:
    r"""Two-sided bound on a Borel sum whose Borel transform is a Stieltjes series itself.

    If both the c_n and the $c_n/n!$ are moments of positive variables, the Padé approximants
    [N-1/N] and [N/N] enclose the Borel transform at every point of the path, and their integrals
    enclose the sum, far closer than `pade_enclosure` does from the same numbers (book equation
    `gi-borel-enclose`). For `quartic_coefficients` both hold: the transform is
    $\mathbb E\,1/(1+4xBB')$ with two independent beta variables.

    Args:
        c: Coefficients c_n without signs, at least two.
        g: Coupling, > 0.

    Returns:
        Lower and upper bound in float64, widened by 1e-13 relative for the quadrature.

    Raises:
        ValueError: If g <= 0, or the c_n / n! are no moments of a positive variable.

    Example:
        >>> low, high = borel_enclosure([1, 0.75, 105 / 32, 3465 / 128], 1)
        >>> round(low, 3), round(high, 3)
        (0.748, 0.809)
    """
    b = borel_coefficients(c)
    lower = laplace(lambda x: pade_enclosure(b, x).lower, g)
    upper = laplace(lambda x: pade_enclosure(b, x).upper, g)
    return Enclosure(lower * (1 - _QUADRATURE), upper * (1 + _QUADRATURE))
