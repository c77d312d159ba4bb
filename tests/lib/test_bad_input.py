"""Bad input to every public function: a documented error or a right answer, nothing else."""

import copy
import inspect
import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from bad_input import verdict
from bad_input.cases import COLUMNS, cases
from bad_input.entry import Entry, documented
from bad_input.registry import ENTRIES, LEFT_OUT, public_functions, verdicts
from bad_input.table import PAGE, page
from bad_input.verdict import judge, leaves
from derive._typing import typed
from derive.transport import emd_cost

PLACED = {"NaN", "infinity"}
every_function = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


@every_function
def test_a_bad_call_is_refused_as_documented_or_answered_rightly(entry):
    wrong = [f"{case.name}: {found.wrong}" for case, found in verdicts(entry.name) if found.wrong]
    assert not wrong, "\n".join([entry.name, *wrong])


def somewhere(entry: Entry, data: st.DataObject) -> None:
    def drawn(count: int) -> int:
        return data.draw(st.integers(0, count - 1))

    for case in cases(entry, drawn):
        if case.column in PLACED:
            found = judge(entry, case)
            assert not found.wrong, f"{entry.name}, {case.name}: {found.wrong}"


@every_function
@settings(max_examples=2, derandomize=True, deadline=None, database=None)
@given(data=st.data())
def test_it_does_not_matter_where_the_bad_number_stands(entry, data):
    somewhere(entry, data)


@pytest.mark.slow
@every_function
@settings(max_examples=40, derandomize=True, deadline=None, database=None)
@given(data=st.data())
def test_it_does_not_matter_anywhere_where_the_bad_number_stands(entry, data):
    somewhere(entry, data)


@every_function
def test_arguments_stay_as_they_were(entry):
    arguments = entry.arguments()
    kept = {
        name: copy.deepcopy(list(leaves(value)))
        for name, value in arguments.items()
        if name != "out" and not callable(value)
    }
    entry.run(arguments)
    for name, numbers in kept.items():
        for before, after in zip(numbers, leaves(arguments[name]), strict=True):
            torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)


def test_every_public_function_has_an_entry():
    listed = [entry.name.removesuffix(".__init__") for entry in ENTRIES] + list(LEFT_OUT)
    assert sorted(listed) == sorted(public_functions())


def test_the_table_in_the_book_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: PYTHONPATH=tests python -m bad_input"


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.answers], ids=lambda e: e.name)
def test_what_the_documentation_promises_stands_there(entry):
    text = " ".join(inspect.getdoc(entry.function).split())
    arguments = entry.arguments()
    for case, words in entry.answers.items():
        argument, column = case.split(": ")
        assert argument in arguments
        assert column in COLUMNS
        assert words in text


# --- the judge itself


@typed
def halved(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Half of it, whatever it is."""
    return x / 2


@typed
def refusing(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Half of it, if it is finite."""
    if not torch.isfinite(x).all():
        raise ValueError(f"x must be finite, got {x}.")
    return x / 2


def silent_about_what_was_got(x):
    if not torch.isfinite(x).all():
        raise ValueError("not good")
    return x / 2


def with_an_error_from_inside(x):
    return x / 2 if torch.isfinite(x).all() else math.log(-1)


def with_an_undocumented_error(x):
    if not torch.isfinite(x).all():
        raise RuntimeError(f"got {x}.")
    return x / 2


def without_an_end(x):
    while not torch.isfinite(x).all():
        pass
    return x / 2


def as_it_lies_in_memory(x):
    return x.as_strided(x.shape, (1,) * x.ndim)


def with_a_broken_gradient(x):
    return (x - x).abs().sqrt()


@pytest.fixture
def findings(monkeypatch):
    monkeypatch.setattr(verdict, "LIBRARY", (verdict.LIBRARY, str(Path(__file__).parent)))

    def found(function) -> dict[str, str]:
        entry = Entry(function, lambda: {"x": torch.arange(1.0, 5.0, dtype=torch.float64)})
        outcomes = {case.column: judge(entry, case).wrong for case in cases(entry)}
        assert {"NaN", "empty", "strided", "gradient", "device"} < outcomes.keys() < COLUMNS.keys()
        return {column: wrong for column, wrong in outcomes.items() if wrong}

    return found


def test_a_function_that_refuses_by_name_passes(findings):
    assert findings(refusing) == {}


@pytest.mark.parametrize(
    ("function", "column", "message"),
    [
        (halved, "NaN", "answered tensor"),
        (halved, "infinity", "which is not finite"),
        (silent_about_what_was_got, "NaN", "does not say what was got: ValueError: not good"),
        (with_an_error_from_inside, "NaN", "from inside .*math domain error"),
        (with_an_undocumented_error, "infinity", "undocumented RuntimeError"),
        (as_it_lies_in_memory, "strided", "not the valid call's answer"),
        (with_a_broken_gradient, "gradient", "gradient is not finite"),
    ],
)
def test_the_judge_sees(function, column, message, findings):
    assert re.search(message, findings(function)[column])


def test_the_judge_ends_what_does_not_end(findings, monkeypatch):
    monkeypatch.setattr(verdict, "SECONDS", 0.5)
    assert findings(without_an_end)["NaN"] == "no end after 0.5 s"


def test_references_in_a_docstring_are_followed():
    assert documented(emd_cost) == {"TypeError", "ValueError", "ConvergenceError"}
