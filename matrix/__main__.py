"""`python -m matrix [NAME…]`: make the environments, run tests and notebooks, store the counts."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from matrix.environments import (
    ENVIRONMENTS,
    ROOT,
    Environment,
    constraints,
    find_python,
    installed_for,
)

FOLDER = ROOT / ".matrix"
RESULTS = ROOT / "lib/derive/results/matrix"
SHOWN = ("torch", "numpy", "scipy", "sympy", "scikit-learn", "matplotlib", "jaxtyping", "POT")


def main() -> int:
    options = _parser().parse_args()
    wrong = set(options.names) - {environment.name for environment in ENVIRONMENTS}
    if wrong:
        known = ", ".join(environment.name for environment in ENVIRONMENTS)
        raise SystemExit(f"there is no environment {', '.join(sorted(wrong))}; there are {known}.")
    chosen = [e for e in ENVIRONMENTS if not options.names or e.name in options.names]
    failed = []
    for environment in chosen:
        python = find_python(environment.python)
        if python is None:
            print(f"{environment.name}: no Python {environment.python} here, left out", flush=True)
            continue
        result = examine(environment, install(environment, python))
        store(result)
        print(f"{environment.name}: {describe(result)}", flush=True)
        if any(result[what]["failed"] for what in ("tests", "notebooks")):
            failed.append(environment.name)
    if failed:
        print(f"failed in: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


def install(environment: Environment, python: str) -> Path:
    """The environment's own Python, everything installed; a second call installs nothing."""
    folder = FOLDER / environment.name
    own, stamp, wanted = folder / "bin/python", folder / ".done", folder / "constraints.txt"
    asked = hashlib.sha256(installed_for(environment).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == asked:
        return own
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    wanted.write_text(constraints(environment))
    pip = [own, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--upgrade", "pip"], check=True)
    subprocess.run([*pip, "-c", wanted, "-e", f"{ROOT}[test]"], check=True)
    stamp.write_text(asked)
    return own


def examine(environment: Environment, python: Path) -> dict[str, Any]:
    """Run the unit tests and the notebooks; plain data of what was there and what came of it."""
    compare = "--nbval" if environment.same_outputs else "--nbval-lax"
    # Other versions may announce that something is going to change; that breaks nothing yet.
    quiet = [] if environment.packages == "pinned" else ["-o", "filterwarnings=default"]
    return {
        "name": environment.name,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "packages from": environment.packages,
        "versions": versions(python),
        "tests": count(python, [*quiet, "-m", "not browser", "tests/lib"]),
        "outputs compared": environment.same_outputs,
        "notebooks": count(python, [*quiet, compare, "book"]),
    }


def versions(python: Path) -> dict[str, str]:
    """The versions of Python and of the packages that matter to a reader, as installed."""
    code = (
        "import importlib.metadata as m, json, platform, sys\n"
        "found = {name: m.version(name) for name in sys.argv[1:]}\n"
        "print(json.dumps({'Python': platform.python_version(), **found}))"
    )
    done = subprocess.run([python, "-c", code, *SHOWN], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def count(python: Path, arguments: list[str]) -> dict[str, Any]:
    """How many tests passed, were skipped and failed, with the names of those that failed."""
    report = FOLDER / "report.xml"
    report.unlink(missing_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DERIVE_PROFILE": "cpu",
                   "PYTHONPATH": "book/_ext"}  # fmt: skip
    command = [python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile",
               "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]  # fmt: skip
    subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if not report.is_file():
        raise RuntimeError(f"pytest {' '.join(arguments)} did not even report under {python}.")
    return counts(ElementTree.parse(report))


def counts(report: ElementTree.ElementTree) -> dict[str, Any]:
    """The figures of a JUnit report.

    Raises:
        RuntimeError: If no test ran: nothing would have failed.
    """
    cases = list(report.iter("testcase"))
    failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    skipped = [c for c in cases if c.find("skipped") is not None]
    passed = len(cases) - len(failed) - len(skipped)
    if not passed and not failed:
        raise RuntimeError("not a single test ran.")
    return {
        "passed": passed,
        "skipped": len(skipped),
        "failed": [f"{c.get('classname')}::{c.get('name')}" for c in failed],
    }


def store(result: dict[str, Any]) -> None:
    """Write what came of one environment where the package carries it."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{result['name']}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def describe(result: dict[str, Any]) -> str:
    """One line: what passed and what failed."""
    parts = []
    for what in ("tests", "notebooks"):
        found = result[what]
        parts.append(f"{what} {found['passed']} passed, {len(found['failed'])} failed")
        parts += found["failed"]
    return "; ".join(parts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m matrix", description=__doc__)
    names = ", ".join(environment.name for environment in ENVIRONMENTS)
    parser.add_argument("names", nargs="*", help=f"which of {names}; all if none is named")
    return parser


if __name__ == "__main__":
    sys.exit(main())
