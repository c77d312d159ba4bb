"""Shape and type checking at call time, for every public function of the library."""

import inspect
from collections.abc import Callable
from functools import wraps
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import torch
from beartype import beartype
from jaxtyping import jaxtyped

F = TypeVar("F", bound=Callable[..., Any])

_check = jaxtyped(typechecker=beartype)


def typed(function: F) -> F:
    """Check a function's annotations at every call, and what annotations cannot say.

    Tensors that are given together have one device, which holds numbers, and one floating-point
    type; True is no number, although Python counts it among the integers. All of it raises
    TypeError. Classes are checked by their annotations alone.
    """
    checked = _check(function)
    if isinstance(function, type):
        return checked
    names = tuple(inspect.signature(function).parameters)
    numbers = {name for name in names if _is_number(function.__annotations__.get(name))}

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = [*zip(names, args, strict=False), *kwargs.items()]
        for name, value in given:
            if isinstance(value, bool) and name in numbers:
                raise TypeError(f"{function.__qualname__}: {name} must be a number, got {value}.")
        tensors = [(name, value) for name, value in given if isinstance(value, torch.Tensor)]
        if tensors:
            require_company(function.__qualname__, tensors)
        return checked(*args, **kwargs)

    return call  # type: ignore[return-value]


def require_company(function: str, tensors: list[tuple[str, torch.Tensor]]) -> None:
    """Refuse tensors that cannot be computed with, or not together."""
    first, home = tensors[0][0], tensors[0][1].device
    if home.type == "meta":
        raise TypeError(f"{function}: {first} is on the meta device, which holds no numbers.")
    number, kind = "", None
    for name, x in tensors:
        if x.device != home:
            raise TypeError(
                f"{function}: {first} is on {home}, but {name} on {x.device}; move one of them."
            )
        dtype = x.dtype
        if dtype.is_floating_point and dtype is not kind:
            if kind is not None:
                raise TypeError(
                    f"{function}: {number} is {kind}, but {name} is {dtype}; convert one of them."
                )
            number, kind = name, dtype


def _is_number(annotation: Any) -> bool:
    union = get_origin(annotation) in (Union, UnionType)
    kinds = get_args(annotation) if union else (annotation,)
    return (int in kinds or float in kinds) and bool not in kinds
