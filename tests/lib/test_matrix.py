"""The matrix of versions: which environments, what pip is told, and what its counts say."""

import xml.etree.ElementTree as ElementTree
from io import StringIO
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from matrix import environments
from matrix.__main__ import counts, describe
from matrix.environments import (
    ENVIRONMENTS,
    STORED,
    Environment,
    constraints,
    find_python,
    installed_for,
    lowest,
    needed,
)

ROOT = Path(__file__).resolve().parents[2]


def parsed(text):
    lines = [line for line in text.splitlines() if "==" in line and not line.startswith("#")]
    requirements = [Requirement(line) for line in lines]
    return {r.name.lower(): str(r.specifier).removeprefix("==") for r in requirements}


def of(packages):
    return next(e for e in ENVIRONMENTS if e.packages == packages)


def test_every_supported_python_is_a_row():
    pinned = {e.python for e in ENVIRONMENTS if e.packages == "pinned"}
    assert pinned == {"3.10", "3.11", "3.12", "3.13"}
    assert len({e.name for e in ENVIRONMENTS}) == len(ENVIRONMENTS)


def test_the_workflow_runs_every_row():
    workflow = yaml.safe_load((ROOT / ".github/workflows/matrix.yml").read_text())
    rows = workflow["jobs"]["matrix"]["strategy"]["matrix"]["include"]
    assert {(row["name"], row["python"]) for row in rows} == {
        (e.name, e.python) for e in ENVIRONMENTS
    }


def test_lowest_takes_each_declared_bound():
    found = parsed(constraints(of("lowest")))
    assert set(found) == {requirement.name.lower() for requirement in needed("run")}
    for requirement in needed("run"):
        version = found[requirement.name.lower()]
        assert requirement.specifier.contains(version)
        # One step below is refused: the bound is the lowest.
        parts = [*Version(version).release, 0]
        below = ".".join(map(str, [*parts[:-2], parts[-2] - 1, 99])) if parts[-2] else "0.0"
        assert not requirement.specifier.contains(below)


@pytest.mark.parametrize("line", ["torch", "torch<3", "torch>=2,>=2.1"])
def test_a_requirement_without_one_lower_bound_is_refused(line):
    with pytest.raises(ValueError, match="must have one lower bound"):
        lowest(Requirement(line))


def test_colab_takes_the_recorded_versions_without_their_build():
    found = parsed(constraints(of("colab")))
    assert found["torch"] == "2.11.0"
    assert found["numpy"] == "2.0.2"
    assert "pot" not in found  # Colab lacks it: pip may choose
    assert "tensorflow" not in found


def test_pinned_and_newest():
    assert constraints(of("pinned")) == (ROOT / "constraints.txt").read_text()
    assert constraints(of("newest")) == ""
    assert Environment("x", "3.11", "pinned").same_outputs
    assert not Environment("x", "3.12", "pinned").same_outputs
    assert f'sys.version.startswith("{STORED}.")' in (ROOT / "Makefile").read_text()
    assert not Environment("x", "3.12", "newest").same_outputs


def test_an_environment_is_made_anew_only_for_other_packages(monkeypatch):
    rows = [installed_for(environment) for environment in ENVIRONMENTS]
    assert len(set(rows)) == len(rows)
    assert installed_for(of("lowest")) == installed_for(of("lowest"))
    before, asked = installed_for(of("newest")), environments.project()
    monkeypatch.setattr(environments, "project", lambda: {**asked, "dependencies": ["numpy"]})
    assert installed_for(of("newest")) != before


def test_python_is_found_on_the_path_or_where_pyenv_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert find_python("3.12") is None
    kept = tmp_path / "versions/3.12.1/bin/python"
    kept.parent.mkdir(parents=True)
    kept.touch(mode=0o755)
    assert find_python("3.12") == str(kept)
    assert find_python("3.1") is None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3.12").touch(mode=0o755)
    assert find_python("3.12") == str(tmp_path / "bin/python3.12")


REPORT = """<testsuites><testsuite>
<testcase classname="tests.lib.test_a" name="test_1"/>
<testcase classname="tests.lib.test_a" name="test_2"><skipped/></testcase>
<testcase classname="tests.lib.test_a" name="test_3"><failure/></testcase>
<testcase classname="tests.lib.test_a" name="test_4"><error/></testcase>
</testsuite></testsuites>"""


def test_counts_name_what_failed():
    found = counts(ElementTree.parse(StringIO(REPORT)))
    failed = ["tests.lib.test_a::test_3", "tests.lib.test_a::test_4"]
    assert found == {"passed": 1, "skipped": 1, "failed": failed}
    line = describe({"tests": found, "notebooks": {"passed": 5, "failed": []}})
    assert "1 passed, 2 failed" in line
    assert "test_3" in line


def test_a_report_of_nothing_is_no_success():
    with pytest.raises(RuntimeError, match="not a single test"):
        counts(ElementTree.parse(StringIO("<testsuites><testsuite/></testsuites>")))
