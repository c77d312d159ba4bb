"""One valid call of a public function: everything else is made from it."""

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

ALWAYS = ("ValueError", "TypeError")  # what the library promises everywhere
_RAISES = re.compile(r"^Raises:\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"\b([A-Z]\w*(?:Error|Failed|Refused)|Diverged)\b")
_SAME_AS = re.compile(r"\bAs (?:for |in )?`(\w+)`|errors as for `(\w+)`|rguments as for `(\w+)`")


@dataclass(frozen=True, eq=False)
class Entry:
    """A public function, the arguments of a valid call, and what is special about it."""

    function: Callable
    arguments: Callable[[], dict[str, Any]]
    """Fresh arguments at every call, by name."""
    call: Callable | None = None
    """What to call with them, where that is not the function itself."""
    finish: Callable[[Any], Any] = lambda result: result
    """From the result to the numbers that are looked at."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """Why an answer is right where others refuse ("f: infinity"), in words of the docstring."""
    more: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Further bad calls, of this function alone: what is given instead, and a name that begins
    with its column."""

    @property
    def name(self) -> str:
        """Such as `transport.emd`."""
        module = self.function.__module__.removeprefix("derive.").split(".")[0]
        return f"{module}.{self.function.__qualname__}"

    def run(self, arguments: dict[str, Any]) -> Any:
        """Call it; functions that draw without a generator always draw the same."""
        torch.default_generator.manual_seed(0)
        return self.finish((self.call or self.function)(**arguments))

    def documented(self) -> set[str]:
        """Names of the exceptions that the docstring promises."""
        return documented(self.function)


def documented(function: Callable) -> set[str]:
    """Exceptions in the "Raises" section, and in those of the functions that it refers to."""
    text = inspect.getdoc(function) or ""
    section = _RAISES.search(text)
    promised = section.group(1) if section else ""
    names = {*ALWAYS, *_NAME.findall(promised)}
    for match in _SAME_AS.finditer(text):
        other = next(name for name in match.groups() if name)
        module = sys.modules[function.__module__]
        if other != function.__name__ and hasattr(module, other):
            names |= documented(getattr(module, other))
    return names
