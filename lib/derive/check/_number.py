"""`equal`, `bound`, `order`: claims about computed numbers."""

import numbers
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch

from derive.check._record import CheckRefused, Record, Verdict, require_label_and_wrong, settle


def rounding(terms: int, dtype: torch.dtype = torch.float64) -> float:
    """Relative error that adding up `terms` products in `dtype` may leave: terms * eps.

    Example:
        >>> rounding(64) == 64 * 2**-52
        True
    """
    if not 1 <= number("rounding", "terms", terms) < np.inf:
        raise ValueError(f"rounding needs at least one term, got {terms}.")
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"rounding needs a floating-point dtype, got {dtype!r}.")
    return terms * torch.finfo(dtype).eps


def equal(
    label: str,
    left: Any,
    right: Any,
    *,
    wrong: Mapping[str, Any],
    tolerance: float | None = None,
    because: str | None = None,
    relative_to: Literal["largest", "each", "one"] = "largest",
) -> Record:
    """Check that two independent computations give the same numbers.

    Whole numbers and fractions are compared exactly. Anything else needs a tolerance and the
    reason for it: the error that the computation is known to make, not the one it happened to.

    Args:
        label: The claim's label.
        left: Number, array, tensor or (nested) sequence; one way to compute it.
        right: The same by another way; of the same shape, or a single number.
        wrong: At least two named wrong versions of `right`.
        tolerance: The largest difference that counts as agreement.
        because: One phrase that derives the tolerance ("rounding of 64 additions").
        relative_to: What the difference is divided by: the largest |right| ("largest"), each
            entry's own |right| ("each"), or nothing ("one").

    Raises:
        CheckFailed: If some entry differs by more than the tolerance, or a wrong version does not.
        CheckRefused: If both sides are the same object or memory, empty, not finite or constant;
            if a tolerance or its reason is missing.

    Example:
        >>> equal("triangular", sum(range(11)), 10 * 11 // 2,
        ...       wrong={"n(n-1)/2": 10 * 9 // 2, "n squared": 100}).figure
        'exactly equal'
    """
    require_label_and_wrong(label, wrong)
    _refuse_the_same_thing_twice(label, left, right)
    a, b = _array(label, "left", left), _array(label, "right", right)
    exact = tolerance is None
    limit = 0.0 if exact else number(label, "tolerance", tolerance)
    if exact and not (_is_exact(a) and _is_exact(b)):
        raise CheckRefused(
            f"{label}: numbers with rounding need tolerance= and because=, the reason for it."
        )
    if not exact and not (limit > 0 and because):
        raise CheckRefused(
            f"{label}: needs tolerance > 0 with because=, the reason for it; "
            f"got tolerance={tolerance}, because={because!r}."
        )
    _require_same_shape(label, a, b)
    if a.size > 1 and (a == a.flat[0]).all() and (b == b.flat[0]).all():
        raise CheckRefused(
            f"{label}: both sides are constant over all {a.size} cases; vary what the claim "
            "depends on, or compare two single numbers."
        )

    def judge(version: Any) -> Verdict:
        b = _array(label, "right", version)
        _require_same_shape(label, a, b)
        gap = _distance(a, b, "one" if exact else relative_to)
        worst = np.unravel_index(np.argmax(gap), gap.shape)
        largest = gap[worst]
        if largest <= limit:
            agree = "exactly equal" if exact else f"equal within {limit:.1e} ({because})"
            cases = f", {a.size} cases" if a.size > 1 else ""
            figure = agree + cases
        else:
            figure = f"off by {float(largest):.2g}"
        left_value = np.broadcast_to(a, gap.shape)[worst]
        right_value = np.broadcast_to(b, gap.shape)[worst]
        return Verdict(
            bool(largest <= limit),
            figure,
            left=f"{left_value}{_at(worst)}",
            right=f"{right_value}{_at(worst)}",
            difference=f"{float(largest):.3g}, allowed {limit:.3g}",
            measured={
                "largest difference": float(largest),
                "tolerance": limit,
                "used": float(largest) / limit if limit else 0.0,
            },
        )

    return settle(label, "equal", judge, right, wrong)


def bound(
    label: str,
    *chain: Any,
    wrong: Mapping[str, Any],
    slack: float = 0.0,
    because: str | None = None,
) -> Record:
    """Check that chain[0] <= chain[1] <= … in every case, and say how tight it gets.

    Args:
        label: The claim's label.
        chain: Two or more arrays of one shape, or single numbers.
        wrong: At least two named wrong versions: an array that takes the place of the last
            link, or a tuple that replaces the whole chain. Each must be violated somewhere.
        slack: Relative room for rounding; needs `because`.
        because: One phrase that derives the slack.

    Raises:
        CheckFailed: If the inequality is violated in a case, or a wrong version in none.
        CheckRefused: If there is no case, a NaN, or nothing finite on one side.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(0.1, 3, 30)
        >>> bound("sine", np.sin(x), x, wrong={"x/2": x / 2, "x squared": x**2}).figure
        'no violation in 30 cases, largest ratio 0.998'
    """
    require_label_and_wrong(label, wrong)
    if len(chain) < 2:
        raise CheckRefused(f"{label}: a bound needs at least two sides, got {len(chain)}.")
    slack = number(label, "slack", slack)
    if not 0 <= slack < np.inf or (slack > 0 and not because):
        raise CheckRefused(
            f"{label}: slack must be >= 0 and needs because=, the reason for it; got slack={slack}."
        )

    def judge(version: Any) -> Verdict:
        links = version if isinstance(version, tuple) else (*chain[:-1], version)
        arrays = [_reals(label, f"side {i}", link, finite=False) for i, link in enumerate(links)]
        if all(np.isinf(arrays[-1]).flat) or all(np.isinf(arrays[0]).flat):
            raise CheckRefused(f"{label}: an infinite side makes every case true.")
        pairs = [_pair(label, low, high) for low, high in pairwise(arrays)]
        low = np.concatenate([pair[0].ravel() for pair in pairs])
        high = np.concatenate([pair[1].ravel() for pair in pairs])
        # An infinite side has no rounding: slack times infinity would excuse everything.
        finite = np.isfinite(low) & np.isfinite(high)
        room = slack * np.where(finite, np.maximum(abs(low), abs(high)), 0)
        with np.errstate(invalid="ignore"):
            excess = low - high - room
        violated = excess > 0
        num_violated, num = int(violated.sum()), len(low)
        ratio = None if num_violated else _largest_ratio(low, high)
        worst = int(np.argmax(np.nan_to_num(excess, nan=-np.inf)))
        if num_violated:
            figure = f"violated in {num_violated} of {num} cases"
        else:
            cases = f"{num} case{'s' if num > 1 else ''}"
            tightest = "" if ratio is None else f", largest ratio {ratio:.3g}"
            figure = f"no violation in {cases}{tightest}"
        return Verdict(
            num_violated == 0,
            figure,
            left=f"{low[worst]:.6g}{_at((worst,))}",
            right=f"{high[worst]:.6g}{_at((worst,))}",
            difference=f"{low[worst] - high[worst]:.3g}",
            measured={"cases": num, "violations": num_violated, "used": ratio},
        )

    return settle(label, "bound", judge, chain, wrong)


def order(
    label: str,
    sizes: Any,
    errors: Any,
    *,
    slope: float,
    tolerance: float,
    because: str,
    wrong: Mapping[str, Any],
) -> Record:
    """Check that log |errors| falls on log `sizes` with the stated slope (least squares).

    Args:
        label: The claim's label.
        sizes: At least three different positive numbers (steps, sample sizes, couplings).
        errors: What is left of the claim at each size; none may be zero.
        slope: The exponent in errors ~ sizes**slope.
        tolerance: How far the fitted slope may be from it.
        because: One phrase that derives the tolerance.
        wrong: At least two named wrong versions: another slope (a number), or the errors that a
            wrong formula leaves (an array).

    Raises:
        CheckFailed: If the fitted slope is off, or a wrong version fits as well.
        CheckRefused: With fewer than three sizes, or an error that is zero or not finite.

    Example:
        >>> h = [0.1, 0.05, 0.025]
        >>> order("square", h, [x * x for x in h], slope=2, tolerance=0.01,
        ...       because="exact power", wrong={"first order": 1, "third order": 3}).figure
        'slope 2.00 against 2'
    """
    require_label_and_wrong(label, wrong)
    x = _reals(label, "sizes", sizes)
    slope, tolerance = number(label, "slope", slope), number(label, "tolerance", tolerance)
    if x.ndim != 1 or len(np.unique(x)) < 3 or (x <= 0).any():
        raise CheckRefused(f"{label}: order needs at least 3 different sizes > 0, got {x}.")
    if not (tolerance > 0 and because):
        raise CheckRefused(
            f"{label}: needs tolerance > 0 with because=, the reason for it; got "
            f"tolerance={tolerance}, because={because!r}."
        )

    def judge(version: Any) -> Verdict:
        expected, residuals = slope, version
        if isinstance(version, numbers.Number) or getattr(version, "ndim", None) == 0:
            expected, residuals = number(label, "a slope", version), errors
        if not np.isfinite(expected):
            raise CheckRefused(f"{label}: a slope must be finite, got {expected}.")
        y = abs(_reals(label, "errors", residuals))
        if y.shape != x.shape or (y == 0).any():
            raise CheckRefused(
                f"{label}: needs one error, not zero, for each of {len(x)} sizes; got {y}."
            )
        fitted = float(np.polyfit(np.log(x), np.log(y), 1)[0])
        return Verdict(
            abs(fitted - expected) <= tolerance,
            f"slope {fitted:.2f} against {expected:g}",
            left=f"{fitted:.4f}",
            right=f"{expected:g}",
            difference=f"{fitted - expected:.3g}, allowed {tolerance:.3g} ({because})",
            measured={"slope": fitted, "used": abs(fitted - expected) / tolerance},
        )

    return settle(label, "order", judge, errors, wrong)


def _array(label: str, side: str, values: Any, *, finite: bool = True) -> np.ndarray:
    """Numbers of any kind as a NumPy array; object dtype holds fractions and large integers."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
    elif isinstance(values, list | tuple) and any(isinstance(v, torch.Tensor) for v in values):
        values = [v.tolist() if isinstance(v, torch.Tensor) else v for v in values]
    try:
        array = np.asarray(values)
        if array.dtype == object and not _is_exact(array):
            with np.errstate(invalid="ignore"):  # some versions warn of NaN, which is refused below
                array = array.astype(complex if _has_complex(array) else float)
    except (TypeError, ValueError, RuntimeError) as error:
        shown = " ".join(repr(values).split())[:80]
        raise TypeError(f"{label}: {side} must hold numbers in one shape, got {shown}.") from error
    if array.size == 0:
        raise CheckRefused(f"{label}: {side} is empty, got shape {array.shape}: no case was tried.")
    if array.dtype.kind not in "biufcO":
        raise TypeError(f"{label}: {side} must hold numbers, got {array.dtype}.")
    if array.dtype.kind in "fc":
        bad = ~np.isfinite(array) if finite else np.isnan(array)
        if bad.any():
            raise CheckRefused(
                f"{label}: {side} has {int(bad.sum())} entries that are not finite numbers."
            )
    return array


def _reals(label: str, side: str, values: Any, *, finite: bool = True) -> np.ndarray:
    """The same as floats; complex numbers have no order."""
    array = _array(label, side, values, finite=finite)
    if array.dtype.kind == "c":
        raise TypeError(f"{label}: {side} must hold real numbers, got {array.dtype}.")
    return array.astype(float)


def number(label: str, name: str, value: Any) -> float:
    """A real number as a float; whatever else it is, a TypeError."""
    if getattr(value, "ndim", None) == 0:  # of numpy or torch
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{label}: {name} must be a number, got {value!r}.")
    return float(value)


def _is_exact(array: np.ndarray) -> bool:
    exact_objects = (numbers.Integral, Fraction)
    return array.dtype.kind in "biu" or (
        array.dtype == object and all(isinstance(value, exact_objects) for value in array.flat)
    )


def _has_complex(array: np.ndarray) -> bool:
    return any(getattr(value, "imag", 0) != 0 for value in array.flat)


def _require_same_shape(label: str, a: np.ndarray, b: np.ndarray) -> None:
    # A row against a column would broadcast to a table and compare the wrong pairs.
    if a.shape != b.shape and a.ndim and b.ndim:
        raise CheckRefused(
            f"{label}: the sides have shapes {a.shape} and {b.shape}; give both the same, "
            "or one of them as a single number."
        )


def _refuse_the_same_thing_twice(label: str, left: Any, right: Any) -> None:
    shared = left is right and not isinstance(left, int | str)  # small ints are always shared
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        shared = shared or left.untyped_storage().data_ptr() == right.untyped_storage().data_ptr()
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        shared = shared or np.may_share_memory(left, right)
    if shared:
        raise CheckRefused(f"{label}: both sides are the same object; compute one of them anew.")


def _distance(a: np.ndarray, b: np.ndarray, relative_to: str) -> np.ndarray:
    if a.dtype.kind in "biu":
        a = a.astype(object)  # unsigned and bounded integers would wrap around
    gap = np.atleast_1d(abs(a - b))
    size = np.atleast_1d(abs(b))
    if relative_to == "largest":
        return gap / size.max() if size.max() > 0 else gap
    if relative_to == "each":
        size = np.broadcast_to(size, gap.shape)
        return np.where(size > 0, gap / np.where(size > 0, size, 1), gap)
    if relative_to == "one":
        return gap
    raise CheckRefused(f"relative_to must be 'largest', 'each' or 'one', got {relative_to!r}.")


def _pair(label: str, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _require_same_shape(label, low, high)
    low, high = np.broadcast_arrays(low, high)
    return np.atleast_1d(low), np.atleast_1d(high)


def _largest_ratio(low: np.ndarray, high: np.ndarray) -> float | None:
    """How tight a bound gets, where both sides are positive; None if they never are."""
    comparable = (low > 0) & (high > 0) & np.isfinite(high)
    return float(np.max(low[comparable] / high[comparable])) if comparable.any() else None


def _at(index: tuple) -> str:
    place = ", ".join(str(int(i)) for i in index)
    return f" (case {place})" if place else ""
