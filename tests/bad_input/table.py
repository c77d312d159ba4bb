"""The book's page on bad input, written from what came of every bad call."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from bad_input.cases import COLUMNS
from bad_input.registry import ENTRIES, verdicts

PAGE = Path(__file__).parents[2] / "book" / "bad-input.md"
SHORT = {"infinity": "inf", "negative": "neg.", "strided": "layout", "gradient": "grad."}

_INTRODUCTION = """\
(bad-input)=
# Bad input

What does the library do with a wrong shape, a NaN, an empty array? A wrong number that looks like a
right one is the worst of all outcomes: it is found late, or never. So every public function is
called with bad values in each of its arguments in turn, and the outcome has to be one of two:

* **R**, refused: an error of the kind that the function's documentation names, raised by the
  library itself and not from deep inside another one, with a message that says what was got;
* **A**, answered: a finite answer; for the same numbers in another memory layout, in mixed
  precision or with gradients asked for, it is the answer of the good call.

**R A** means that it depends on the argument or on the value. Where no letter stands, the function
has no argument of that kind. Anything else, a silent NaN above all, fails the tests of the library:
these tables are written by the same calls ({calls} of them, of {functions} functions), and a public
function that is missing here is a failure too. Where in an argument the bad number stands is drawn
at random. Networks are given whole: of them only the type is changed.

| column | what is bad |
|---|---|
{columns}
"""

_PROMISED = """\
## Answers that the documentation promises

In a few places infinity is an answer, or a bad value does no harm. The documentation says so:

{answers}
"""


def page() -> str:
    """The page as MyST."""
    columns = (f"| {SHORT.get(name, name)} | {what} |" for name, what in COLUMNS.items())
    parts = [
        _INTRODUCTION.format(
            calls=sum(len(verdicts(entry.name)) for entry in ENTRIES),
            functions=len(ENTRIES),
            columns="\n".join(columns),
        )
    ]
    for subject, entries in groupby(ENTRIES, key=lambda entry: entry.name.split(".")[0]):
        names = [entry.name for entry in entries]
        parts.append(f"## `derive.{subject}`\n\n" + "\n".join(_table(names)) + "\n")
    answers = (
        f"* `{entry.name}`, argument `{case.split(': ')[0]}`, {case.split(': ')[1]}: “{words}”"
        for entry in ENTRIES
        for case, words in entry.answers.items()
    )
    parts.append(_PROMISED.format(answers="\n".join(answers)))
    return "\n".join(parts)


def _table(names: list[str]) -> Iterator[str]:
    yield "| function | " + " | ".join(SHORT.get(name, name) for name in COLUMNS) + " |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    for name in names:
        shown = f"`{name.split('.', 1)[1]}`"
        if shown.endswith(".__call__`"):
            shown = f"a {shown.removesuffix('.__call__`')}`, called"
        yield f"| {shown} | " + " | ".join(_outcomes(name, column) for column in COLUMNS) + " |"


def _outcomes(name: str, column: str) -> str:
    came = {verdict.outcome for case, verdict in verdicts(name) if case.column == column}
    return "\u00a0".join(o[0].upper() for o in ("refused", "answered") if o in came)
