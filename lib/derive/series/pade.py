"""Padé approximants and the brackets they give (chapter `gaussian-integrals`)."""

from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import mpmath
import numpy as np
from jaxtyping import Float

from derive._typing import typed
from derive.series._numbers import (
    FLOAT_EPS,
    Coefficients,
    Number,
    Real,
    at_least,
    enough,
    exact,
    like,
    positive_coupling,
    to_mp,
)
from derive.series.coefficients import Enclosure


class Rational(NamedTuple):
    """A ratio of two polynomials with exact coefficients, constant terms first."""

    numerator: tuple[Fraction, ...]
    denominator: tuple[Fraction, ...]

    @typed
    def __call__(self, x: Number | np.ndarray) -> Number | np.ndarray:
        """Evaluate at a number (exactly, if it is exact) or at an array of floats.

        Raises:
            ValueError: If x is not finite, is a pole, or so large that floats overflow.
        """
        convert = like(x)
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            top, bottom = (_horner([convert(q) for q in p], x) for p in self)
        if isinstance(x, np.ndarray):
            usable = np.isfinite(top).all() and np.isfinite(bottom).all() and bottom.all()
        else:
            usable = bottom != 0 and all(map(_is_finite, (x, top, bottom)))
        if not usable:
            raise ValueError(
                f"x must be finite, no pole, and not so large that floats overflow, got {x}."
            )
        return top / bottom

    @typed
    def poles(self, *, digits: int = 15) -> list[mpmath.mpf | mpmath.mpc]:
        """Return the zeros of the denominator, to the given number of digits.

        Raises:
            ValueError: If digits < 1.
        """
        at_least("digits", digits, 1)
        denominator = list(self.denominator)
        while len(denominator) > 1 and denominator[-1] == 0:
            denominator.pop()
        with mpmath.workdps(digits + 10):
            largest_first = [to_mp(q) for q in reversed(denominator)]
            return mpmath.polyroots(largest_first, maxsteps=500, extraprec=60 + 8 * digits)


def _is_finite(x: Number) -> bool:
    return isinstance(x, int | Fraction) or bool(mpmath.isfinite(x))


def _horner(p, x):
    total = p[-1]
    for q in reversed(p[:-1]):
        total = total * x + q
    return total


@typed
def pade(c: Coefficients, L: int, M: int) -> Rational:
    r"""Padé approximant [L/M] of $\sum_n c_n x^n$, with exact coefficients.

    The linear system for the denominator is solved in fractions, O(M³) exact operations: in
    float64 it is so ill conditioned that nothing is left at M of about 8 for factorially
    growing coefficients. Floats are taken for the binary fractions that they store.

    Args:
        c: Coefficients of the power series, **with** their signs, at least L + M + 1 of them.
        L: Degree of the numerator.
        M: Degree of the denominator.

    Returns:
        The approximant, denominator normalised to 1 at x = 0; call it to evaluate it.

    Raises:
        TypeError: If a coefficient is no real number.
        ValueError: If L or M is negative, there are too few coefficients, or one is not finite.
        ArithmeticError: If the system is singular (a degenerate entry of the Padé table).

    Example:
        >>> pade([1, -1, 1, -1], 0, 1)(Fraction(1, 2))  # of 1 / (1 + x)
        Fraction(2, 3)
    """
    at_least("L", L, 0)
    at_least("M", M, 0)
    enough(c, L + M + 1, f"the approximant [{L}/{M}]")
    a = [exact(x) for x in c][: L + M + 1]  # all are looked at, though not all are needed
    rows = [
        [a[L + i - j] if L + i >= j else Fraction(0) for j in range(1, M + 1)]
        for i in range(1, M + 1)
    ]
    q = [Fraction(1), *_solve(rows, [-a[L + i] for i in range(1, M + 1)], f"[{L}/{M}]")]
    p = [sum((q[j] * a[i - j] for j in range(min(i, M) + 1)), Fraction(0)) for i in range(L + 1)]
    return Rational(tuple(p), tuple(q))


def _solve(rows: list[list[Fraction]], right: list[Fraction], name: str) -> list[Fraction]:
    """Solve a square system in fractions by elimination."""
    size = len(rows)
    work = [[*row, r] for row, r in zip(rows, right, strict=True)]
    for k in range(size):
        pivot = next((i for i in range(k, size) if work[i][k] != 0), None)
        if pivot is None:
            raise ArithmeticError(
                f"the Padé table is degenerate at {name}: the system for the denominator is "
                f"singular from unknown {k + 1} of {size}; take a denominator of degree {k}."
            )
        work[k], work[pivot] = work[pivot], work[k]
        for i in range(k + 1, size):
            factor = work[i][k] / work[k][k]
            if factor:
                work[i] = [x - factor * y for x, y in zip(work[i], work[k], strict=True)]
    x = [Fraction(0)] * size
    for k in reversed(range(size)):
        x[k] = (work[k][-1] - sum(work[k][j] * x[j] for j in range(k + 1, size))) / work[k][k]
    return x


@typed
def stieltjes_fraction(c: Coefficients) -> list[Fraction]:
    r"""Coefficients $\alpha_k$ of $\frac{c_0}{1+}\frac{\alpha_1 g}{1+}\frac{\alpha_2 g}{1+}\cdots$.

    The continued fraction of $\sum(-1)^n c_n g^n$ by the quotient-difference algorithm in exact
    arithmetic, O(len(c)²) operations. That all $\alpha_k$ are positive is what makes the c_n
    the moments of a positive variable as far as they go; it is the certificate on which
    `pade_enclosure` rests, and a ValueError says where it fails.

    Args:
        c: Coefficients c_n without signs, positive.

    Returns:
        c_0 followed by alpha_1, ..., one number for each coefficient.

    Raises:
        ValueError: If some alpha_k <= 0: no positive variable has these moments, or one with
            finitely many values has (then the fraction ends).

    Example:
        >>> [str(x) for x in stieltjes_fraction([1, 1, 2, 6, 24])]  # c_n = n!
        ['1', '1', '1', '2', '2']
    """
    moments = [exact(x) for x in enough(c, 1, "a continued fraction")]
    if min(moments) <= 0:
        raise ValueError(
            f"the moments must be positive, got {min(moments)}: give c_n without signs."
        )
    alpha = [moments[0]]
    q = [y / x for x, y in pairwise(moments)]
    e = [Fraction(0)] * len(q)
    while q:
        alpha.append(_positive(q[0], len(alpha)))
        e = [q[n + 1] - q[n] + e[n + 1] for n in range(len(q) - 1)]
        if not e:
            break
        alpha.append(_positive(e[0], len(alpha)))
        if min(e) <= 0:
            raise ValueError(
                "the quotient-difference table must be positive, got "
                f"{mpmath.nstr(to_mp(min(e)), 3)}: these coefficients are not the moments of a "
                "positive variable with infinitely many values, so nothing is enclosed."
            )
        q = [q[n + 1] * e[n + 1] / e[n] for n in range(len(e) - 1)]
    return alpha


def _positive(x: Fraction, k: int) -> Fraction:
    if x <= 0:
        raise ValueError(
            f"alpha_{k} must be positive, got {mpmath.nstr(to_mp(x), 3)}: these coefficients are "
            "not the moments of a positive variable with infinitely many values, so nothing is "
            "enclosed."
        )
    return x


@typed
def pade_enclosure(c: Coefficients, g: Real | Float[np.ndarray, "..."]) -> Enclosure:
    r"""The two-sided bound $[N-1/N](g) \le F(g) \le [N/N](g)$ for a Stieltjes series.

    The last two convergents of the continued fraction (book equation `gi-pade`), evaluated from
    the back: only positive numbers are added, so that float64 loses nothing, and the float
    result is widened by its own rounding. With an even number of coefficients the lower bound
    uses the last one, with an odd number the upper. O(len(c)) for each coupling, after
    O(len(c)²) exact operations.

    Args:
        c: Coefficients c_n without signs, at least two, moments of a positive variable.
        g: Coupling > 0; exact numbers give exact bounds.

    Returns:
        Lower and upper bound.

    Raises:
        ValueError: If g <= 0, or if the coefficients fail the test of `stieltjes_fraction`.

    Example:
        >>> pade_enclosure([1, 1, 2], 1)  # the integral of exp(-x)/(1+x) is 0.596...
        Enclosure(lower=Fraction(1, 2), upper=Fraction(2, 3))
    """
    alpha = stieltjes_fraction(enough(c, 2, "an enclosure"))
    if isinstance(g, np.ndarray):
        if not (np.isfinite(g).all() and (g > 0).all()):
            raise ValueError(f"every coupling g must be finite and > 0, got {g.min()}.")
    else:
        positive_coupling(g, "for negative g the series has its cut there.")
    convert = like(g)
    alpha = [convert(x) for x in alpha]
    last, before = _convergent(alpha, g), _convergent(alpha[:-1], g)
    lower, upper = (last, before) if len(alpha) % 2 == 0 else (before, last)
    if convert is float:
        room = 3 * len(alpha) * 2 * FLOAT_EPS  # three roundings a level, all terms positive
        return Enclosure(lower * (1 - room), upper * (1 + room))
    return Enclosure(lower, upper)


def _convergent(alpha, g):
    tail = g**0  # a one of the kind and shape of g
    for x in reversed(alpha[1:]):
        tail = 1 + x * g / tail
    return alpha[0] / tail
