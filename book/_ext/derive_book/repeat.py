"""Executing a chapter twice: what it shows must be the same bytes, pictures included."""

import json
from collections.abc import Sequence

from nbformat import NotebookNode

from derive_book.book import Chapter
from derive_book.errors import Problem
from derive_book.execute import run

IGNORED = "nbval-ignore-output"  # the tag of cells whose output may depend on the machine
REMEDY = "take all randomness from `run`; show no time, no address, no order of a set"


def repeat(chapter: Chapter, *, profile: str = "cpu") -> list[Problem]:
    """Execute twice; a problem for each cell that shows something else the second time."""
    first, second = (run(chapter, profile=profile) for _ in range(2))
    return differences(chapter, first, second)


def differences(
    chapter: Chapter,
    first: Sequence[Sequence[NotebookNode]],
    second: Sequence[Sequence[NotebookNode]],
) -> list[Problem]:
    """Where the outputs of two executions are not the same bytes."""
    problems = []
    for number, (cell, one, other) in enumerate(zip(chapter.code, first, second, strict=True), 1):
        if IGNORED in cell.metadata.get("tags", ()):
            continue
        kinds = _differing(one, other)
        if kinds:
            what = f"code cell {number} shows another {' and '.join(kinds)} when executed again"
            problems.append(Problem(chapter.path, cell.line, what, REMEDY))
    return problems


def _differing(one: Sequence[NotebookNode], other: Sequence[NotebookNode]) -> list[str]:
    """The kinds of output that differ; "number of outputs" if there are not as many."""
    if len(one) != len(other):
        return ["number of outputs"]
    kinds = {}
    for mine, theirs in zip(one, other, strict=True):
        parts, others = _parts(mine), _parts(theirs)
        for name in [*parts, *others]:
            if parts.get(name) != others.get(name):
                kinds[name] = None
    return list(kinds)


def _parts(output: NotebookNode) -> dict[str, str]:
    """An output taken apart by what it is: text, or a MIME type, or what goes with them."""
    rest = {key: value for key, value in output.items() if key not in ("data", "text")}
    named = {**output.get("data", {}), "text": output.get("text", ""), "metadata": rest}
    return {name: json.dumps(value, sort_keys=True) for name, value in named.items()}
