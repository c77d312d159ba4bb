"""All entries, and the public functions that there should be an entry for."""

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import derive
from bad_input import (
    diffusion,
    ground,
    independence,
    random_projection,
    recurrent,
    series,
    training,
    transport,
    weight_scale,
    words,
)
from bad_input.cases import Case, cases
from bad_input.entry import Entry
from bad_input.verdict import Verdict, judge

ENTRIES: tuple[Entry, ...] = (
    *random_projection.ENTRIES,
    *independence.ENTRIES,
    *series.ENTRIES,
    *transport.ENTRIES,
    *words.ENTRIES,
    *weight_scale.ENTRIES,
    *recurrent.ENTRIES,
    *training.ENTRIES,
    *diffusion.ENTRIES,
    *ground.ENTRIES,
)
# Public names without an entry, and why.
LEFT_OUT = {
    "data.cifar10": "needs a download",
    "data.mnist": "needs a download",
    "device.Run.scale": "gives back what it is given",
    "nets.ConvNet.forward": "lets NaN through, as torch's modules do; a loss shows it",
    "nets.TimeMLP.forward": "lets NaN through, as torch's modules do; a loss shows it",
    "plotting.theory": "hands what it is given to matplotlib",
    "random_projection.RandomMap": "the base class of what `random_map` draws",
}


@cache
def verdicts(name: str) -> tuple[tuple[Case, Verdict], ...]:
    """Every bad call of a function with the bad value in the middle, and what came of it."""
    entry = next(entry for entry in ENTRIES if entry.name == name)
    return tuple((case, judge(entry, case)) for case in cases(entry))


def public_functions() -> Iterator[str]:
    """Names of all functions, checked classes and methods that the library offers."""
    for found in pkgutil.iter_modules(derive.__path__):
        if found.name.startswith("_"):
            continue
        module = importlib.import_module(f"derive.{found.name}")
        for name in _names(module):
            yield from _callables(f"{found.name}.{name}", getattr(module, name))


def _names(module: ModuleType) -> list[str]:
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]


def _callables(name: str, value: object) -> Iterator[str]:
    if not inspect.isclass(value):
        if inspect.isroutine(value) and inspect.signature(value).parameters:
            yield name
        return
    if issubclass(value, BaseException) or getattr(value, "_is_protocol", False):
        return
    record = hasattr(value, "_fields") or dataclasses.is_dataclass(value)
    if "__post_init__" in vars(value) or ("__init__" in vars(value) and not record):
        yield name
    for method, member in vars(value).items():
        named = not method.startswith("_") or method == "__call__"
        function = getattr(member, "__func__", member)
        if (
            named
            and inspect.isfunction(function)
            and len(inspect.signature(function).parameters) > (not isinstance(member, staticmethod))
        ):
            yield f"{name}.{method}"
