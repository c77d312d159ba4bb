"""Mistakes in the library: which of them do the unit tests see, or failing that, the chapter?"""

import ast
import gc
import hashlib
import importlib.abc
import importlib.machinery
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mutation.chapter import Script
from mutation.children import outcome
from mutation.choice import Choice, summary
from mutation.operators import Mutation, mutations

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "_build/mutation"
# Imported once; every attempt is a fork that has them already.
HEAVY = ("pytest", "hypothesis", "torch", "numpy", "scipy.stats", "scipy.optimize", "sympy",
         "mpmath", "sklearn.datasets", "matplotlib.pyplot", "jaxtyping", "beartype")  # fmt: skip


class Covering(NamedTuple):
    """Which tests run a line, how long each takes, and what each has killed so far."""

    tests: dict[tuple[str, int], set[str]]
    seconds: dict[str, float]
    kills: Counter[str]
    stopped: set[str]
    """Tests that a mistake kept from being run at all, such as one that shows at import."""
    endless: list[str]
    """Mistakes with which the tests did not end."""

    def of(self, mutation: Mutation) -> list[str]:
        """The tests that run the mutation's line, sharp ones first, then quick ones."""
        # A line inside of a statement may do nothing that coverage sees.
        found = self.tests.get((mutation.file, mutation.line)) or self.tests.get(
            (mutation.file, mutation.statement), set()
        )
        return sorted(
            found, key=lambda test: (-self.kills[test], self.seconds.get(test, 1.0), test)
        )


def examine(
    subject: str,
    *,
    choose: Choice,
    known: Collection[str] = (),
    chapter: Script | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Make the chosen mistakes of a subject one by one; returns plain data.

    A mistake on a line that no test runs survives; one that never ends is killed. The keys
    `known` were killed before and are not tried again.
    """
    files = sources(subject)
    trees = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in files}
    everything = [m for name, tree in trees.items() for m in mutations(tree, name)]
    if not everything:
        raise ValueError(f"there is nothing to mutate in derive.{subject}.")
    chosen = choose(everything)
    tests = tests_of(subject)
    covering = measure(subject, tests)
    for name in HEAVY:
        __import__(name)
    gc.collect()
    gc.freeze()  # a collection in a fork then looks at what is new, and copies no memory
    if (
        chapter is not None
        and outcome(lambda: _runs("", None, chapter), 600, patience=10) != "survived"
    ):
        raise RuntimeError(f"{chapter.path.name} fails in a fork without any mutation.")
    survivors = []
    remaining = [mutation for mutation in chosen if mutation.key not in known]
    for number, mutation in enumerate(remaining, 1):
        if not _seen(mutation, trees[mutation.file], covering, chapter):
            survivors.append(mutation)
            say(f"survived: {mutation.key} (line {mutation.line})")
        if number % 20 == 0:
            say(f"{subject}: {number} of {len(remaining)} tried, {len(survivors)} survive")
    _require_no_objection(subject, covering.kills)
    _require_no_objection(subject, covering.stopped, "--collect-only")
    return {
        "subject": subject,
        **summary(everything, chosen, survivors),
        "endless": covering.endless,
    }


def sources(subject: str) -> list[Path]:
    """The module's file, or those of the package."""
    file = ROOT / f"lib/derive/{subject}.py"
    return [file] if file.is_file() else sorted((ROOT / "lib/derive" / subject).rglob("*.py"))


def tests_of(subject: str) -> list[Path]:
    """The test files of a subject; those of everything for what all subjects lean on."""
    found = sorted((ROOT / "tests/lib").glob(f"test_{subject.removeprefix('_')}*.py"))
    return found or sorted((ROOT / "tests/lib").glob("test_independence*.py"))


def measure(subject: str, tests: Sequence[Path]) -> Covering:
    """Run the tests once, but for slow ones, and note which lines each runs and for how long.

    What is known of a test file is kept until the file or the subject changes.
    """
    lines: dict[tuple[str, int], set[str]] = {}
    seconds: dict[str, float] = {}
    for path in tests:
        name = str(path.relative_to(ROOT))
        kept = _kept(subject, path)
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(_measure(subject, path)))
        known = json.loads(kept.read_text())
        seconds |= known["seconds"]
        for file, line, names in known["lines"]:
            # Lines that run at import (named by no test) are run by every test of the file.
            lines.setdefault((file, line), set()).update(names or [name])
    return Covering(lines, seconds, Counter(), set(), [])


def _kept(subject: str, path: Path) -> Path:
    """Where to keep what is known of a test file, in its present state and the subject's."""
    state = hashlib.sha256(path.read_bytes())
    for source in sources(subject):
        state.update(source.read_bytes())
    return KEPT / f"{path.stem}-{subject}-{state.hexdigest()[:16]}.json"


def _measure(subject: str, path: Path) -> dict[str, Any]:
    from coverage import CoverageData

    with tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder, "coverage"), Path(folder, "report.xml")
        command = [
            sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider",
            "-p", "pytest_cov", str(path),
            f"--cov=derive.{subject}", "--cov-context=test", "--cov-report=",
            f"--junitxml={report}",
        ]  # fmt: skip
        environment = {
            **os.environ, "COVERAGE_FILE": str(data), "OMP_NUM_THREADS": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the tests fail without any mutation:\n{done.stdout[-2000:]}")
        stored = CoverageData(str(data))
        stored.read()
        lines = [
            (str(Path(file).relative_to(ROOT)), line, sorted({c.split("|")[0] for c in names if c}))
            for file in stored.measured_files()
            for line, names in stored.contexts_by_lineno(file).items()
        ]
        cases = ElementTree.parse(report).iter("testcase")
        return {
            "lines": lines,
            "seconds": {_node(case): float(case.get("time", 1)) for case in cases},
        }


def _node(case: ElementTree.Element) -> str:
    parts = case.get("classname", "").split(".")
    return "/".join(parts) + ".py::" + case.get("name", "")


def _require_no_objection(subject: str, tests: Collection[str], *only: str) -> None:
    """Tests that object to the library as it is would seem to see every mistake."""
    file = sources(subject)[-1]
    code = compile(file.read_text(), str(file), "exec")
    module = _module(str(file.relative_to(ROOT)))
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, "who")
        attempt = lambda: _tests_pass(module, code, [*only, *sorted(tests)], note)  # noqa: E731
        if tests and outcome(attempt, 900, patience=10) != "survived":
            who = note.read_text() if note.is_file() else "pytest"
            raise RuntimeError(f"{who} fails in a fork without any mutation.")


def _module(file: str) -> str:
    name = file.removeprefix("lib/").removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def _seen(mutation: Mutation, tree: ast.AST, covering: Covering, chapter: Script | None) -> bool:
    tests = covering.of(mutation)
    with mutation.made(), tempfile.TemporaryDirectory() as folder:
        code = compile(tree, str(ROOT / mutation.file), "exec")  # type: ignore[call-overload]
        module, note = _module(mutation.file), Path(folder, "who")
        limit = 20 + 10 * sum(covering.seconds.get(test, 1.0) for test in tests)
        judged = "survived"
        if tests:
            attempt = lambda: _tests_pass(module, code, tests, note)  # noqa: E731
            judged = outcome(attempt, limit, patience=10)
        if note.is_file():
            covering.kills[note.read_text()] += 1
        elif judged == "killed":
            covering.stopped.update(tests)
        elif judged == "timeout":
            covering.endless.append(mutation.key)
        if judged != "survived":
            return True
        return (
            chapter is not None
            and outcome(lambda: _runs(module, code, chapter), 300, patience=10) != "survived"
        )


class Witness:
    """Notes which test objects first."""

    def __init__(self, note: Path) -> None:
        self.note = note

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.note.write_text(report.nodeid)


def _tests_pass(module: str, code: Any, tests: Collection[str], note: Path) -> bool:
    import pytest

    sys.meta_path.insert(0, Instead(module, code))
    os.chdir(ROOT)
    # Only what the tests of the library need, imported before the fork: a fresh pytest with all
    # plugins would take longer than most tests.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    quiet = ["-x", "-q", "-m", "not slow", "--assert=plain", "-p", "no:cacheprovider"]
    ignore = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return pytest.main([*quiet, *ignore, *tests], plugins=[Witness(note)]) == 0


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
