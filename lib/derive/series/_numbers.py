"""What every module of `derive.series` asks of the numbers it is given."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TypeAlias

import mpmath
import numpy as np

# beartype does not read `float` as "float or int"; coefficients may also be exact or long.
Real: TypeAlias = int | float | Fraction | mpmath.mpf
Number: TypeAlias = int | float | complex | Fraction | mpmath.mpf | mpmath.mpc
Coefficients: TypeAlias = Sequence[Real]
FLOAT_EPS = 2.0**-53


def broadcast(**given: int | float | np.ndarray) -> list[np.ndarray]:
    """Return the arguments as float arrays of one shape, or refuse what does not fit together."""
    arrays = [np.asarray(value, float) for value in given.values()]
    try:
        return list(np.broadcast_arrays(*arrays))
    except ValueError:
        shapes = " and ".join(str(array.shape) for array in arrays)
        raise ValueError(f"{' and '.join(given)} must broadcast, got shapes {shapes}.") from None


def coefficients(name: str, c: Coefficients) -> list[Real]:
    """Return numbers as a list, all of them looked at: none of another kind, none not finite.

    Fractions beside an mpmath number are rounded to one, since they do not add to it.
    """
    if isinstance(c, str) or not isinstance(c, Sequence):
        raise TypeError(f"{name} must be a sequence of numbers, got {c!r}.")
    for n, x in enumerate(c):
        real(f"{name}[{n}]", x)
    if any(isinstance(x, mpmath.mpf) for x in c):
        return [to_mp(x) for x in c]
    return list(c)


def real(name: str, x: Real) -> Real:
    """Return a number, or refuse what is none, and NaN and infinity."""
    if isinstance(x, bool) or not isinstance(x, Real):
        raise TypeError(f"{name} must be a real number, got {x!r}.")
    return finite(name, x)


def representable(name: str, numbers: list[Real]) -> list[Real]:
    """Return results, or say that floats were too short for them."""
    for n, x in enumerate(numbers):
        if isinstance(x, float) and not math.isfinite(x):
            raise ValueError(f"{name}: number {n} overflows, got {x}; give exact ones (Fractions).")
    return numbers


def finite(name: str, value: Real) -> Real:
    """Return the value, or refuse NaN and infinity."""
    if not (isinstance(value, Fraction | int) or mpmath.isfinite(value)):
        raise ValueError(f"{name} must be finite, got {value}.")
    return value


def positive_coupling(g: Real, why: str) -> Real:
    """Return the coupling, or say why it has to be positive."""
    if not finite("the coupling g", g) > 0:
        raise ValueError(f"the coupling g must be > 0, got {g}: {why}")
    return g


def at_least(name: str, value: int, least: int) -> int:
    """Return a count, or refuse one that is too small."""
    if value < least:
        raise ValueError(f"{name} must be >= {least}, got {value}.")
    return value


def enough(c: Coefficients, needed: int, what: str) -> Coefficients:
    """Return the coefficients, or say how many more are needed."""
    if len(c) < needed:
        raise ValueError(f"{what} needs {needed} coefficients, got {len(c)}: supply more.")
    return c


def to_mp(x: Number) -> mpmath.mpf | mpmath.mpc:
    """Convert to mpmath at the working precision in force (fractions are rounded there)."""
    if isinstance(x, Fraction):
        return mpmath.mpf(x.numerator) / x.denominator
    return mpmath.mpmathify(x)


def like(x: Number | np.ndarray):
    """Return the conversion that brings exact coefficients to the kind of number x is."""
    if isinstance(x, int | Fraction):
        return Fraction
    if isinstance(x, mpmath.mpf | mpmath.mpc):
        return to_mp
    return float


def exact(x: Real) -> Fraction:
    """Convert to a fraction without rounding (a float is the binary fraction it stores)."""
    real("every coefficient", x)
    if isinstance(x, mpmath.mpf):
        sign, mantissa, exponent, _ = x._mpf_
        return Fraction((-1) ** sign * mantissa) * Fraction(2) ** exponent
    return Fraction(x)


def unit_roundoff(numbers: Sequence[Real]) -> float:
    """Return the relative rounding of the least precise number; 0 if all are exact."""
    if all(isinstance(x, int | Fraction) for x in numbers):
        return 0.0
    if any(isinstance(x, float) for x in numbers):
        return FLOAT_EPS
    return 2.0 ** -float(mpmath.mp.prec)


def lost_digits(largest: Real, total: Real) -> int:
    """Return how many decimal digits cancel when terms up to `largest` sum to `total`."""
    if total == 0:
        raise ValueError("the sum cancels completely: raise the working precision.")
    return max(0, math.ceil(float(mpmath.log10(abs(to_mp(largest) / to_mp(total))))))
