"""The README's commands are the ones that the tests and CI run."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
SHELL = [
    line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.split("\n")
]
COMMANDS = [line for line in SHELL if line]


def test_the_readme_has_its_two_commands_first():
    assert COMMANDS[:2] == ["make book", "make test"]


def test_ci_runs_the_readmes_test_command_last():
    lines = [line.strip() for line in (ROOT / ".ci/run").read_text().splitlines()]
    assert "set -euo pipefail" in lines
    assert [line for line in lines if line][-1] == COMMANDS[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_a_make_target(command):
    program, target, *_ = command.split()
    assert program == "make"
    known = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True)
    assert re.search(rf"^\s*{target}\s", known.stdout, re.M), known.stdout


def test_every_make_target_that_prose_names_exists():
    known = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^\s*([a-z-]+)\s", known.stdout, re.M)) | {"help"}
    for name in ["README.md", "CONTRIBUTING.md"]:
        named = re.findall(r"`make ([a-z-]+)", (ROOT / name).read_text())
        assert named
        assert set(named) <= targets, f"{name} names {set(named) - targets}"


def test_the_readmes_python_runs(tmp_path):
    [program] = re.findall(r"```python\n(.*?)```", README, re.S)
    scope: dict = {}
    exec(compile(program, "README.md", "exec"), scope)
    assert scope["y"].shape == (500, scope["k"])


def test_the_pictures_exist():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).stat().st_size < 2_000_000
