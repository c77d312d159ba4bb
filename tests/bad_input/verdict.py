"""Run a bad call and say what came of it: an error of the documented kind, or an answer."""

import contextlib
import dataclasses
import io
import linecache
import re
import signal
import warnings
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import mpmath
import numpy as np
import torch
from scipy import sparse

import derive
from bad_input.cases import MUST_ANSWER, MUST_REFUSE, SAME, Case
from bad_input.entry import ALWAYS, Entry

LIBRARY = str(Path(derive.__file__).parent)
SECONDS = 60  # a bad call that takes longer counts as one that never ends


class Verdict(NamedTuple):
    """What came of a bad call; `wrong` says what is wrong with that, if anything is."""

    outcome: Literal["refused", "answered"]
    wrong: str = ""


def judge(entry: Entry, case: Case) -> Verdict:
    """Make the bad call."""
    try:
        with _quietly():
            given = case.build()
            result = entry.run(given)
            numbers = list(leaves(result))
    except _TooLong:
        return Verdict("answered", f"no end after {SECONDS} s")
    except Exception as error:  # whatever it is, it is what is judged here
        wrong = _not_as_documented(entry, case, error)
        if not wrong and case.column in MUST_ANSWER:
            wrong = f"refused, but nothing is wrong with it: {_shown(error)}"
        return Verdict("refused", wrong)
    return Verdict("answered", _bad_answer(entry, case, given, result, numbers))


def _not_as_documented(entry: Entry, case: Case, error: Exception) -> str:
    """Why an error is not the one that the documentation promises; "" if it is."""
    shown = _shown(error)
    if not _kinds(error) & entry.documented():
        return f"an undocumented {shown}"
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename
    line = linecache.getline(file, trace.tb_lineno).strip()
    if "jaxtyping" in file or _kinds(error) & entry.documented().difference(ALWAYS):
        return ""
    if not file.startswith(LIBRARY) or not line.startswith("raise"):
        return f"an error from inside ({Path(file).name}: {line}): {shown}"
    # What was got: the word, a number, a quotation, or the name of the argument.
    if not re.search(r"\bgot\b|\d|'", str(error)) and not _names(case, str(error)):
        return f"an error that does not say what was got: {shown}"
    return ""


def _names(case: Case, message: str) -> bool:
    return (
        bool(case.argument) and re.search(rf"\b{re.escape(case.argument)}\b", message) is not None
    )


def _kinds(error: Exception) -> set[str]:
    """An error's name; for our own kinds, and the type checker's, those that they belong to too."""
    kind = type(error)
    ours = kind.__module__.startswith(("derive", "jaxtyping"))
    return {cls.__name__ for cls in kind.__mro__} if ours else {kind.__name__}


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def _bad_answer(entry: Entry, case: Case, given: dict, result: Any, numbers: list) -> str:
    """What is wrong with an answer; "" if nothing is."""
    documented = f"{case.argument}: {case.column}" in entry.answers
    if not documented:
        if case.column in MUST_REFUSE or case.name in entry.more:
            return f"answered {_short(result)}"
        if not all(np.isfinite(x).all() for x in numbers):
            return f"answered {_short(result)}, which is not finite"
    if case.column in SAME and not documented:
        usual = usual_answer(entry)
        same = len(usual) == len(numbers) and all(
            a.shape == b.shape and np.allclose(a, b, rtol=SAME[case.column], atol=1e-12)
            for a, b in zip(numbers, usual, strict=True)
        )
        if not same:
            return f"answered {_short(result)}, which is not the valid call's answer"
    if case.column == "gradient" and isinstance(given[case.argument], torch.Tensor):
        return _bad_gradient(entry, given[case.argument], result)
    return ""


def _bad_gradient(entry: Entry, x: torch.Tensor, result: Any) -> str:
    carrying = [t for t in tensors(result) if t.requires_grad]
    if not carrying:
        return ""
    with _quietly():
        total = sum(t.double().sum() for t in carrying)
        try:
            (slope,) = torch.autograd.grad(total, x, allow_unused=True)
        except RuntimeError as error:
            return f"its gradient fails: {_shown(error)}"
    if slope is not None and not slope.isfinite().all():
        return "its gradient is not finite"
    return ""


@cache
def usual_answer(entry: Entry) -> tuple[np.ndarray, ...]:
    """The numbers that the valid call gives."""
    with _quietly():
        return tuple(leaves(entry.run(entry.arguments())))


def leaves(result: Any) -> Iterator[np.ndarray]:
    """All numbers in a result, as arrays."""
    if isinstance(result, torch.Tensor):
        result = result.detach().cpu()
        yield (result.double() if result.is_floating_point() else result).numpy()
    elif sparse.issparse(result):
        yield result.toarray()
    elif isinstance(result, np.ndarray):
        yield result
    elif isinstance(result, str | bytes | type(None)):
        return
    elif isinstance(result, int | Fraction | mpmath.mpf) and mpmath.isfinite(result):
        yield np.asarray(float(min(max(result, -(10**300)), 10**300)))  # they know no overflow
    elif isinstance(result, mpmath.mpf | mpmath.mpc):
        yield np.asarray(complex(result))
    elif isinstance(result, float | complex | np.generic):
        yield np.asarray(result)
    elif dataclasses.is_dataclass(result):
        for part in dataclasses.fields(result):
            yield from leaves(getattr(result, part.name))
    elif isinstance(result, Mapping):
        for value in result.values():
            yield from leaves(value)
    elif hasattr(result, "__iter__"):
        for value in result:
            yield from leaves(value)


def tensors(result: Any) -> Iterator[torch.Tensor]:
    """All floating-point tensors in a result."""
    if isinstance(result, torch.Tensor):
        if result.is_floating_point():
            yield result
    elif isinstance(result, tuple | list):
        for value in result:
            yield from tensors(value)


def _short(result: Any) -> str:
    return " ".join(repr(result).split())[:100]


class _TooLong(BaseException):
    """Raised by the clock; no `except Exception` may swallow it."""


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Nothing printed, every warning an error, and an end after some seconds."""

    def stop(*_: Any) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("error")
            # Under other versions packages announce what they are going to change.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
