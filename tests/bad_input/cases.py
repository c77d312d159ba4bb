"""Bad arguments, made from good ones by the kind of value that they are."""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import mpmath
import numpy as np
import torch
from scipy import sparse

from bad_input.entry import Entry

NAN, INF = math.nan, math.inf
COLUMNS = {
    "NaN": "not-a-number in one place",
    "infinity": "plus or minus infinity in one place",
    "empty": "no rows, no columns, no members",
    "shape": "another rank, or a size that does not fit the other arguments",
    "type": "integers, booleans or complex numbers for floats; text, None, a list",
    "half": "all in float16",
    "mixed": "this argument in float32, the others in float64",
    "huge": "multiplied up to 1e300",
    "tiny": "multiplied down to 1e-300",
    "zero": "zero everywhere",
    "negative": "the sign changed",
    "strided": "the same numbers in another memory layout",
    "gradient": "gradients asked for",
    "device": "on another device (torch's meta)",
}
MUST_REFUSE = {"NaN", "device"}  # there is no right answer
MUST_ANSWER = {"strided"}  # nothing is wrong with it
SAME = {"mixed": 1e-5, "strided": 1e-9, "gradient": 1e-9}  # an answer is the valid call's answer

Place = Callable[[int], int]  # how many there are -> which one is to be bad
Build = Callable[[], Any]


class Case(NamedTuple):
    """One bad call."""

    column: str
    name: str
    """Such as "x: NaN at 3"."""
    build: Callable[[], dict[str, Any]]
    """The arguments; building may already raise, where a public class refuses them."""
    argument: str


class Bad(NamedTuple):
    """One bad value."""

    column: str
    what: str
    build: Build


def middle(count: int) -> int:
    """The place that is taken when nobody draws one."""
    return count // 2


def cases(entry: Entry, place: Place = middle) -> Iterator[Case]:
    """All bad calls of a function: one argument bad, the others as they were."""
    arguments = entry.arguments()
    floats = [k for k, v in arguments.items() if _is_float_tensor(v)]
    for argument, value in arguments.items():
        for bad in bad_values(value, place):
            if bad.column == "mixed" and len(floats) < 2:
                continue

            def build(argument=argument, bad=bad) -> dict[str, Any]:
                return entry.arguments() | {argument: bad.build()}

            yield Case(bad.column, f"{argument}: {bad.what}", build, argument)
    if floats:

        def in_half() -> dict[str, Any]:
            given = entry.arguments()
            return given | {k: given[k].half() for k in floats}

        yield Case("half", "all in float16", in_half, "")
    for name, instead in entry.more.items():

        def replaced(instead=instead) -> dict[str, Any]:
            return entry.arguments() | instead

        yield Case(name.split(":")[0], name, replaced, next(iter(instead)))


def bad_values(value: Any, place: Place) -> Iterator[Bad]:
    """Bad versions of one value, by its kind."""
    if isinstance(value, torch.Tensor):
        yield from (_float_tensor if value.is_floating_point() else _other_tensor)(value, place)
    elif isinstance(value, np.ndarray):
        yield from _array(value, place)
    elif sparse.issparse(value):
        yield from _sparse(value, place)
    elif isinstance(value, bool):
        yield from _wrong_types(None, "yes")
    elif isinstance(value, int | float | Fraction | mpmath.mpf):
        yield from _number(value)
    elif isinstance(value, str):
        yield Bad("type", "another word", lambda: "nonsense")
        yield Bad("empty", "no letters", lambda: "")
        yield from _wrong_types(None, 3)
    elif isinstance(value, torch.dtype):
        for other in (torch.int64, torch.bool, torch.complex64):
            yield Bad("type", str(other), lambda other=other: other)
        yield from _wrong_types(None, "float32")
    elif isinstance(value, torch.device):
        yield Bad("device", "a device that does not exist", lambda: "nowhere")
        yield from _wrong_types(None, 1.5)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for name in value._fields:
            yield from _inside(name, getattr(value, name), place, partial(_with, value, name))
        yield from _wrong_types(None, "text", 3)
    elif hasattr(value, "__post_init__"):  # it checks itself, and has an entry of its own
        yield from _wrong_types(None, "text", 3)
    elif dataclasses.is_dataclass(value):
        for part in dataclasses.fields(value):
            if part.init:
                inner = getattr(value, part.name)
                yield from _inside(part.name, inner, place, partial(_changed, value, part.name))
        yield from _wrong_types(None, "text", 3)
    elif isinstance(value, list | tuple):
        yield from _sequence(value, place)
    elif isinstance(value, Mapping):
        yield Bad("empty", "nothing in it", dict)
        for key, inner in value.items():
            yield from _inside(str(key), inner, place, partial(_replaced, value, key))
        yield from _wrong_types(None, "text", 3)
    else:  # generators, functions, expressions, sets of words, paths
        yield from _wrong_types(None, "text", 3.5)


def _inside(name: str, value: Any, place: Place, put: Callable[[Any], Any]) -> Iterator[Bad]:
    for bad in bad_values(value, place):
        yield Bad(bad.column, f"{name}: {bad.what}", lambda bad=bad: put(bad.build()))


def _with(value, name: str, new):
    return value._replace(**{name: new})


def _changed(value, name: str, new):
    return dataclasses.replace(value, **{name: new})


def _replaced(value: Mapping, key, new):
    return {**value, key: new}


def _wrong_types(*values: Any) -> Iterator[Bad]:
    for value in values:
        yield Bad("type", repr(value), lambda value=value: value)


def _number(value: Any) -> Iterator[Bad]:
    whole = isinstance(value, int)
    for column, others in {
        "NaN": (NAN,) if whole else (NAN, mpmath.nan),
        "infinity": (INF,) if whole else (INF, -INF, mpmath.inf),
        "zero": (0 if whole else 0.0,),
        "negative": (-value,),
        "huge": () if whole else (1e300,),  # a huge count is only a lack of memory
        "tiny": (1e-300,),
        "type": (True, None, str(value), 2.5 if whole else 1),
    }.items():
        for other in others:
            yield Bad(column, repr(other), lambda other=other: other)


def _float_tensor(x: torch.Tensor, place: Place) -> Iterator[Bad]:
    if x.numel():
        where = place(x.numel())
        for column, bad in (("NaN", NAN), ("infinity", INF), ("infinity", -INF)):
            yield Bad(column, f"{bad} at {where}", lambda bad=bad: _put(x, where, bad))
    largest = x.abs().max().item() if x.numel() and x.any() else 1.0
    yield Bad("huge", "1e300", lambda: x * (1e300 / largest))
    yield Bad("tiny", "1e-300", lambda: x * (1e-300 / largest))
    yield Bad("zero", "zeros", lambda: torch.zeros_like(x))
    yield Bad("negative", "negated", lambda: -x)
    yield from _shapes(x)
    for dtype in (torch.int64, torch.complex128):
        yield Bad("type", str(dtype), lambda dtype=dtype: x.to(dtype))
    yield from _wrong_types(None)
    yield Bad("type", "a list", x.tolist)
    yield Bad("type", "a NumPy array", lambda: x.numpy())
    yield Bad("mixed", "float32", lambda: x.float())
    yield from _layouts(x)
    yield Bad("gradient", "requires_grad", lambda: x.clone().requires_grad_())
    yield Bad("device", "meta", lambda: x.to("meta"))


def _other_tensor(x: torch.Tensor, place: Place) -> Iterator[Bad]:
    where = place(x.numel())
    if x.dtype.is_signed:
        yield Bad("negative", f"-1 at {where}", lambda: _put(x, where, -1))
        yield Bad("huge", f"10**9 at {where}", lambda: _put(x, where, 10**9))
    yield Bad("zero", "zeros", lambda: torch.zeros_like(x))
    yield from _shapes(x)
    for dtype in (torch.float64, torch.bool):
        yield Bad("type", str(dtype), lambda dtype=dtype: x.to(dtype))
    yield from _wrong_types(None)
    yield Bad("type", "a list", x.tolist)
    yield from _layouts(x)
    yield Bad("device", "meta", lambda: x.to("meta"))


def _put(x: torch.Tensor, where: int, value: float) -> torch.Tensor:
    changed = x.clone()
    changed.view(-1)[where] = value
    return changed


def _shapes(x: torch.Tensor) -> Iterator[Bad]:
    for axis in range(x.ndim):
        empty = x.narrow(axis, 0, 0)
        yield Bad("empty", f"shape {tuple(empty.shape)}", lambda empty=empty: empty.clone())
        if x.shape[axis] > 1:
            less = x.narrow(axis, 0, x.shape[axis] - 1)
            yield Bad("shape", f"shape {tuple(less.shape)}", lambda less=less: less.clone())
    if x.ndim:
        yield Bad("shape", "one axis less", lambda: x[0].clone())
    yield Bad("shape", "one axis more", lambda: x[None].clone())


def _layouts(x: torch.Tensor) -> Iterator[Bad]:
    def every_second() -> torch.Tensor:
        room = torch.full((*x.shape, 2), 7, dtype=x.dtype)
        room[..., 0] = x
        return room[..., 0]

    yield Bad("strided", "every second number in memory", every_second)
    if x.ndim > 1:
        yield Bad("strided", "transposed in memory", lambda: x.mT.contiguous().mT)


def _array(x: np.ndarray, place: Place) -> Iterator[Bad]:
    for bad in (_float_tensor if x.dtype.kind == "f" else _other_tensor)(
        torch.from_numpy(x.copy()), place
    ):
        if bad.column not in ("gradient", "device", "type"):
            yield Bad(bad.column, bad.what, lambda bad=bad: bad.build().numpy())
    for dtype in (bool, complex, object, "U8"):
        yield Bad("type", str(dtype), lambda dtype=dtype: x.astype(dtype))
    yield from _wrong_types(None, "text")
    if x.dtype.kind == "f":
        yield Bad("half", "float16", lambda: x.astype(np.float16))


def _sparse(M: Any, place: Place) -> Iterator[Bad]:
    def with_data(data: np.ndarray) -> Any:
        changed = M.copy()
        changed.data = data
        return changed

    kept = ("NaN", "infinity", "huge", "tiny", "zero", "negative")
    for bad in _float_tensor(torch.from_numpy(M.data.copy()), place):
        if bad.column in kept:
            yield Bad(bad.column, bad.what, lambda bad=bad: with_data(bad.build().numpy()))
    yield Bad("shape", "not square", lambda: M[:-1])
    yield Bad("empty", "no entry", lambda: type(M)(M.shape))
    yield Bad("empty", "no row", lambda: type(M)((0, 0)))
    yield Bad("type", "a dense array", lambda: M.toarray())
    yield Bad("type", "complex", lambda: M.astype(complex))
    yield Bad("type", "integers", lambda: M.astype(int))
    yield Bad("half", "float32", lambda: M.astype(np.float32))
    yield from _wrong_types(None, "text", [[1.0]])


def _sequence(value: list | tuple, place: Place) -> Iterator[Bad]:
    kind = type(value)
    yield Bad("empty", "no member", kind)
    yield from _wrong_types(None, 3, "text")
    if not value:
        return
    where = place(len(value))
    member = value[where]

    def put(new: Any) -> Any:
        others = copy.deepcopy(value)  # a function may change them
        return kind([*others[:where], new, *others[where + 1 :]])

    yield Bad("shape", "one member less", lambda: value[:-1])
    yield Bad("shape", "only the first member", lambda: value[:1])
    yield Bad("type", "a set in one place", lambda: put({1}))
    yield from _inside(f"at {where}", member, place, put)
    if isinstance(member, int | float | Fraction | mpmath.mpf):
        yield Bad("zero", "zeros", lambda: kind([0] * len(value)))
        yield Bad("negative", "negated", lambda: kind([-x for x in value]))
        yield Bad("mixed", "one float", lambda: put(float(member)))
        yield Bad("huge", "all 1e300", lambda: kind([float(x) * 1e300 for x in value]))
        yield Bad("tiny", "all 1e-300", lambda: kind([float(x) * 1e-300 for x in value]))


def _is_float_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()
