"""`identity`: two formulas are the same, by algebra and at random points."""

import random
from collections.abc import Callable, Collection, Mapping
from numbers import Number
from typing import TYPE_CHECKING, Any

from derive.check._record import CheckRefused, Record, Verdict, require_label_and_wrong, settle

if TYPE_CHECKING:  # SymPy costs 0.3 s: it is imported when a formula is first checked
    from sympy import Expr, Symbol

# A version of a formula counts as wrong from this relative difference on: far above the
# precision of the evaluation, far below any factor that matters.
NOTICEABLE = 1e-6


def identity(
    label: str,
    left: "Expr",
    right: "Expr",
    *,
    domain: Mapping["Symbol", tuple[Any, Any]],
    wrong: Mapping[str, "Expr"],
    simplify: "Callable[[Expr], Expr] | None" = None,
    independent_of: "Collection[Symbol]" = (),
    points: int = 50,
    digits: int = 30,
) -> Record:
    r"""Check that two SymPy expressions are equal on a domain.

    Both sides are evaluated at `points` random points of the domain and must agree to `digits`
    significant digits. Then the difference is handed to `simplify`; if it comes out as zero the
    record says *proved*, otherwise *agree*. Points follow from the label, not from a global seed.

    Args:
        label: The claim's label.
        left: One side; integrals, sums and derivatives may be left unevaluated.
        right: The other side, derived in another way.
        domain: For each symbol its range (low, high), ends excluded. Symbols declared
            `integer=True` take whole values, ends included. An end may be an expression in
            symbols listed before.
        wrong: At least two named wrong versions of `right`.
        simplify: What should bring the difference to zero; by default `sympy.simplify`.
        independent_of: Symbols allowed to stand on one side only, because the claim *is* that
            the other side does not depend on them.
        points: How many random points, at least 50.
        digits: How many significant digits must agree, at least 12.

    Raises:
        CheckFailed: If the sides differ at a point, or a wrong version agrees at all of them.
        CheckRefused: If both sides are the same expression, have no free symbol, or one of
            them has a symbol that the other lacks; if a symbol has no domain.

    Example:
        >>> import sympy as sp
        >>> x = sp.Symbol("x")
        >>> identity("double-angle", sp.sin(2 * x), 2 * sp.sin(x) * sp.cos(x), domain={x: (-3, 3)},
        ...          wrong={"no factor 2": sp.sin(x) * sp.cos(x), "squared": 2 * sp.sin(x) ** 2},
        ...         ).figure
        'proved; 30 digits at 50 points'
    """
    import sympy as sp

    require_label_and_wrong(label, wrong)
    left, right = _expression(label, "left", left), _expression(label, "right", right)
    wrong = {name: _expression(label, f"wrong[{name!r}]", it) for name, it in wrong.items()}
    if not isinstance(independent_of, Collection):
        raise TypeError(f"{label}: independent_of must hold symbols, got {independent_of!r}.")
    if not (simplify is None or callable(simplify)):
        raise TypeError(f"{label}: simplify must be a function, got {simplify!r}.")
    if type(points) is not int or type(digits) is not int:
        raise TypeError(f"{label}: points and digits are integers, got {points!r}, {digits!r}.")
    _require_a_question(label, left, right, set(independent_of))
    _require_domain(label, [left, right, *wrong.values()], domain)
    if points < 50 or digits < 12:
        raise CheckRefused(
            f"{label}: needs points >= 50 and digits >= 12, got {points} and {digits}."
        )

    draw = random.Random(label)
    places = [_random_point(domain, draw, digits) for _ in range(points)]
    lefts = [_value(label, left, place, digits) for place in places]

    def judge(version: Any) -> Verdict:
        threshold = sp.Float(10) ** -digits if version is right else sp.Float(NOTICEABLE)
        largest = sp.Float(0)
        for place, value in zip(places, lefts, strict=True):
            other = _value(label, version, place, digits)
            difference = _relative(value, other)
            if difference > threshold:
                where = ", ".join(f"{s} = {sp.N(v, 4)}" for s, v in place.items())
                return Verdict(
                    False,
                    f"differ by {float(difference):.2g} (relative) at {where}",
                    left=f"{left} = {sp.N(value, 12)}",
                    right=f"{version} = {sp.N(other, 12)}",
                    difference=str(sp.N(value - other, 3)),
                )
            largest = max(largest, difference)
        agreement = f"{digits} digits at {points} points"
        if version is right:  # algebra is slow, and cannot show a wrong version wrong
            how = "proved" if _is_zero(left - right, simplify or sp.simplify) else "agree"
            agreement = f"{how}; {agreement}"
        return Verdict(
            True,
            agreement,
            left=str(left),
            right=str(version),
            difference=f"at most {float(largest):.1e} (relative)",
            measured={
                "largest relative difference": float(largest),
                "used": float(largest / threshold),
            },
        )

    return settle(label, "identity", judge, right, wrong)


def _require_a_question(label: str, left: "Expr", right: "Expr", independent_of: set) -> None:
    if left == right:
        raise CheckRefused(f"{label}: both sides are the same expression, {left}; derive one.")
    if not left.free_symbols | right.free_symbols:
        raise CheckRefused(f"{label}: no side has a free symbol; use equal() for two numbers.")
    one_sided = (left.free_symbols ^ right.free_symbols) - independent_of
    if one_sided:
        names = ", ".join(sorted(map(str, one_sided)))
        raise CheckRefused(
            f"{label}: {names} is free on one side only; one side lacks a term, or the claim is "
            "that it does not depend on it (then say so: independent_of=…); "
            f"got {left} and {right}."
        )


def _require_domain(label: str, versions: list["Expr"], domain: Mapping["Symbol", Any]) -> None:
    if not isinstance(domain, Mapping):
        raise TypeError(f"{label}: domain must be a dict of symbols to ends, got {domain!r}.")
    for symbol, ends in domain.items():
        if not isinstance(ends, tuple | list) or len(ends) != 2:
            raise TypeError(f"{label}: the domain of {symbol} must be (low, high), got {ends!r}.")
    free = set().union(*(version.free_symbols for version in versions))
    missing = ", ".join(sorted(str(symbol) for symbol in free - set(domain)))
    if missing:
        raise CheckRefused(
            f"{label}: no domain for {missing}; got domains for "
            f"{', '.join(map(str, domain)) or 'no symbol'}; say domain={{symbol: (low, high)}}."
        )


def _random_point(domain: Mapping, draw: random.Random, digits: int) -> dict:
    import sympy as sp

    point: dict = {}
    for symbol, (low, high) in domain.items():
        low, high = (
            _expression("identity", f"an end of the domain of {symbol}", end).subs(point)
            for end in (low, high)
        )
        if not (low.is_extended_real and high.is_extended_real and low < high):
            raise CheckRefused(f"the domain of {symbol} is empty: ({low}, {high}).")
        if symbol.is_integer:
            point[symbol] = sp.Integer(draw.randint(int(sp.ceiling(low)), int(sp.floor(high))))
        else:
            share = sp.Rational(draw.randint(1, 2**30 - 1), 2**30)
            point[symbol] = sp.nsimplify(low, rational=True) * (1 - share) + share * sp.nsimplify(
                high, rational=True
            )
    return point


def _expression(label: str, what: str, value: Any) -> "Expr":
    """A number or expression as SymPy's; text is not evaluated, not even inside of a list."""
    import sympy as sp

    # Of anything else SymPy would take the text inside, and run that.
    taken = isinstance(value, sp.Basic | Number) and not isinstance(value, bool)
    try:
        expression = sp.sympify(value, strict=True) if taken else None
    except (sp.SympifyError, TypeError, ValueError, RuntimeError):
        expression = None
    if not isinstance(expression, sp.Expr):
        raise TypeError(f"{label}: {what} must be an expression or a number, got {value!r}.")
    return expression


def _value(label: str, expression: "Expr", point: dict, digits: int) -> Any:
    import sympy as sp

    value = sp.N(expression.subs(point).doit(integrals=False, sums=False), digits + 10, maxn=400)
    if not value.is_number or value.is_finite is False or value.has(sp.nan):
        raise CheckRefused(f"{label}: {expression} has no numerical value at {point}: got {value}.")
    return value


def _relative(a: Any, b: Any) -> Any:
    import sympy as sp

    largest = max(abs(a), abs(b))
    return sp.Float(0) if largest == 0 else abs(a - b) / largest


def _is_zero(difference: "Expr", simplify: "Callable[[Expr], Expr]") -> bool:
    return simplify(difference.doit()) == 0
