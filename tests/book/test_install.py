"""The project installs where readers are: on a Colab host without touching its packages."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests/book/data/colab-packages.txt"
HOST = ["torch", "numpy", "scipy", "sympy", "matplotlib", "scikit-learn", "ipykernel", "nbclient"]

pytestmark = pytest.mark.slow


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def new_environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def run(*command: str | Path, **options) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def pretend_installed(python: Path, name: str, version: str) -> None:
    """What pip sees of a package is its metadata; an empty package of that name will do."""
    [packages] = (python.parent.parent / "lib").glob("python*/site-packages")
    folder = packages / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "INSTALLER").write_text("pip\n")
    (folder / "RECORD").write_text("")


def recorded_packages() -> dict[str, str]:
    lines = RECORDED.read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def test_the_install_line_leaves_a_colab_host_as_it_is(tmp_path):
    python = new_environment(tmp_path / "host")
    packages = recorded_packages()
    for name, version in packages.items():
        if normal(name) != "setuptools":  # the environment may bring its own
            pretend_installed(python, name, version)
    report = tmp_path / "report.json"
    target = f"derive-and-run[run] @ {ROOT.as_uri()}"
    run(python, "-m", "pip", "install", "--quiet", "--dry-run", "--report", report, target)
    wanted = {
        normal(item["metadata"]["name"]): item["metadata"]["version"]
        for item in json.loads(report.read_text())["install"]
    }
    assert "derive-and-run" in wanted
    changed = set(wanted) & {normal(name) for name in packages}
    assert not changed, f"the install line would replace {changed} on a Colab host"
    assert set(wanted) <= {"derive-and-run", "jaxtyping", "pot", "wadler-lindig"}, wanted


def test_the_dry_run_would_notice_a_replaced_package(tmp_path):
    """The same host with a numpy older than pyproject.toml allows: pip wants to replace it."""
    python = new_environment(tmp_path / "host")
    for name, version in (recorded_packages() | {"numpy": "1.21.0"}).items():
        if normal(name) != "setuptools":
            pretend_installed(python, name, version)
    report = tmp_path / "report.json"
    target = f"derive-and-run[run] @ {ROOT.as_uri()}"
    run(python, "-m", "pip", "install", "--quiet", "--dry-run", "--report", report, target)
    names = {normal(item["metadata"]["name"]) for item in json.loads(report.read_text())["install"]}
    assert "numpy" in names


def test_one_notebook_alone_runs_on_a_bare_host_through_its_own_set_up_cell(tmp_path):
    """Only ordinary host packages, a stand-in for `google.colab`, one notebook in an empty folder.

    The set-up cell clones from the project's address; git is told to find that here. What is
    installed is therefore the last commit, not uncommitted changes.
    """
    python = new_environment(tmp_path / "host")
    constraints = ["-c", ROOT / "constraints.txt"]
    run(python, "-m", "pip", "install", "--quiet", *constraints, *HOST)
    run(python, "-m", "ipykernel", "install", "--prefix", tmp_path / "host", "--name", "python3")
    [packages] = (tmp_path / "host" / "lib").glob("python*/site-packages")
    (packages / "google" / "colab").mkdir(parents=True)
    (packages / "google" / "colab" / "__init__.py").write_text("")
    (packages / "colab.pth").write_text("import google.colab\n")
    before = run(python, "-m", "pip", "freeze")

    lonely = tmp_path / "reader"
    lonely.mkdir()
    notebook = lonely / "jl-lemma.ipynb"
    shutil.copy(ROOT / "book/foundations/jl-lemma.ipynb", notebook)
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "DERIVE_PROFILE": "cpu",
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": address,
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
    }
    execute = (
        "import nbformat, nbclient; book = nbformat.read('jl-lemma.ipynb', 4);"
        "nbclient.NotebookClient(book, timeout=300, kernel_name='python3').execute();"
        "nbformat.write(book, 'jl-lemma.ipynb')"
    )
    run(python, "-c", execute, cwd=lonely, env=environment)

    outputs = [
        output
        for cell in nbformat.read(notebook, 4).cells
        for output in cell.get("outputs", [])
        if "application/vnd.derive.check+json" in output.get("data", {})
    ]
    assert len(outputs) >= 25
    after = run(python, "-m", "pip", "freeze")
    assert set(before.splitlines()) <= set(after.splitlines()), "the set-up cell changed the host"
    assert "derive-and-run" in after


def test_the_environment_file_names_no_second_list_of_versions():
    """environment.yml: Python, pip, this project with its extras; versions stand elsewhere."""
    text = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [entry for entry in text["dependencies"] if isinstance(entry, str)]
    [pip] = [entry["pip"] for entry in text["dependencies"] if isinstance(entry, dict)]
    assert {re.split(r"[=<>]", entry)[0] for entry in plain} == {"python", "pip"}
    assert pip == ["--constraint constraints.txt", "-e .[book]"]


def test_importing_the_library_brings_nothing_heavy():
    """What costs time is imported by the function that needs it; bench/ measures the rest."""
    program = (
        "import json, sys, torch; before = set(sys.modules); import derive, derive.device;"
        "heavy = ['scipy.stats', 'sympy', 'matplotlib', 'sklearn', 'torch.optim', 'IPython'];"
        "print(json.dumps([name for name in heavy if name in set(sys.modules) - before]))"
    )
    assert json.loads(run(sys.executable, "-c", program)) == []
