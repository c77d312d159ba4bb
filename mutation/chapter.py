"""Mistakes under a chapter's equations: does the check of the equation see them?"""

import ast
import contextlib
import functools
import io
import os
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mutation.children import outcome
from mutation.choice import Choice, summary
from mutation.operators import Mutation, mutations
from mutation.purpose import idle


class Script:
    """A chapter's code cells as plain Python, run outside of a notebook."""

    def __init__(self, path: Path) -> None:
        from derive_book.book import Book, find_root

        self.path = path
        chapter = Book(find_root(path.parent)).chapter(path.stem)
        # `%pip` runs on Colab only.
        self.cells = [
            ast.parse(cell.source.replace("    %pip", "    pass  # ")) for cell in chapter.code
        ]

    def run(self) -> None:
        """Run all cells.

        Raises:
            AssertionError: If a check fails; or whatever else a cell raises.
        """
        with _Stage(self.path) as names:
            for cell in self.cells:
                _run(cell, names)


def examine(
    script: Script,
    *,
    choose: Choice,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Break the code of the cells that hold checks, one place at a time; returns plain data.

    The chapter runs once; before each such cell copies of the process try the mistakes in it.
    What a check is given as `wrong`, and what is there for its sake, is wrong already and stays
    as it is. A mistake that every check lets pass is seen nevertheless if the cell prints
    something else than before: the book's tests compare what is printed.
    """
    for cell in script.cells:
        _hide_wrong(cell)
    without_use = idle(statement for cell in script.cells for statement in cell.body)
    places: dict[int, list[Mutation]] = {}
    everything = []
    for index, cell in enumerate(script.cells):
        if _has_check(cell):
            used = [statement for statement in cell.body if statement not in without_use]
            where = f"{script.path.name}, cell {index + 1}"
            places[index] = mutations(ast.Module(used, []), where)
            everything += places[index]
    chosen = choose(everything)
    survivors, by_print, tried = [], [], 0
    with _Stage(script.path) as names:
        for index, cell in enumerate(script.cells):
            passed: dict[Mutation, str] = {}
            for mutation in places.get(index, []):
                if mutation not in chosen:
                    continue
                tried += 1
                with mutation.made():
                    told = Path(f"mistake-{tried}.txt").absolute()
                    attempt = functools.partial(_passes, _complete(cell), names, told)
                    if outcome(attempt, 120, patience=5) == "survived":
                        passed[mutation] = told.read_text()
            printed = _run(cell, names)
            for mutation, otherwise in passed.items():
                if otherwise != printed:
                    by_print.append(mutation.key)
                    continue
                survivors.append(mutation)
                say(f"survived: {mutation.key}")
            if places.get(index):
                say(
                    f"{script.path.stem}: cell {index + 1}, {tried} tried, {len(survivors)} survive"
                )
    found = summary(everything, chosen, survivors)
    return {"chapter": script.path.stem, **found, "seen in print only": by_print}


class _Stage:
    """An empty folder, a figure backend without a window, and the names that cells share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> dict[str, Any]:
        import matplotlib

        matplotlib.use("Agg")
        self.before = os.getcwd()
        self.folder = tempfile.TemporaryDirectory()
        os.chdir(self.folder.name)
        module = types.ModuleType("__main__")  # so that pickling by name fails loudly, not wrongly
        names = module.__dict__
        names["display"] = lambda *things, **options: None
        return names

    def __exit__(self, *problem: object) -> None:
        os.chdir(self.before)
        self.folder.cleanup()


def _run(cell: ast.Module, names: dict[str, Any]) -> str:
    """Run a cell; returns what it prints."""
    return _printed(_complete(cell), names)


def _passes(code: Any, names: dict[str, Any], told: Path) -> bool:
    told.write_text(_printed(code, names))
    return True


def _printed(code: Any, names: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as told:
        exec(code, names)
    return told.getvalue()


def _complete(cell: ast.Module) -> Any:
    """The cell's code with `wrong=` in its place again."""
    for call in ast.walk(cell):
        if isinstance(call, ast.Call) and hasattr(call, "hidden"):
            call.keywords = [*call.keywords, *call.hidden]
    try:
        return compile(cell, "<cell>", "exec")
    finally:
        for call in ast.walk(cell):
            if isinstance(call, ast.Call) and hasattr(call, "hidden"):
                call.keywords = [k for k in call.keywords if k not in call.hidden]


def _hide_wrong(cell: ast.Module) -> None:
    for call in ast.walk(cell):
        if isinstance(call, ast.Call) and _is_check(call):
            hidden = [k for k in call.keywords if k.arg in ("wrong", "tolerance", "slack")]
            call.hidden = hidden  # type: ignore[attr-defined]
            call.keywords = [k for k in call.keywords if k not in hidden]


def _has_check(cell: ast.Module) -> bool:
    return any(isinstance(node, ast.Call) and _is_check(node) for node in ast.walk(cell))


def _is_check(call: ast.Call) -> bool:
    kinds = ("identity", "equal", "bound", "order", "sampled", "observed")
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in kinds
        and isinstance(function.value, ast.Name)
        and function.value.id == "check"
    )
