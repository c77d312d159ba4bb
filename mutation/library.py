"""Mistakes in the library: which of them do the unit tests see, or failing that, the chapter?"""

import ast
import importlib.abc
import importlib.machinery
import os
import random
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mutation.chapter import Script
from mutation.children import outcome
from mutation.operators import Mutation, mutations

ROOT = Path(__file__).resolve().parents[1]
# Imported once; every attempt is a fork that has them already.
HEAVY = ("pytest", "hypothesis", "torch", "numpy", "scipy.stats", "scipy.optimize", "sympy",
         "mpmath", "sklearn.datasets", "matplotlib.pyplot", "jaxtyping", "beartype")  # fmt: skip


class Covering(NamedTuple):
    """Which tests run a line, and how long each takes."""

    tests: dict[tuple[str, int], set[str]]
    seconds: dict[str, float]

    def of(self, mutation: Mutation) -> list[str]:
        """The tests that run the mutation's line, quick ones first."""
        found = self.tests.get((mutation.file, mutation.line), set())
        return sorted(found, key=lambda test: (self.seconds.get(test, 1.0), test))


def examine(
    subject: str, *, sample: int | None, seed: int, chapter: Script | None, say=print
) -> dict[str, Any]:
    """Make the mistakes of a subject one by one; returns plain data.

    Of all mistakes a random `sample` is tried; one on a line that no test runs survives.
    """
    files = [ROOT / f"lib/derive/{subject}.py"]
    if not files[0].is_file():
        files = sorted((ROOT / "lib/derive" / subject).rglob("*.py"))
    trees = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in files}
    everything = [m for name, tree in trees.items() for m in mutations(tree, name)]
    if not everything:
        raise ValueError(f"there is nothing to mutate in derive.{subject}.")
    chosen = everything
    if sample is not None and sample < len(everything):
        chosen = random.Random(seed).sample(everything, sample)
    tests = sorted((ROOT / "tests/lib").glob(f"test_{subject}*.py"))
    covering = measure(subject, tests)
    for name in HEAVY:
        __import__(name)
    _require_no_objection(files[-1], tests, chapter)
    by: dict[str, int] = {"tests": 0, "chapter": 0}
    survivors = []
    for number, mutation in enumerate(chosen, 1):
        who = _killer(mutation, trees[mutation.file], covering, chapter)
        if who:
            by[who] += 1
        else:
            survivors.append(mutation)
            say(f"survived: {mutation.file}:{mutation.line} {mutation.before} -> {mutation.after}")
        if number % 20 == 0:
            say(f"{subject}: {number} of {len(chosen)} tried, {len(survivors)} survive")
    return {
        "subject": subject,
        "possible": len(everything),
        "tried": len(chosen),
        "killed by tests": by["tests"],
        "killed by the chapter": by["chapter"],
        "survivors": [
            {"key": m.key, "line": m.line, "operator": m.operator}
            for m in sorted(survivors, key=lambda m: (m.file, m.line))
        ],
    }


def measure(subject: str, tests: Sequence[Path]) -> Covering:
    """Run the tests once and note which lines each of them runs."""
    from coverage import CoverageData

    with tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder, "coverage"), Path(folder, "report.xml")
        command = [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, tests),
            f"--cov=derive.{subject}", "--cov-context=test", "--cov-report=",
            f"--junitxml={report}",
        ]  # fmt: skip
        environment = {**os.environ, "COVERAGE_FILE": str(data), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the tests fail without any mutation:\n{done.stdout[-2000:]}")
        stored = CoverageData(str(data))
        stored.read()
        found: dict[tuple[str, int], set[str]] = {}
        for file in stored.measured_files():
            name = str(Path(file).relative_to(ROOT))
            for line, contexts in stored.contexts_by_lineno(file).items():
                # Lines that run at import (context "") are run by every test.
                found[name, line] = {c.split("|")[0] for c in contexts if c} or {"tests"}
        cases = ElementTree.parse(report).iter("testcase")
        seconds = {_node(case): float(case.get("time", 1)) for case in cases}
    quickest = [str(path.relative_to(ROOT)) for path in tests]
    for place, names in found.items():
        if names == {"tests"}:
            found[place] = set(quickest)
    return Covering(found, seconds)


def _node(case: ElementTree.Element) -> str:
    parts = case.get("classname", "").split(".")
    return "/".join(parts) + ".py::" + case.get("name", "")


def _require_no_objection(file: Path, tests: Sequence[Path], chapter: Script | None) -> None:
    """Tests that object to the library as it is would seem to see every mistake."""
    code = compile(file.read_text(), str(file), "exec")
    module = _module(str(file.relative_to(ROOT)))
    names = [str(path.relative_to(ROOT)) for path in tests]
    if outcome(lambda: _tests_pass(module, code, names), 600) != "survived":
        raise RuntimeError(f"{', '.join(names)} fail in a fork without any mutation.")
    if chapter is not None and outcome(lambda: _runs(module, code, chapter), 600) != "survived":
        raise RuntimeError(f"{chapter.path.name} fails in a fork without any mutation.")


def _module(file: str) -> str:
    name = file.removeprefix("lib/").removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def _killer(
    mutation: Mutation, tree: ast.AST, covering: Covering, chapter: Script | None
) -> str | None:
    tests = covering.of(mutation)
    with mutation.made():
        code = compile(tree, str(ROOT / mutation.file), "exec")  # type: ignore[call-overload]
        module = _module(mutation.file)
        limit = 20 + 10 * sum(covering.seconds.get(test, 1.0) for test in tests)
        if tests and outcome(lambda: _tests_pass(module, code, tests), limit) != "survived":
            return "tests"
        if chapter is not None and outcome(lambda: _runs(module, code, chapter), 300) != "survived":
            return "chapter"
    return None


def _tests_pass(module: str, code: Any, tests: list[str]) -> bool:
    import pytest

    sys.meta_path.insert(0, Instead(module, code))
    os.chdir(ROOT)
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"]
    # Its plugins were imported before the fork.
    return pytest.main([*quiet, "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]) == 0


def _runs(module: str, code: Any, chapter: Script) -> bool:
    sys.meta_path.insert(0, Instead(module, code))
    chapter.run()
    return True


class Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from given code, as if it stood in its file."""

    def __init__(self, module: str, code: Any) -> None:
        self.module, self.code = module, code

    def find_spec(self, fullname, path, target=None):  # type: ignore[no-untyped-def]
        if fullname != self.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert spec is not None
        spec.loader = self
        return spec

    def exec_module(self, module: Any) -> None:
        exec(self.code, module.__dict__)
