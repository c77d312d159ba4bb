"""The environments, and what pip is asked to install in each."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
COLAB = ROOT / "tests/book/data/colab-packages.txt"
STORED = "3.11"  # the Python under which the notebooks' outputs were made


class Environment(NamedTuple):
    """A row of the matrix: which Python, and where the versions of the packages come from."""

    name: str
    python: str
    packages: Literal["pinned", "lowest", "newest", "colab"]

    @property
    def same_outputs(self) -> bool:
        """Whether notebooks must print what is stored.

        Other versions round otherwise, and hold other texts: some chapters count words in the
        docstrings of NumPy, SciPy and scikit-learn. Python 3.10 needs an older SciPy, and from 3.12
        on NumPy is without `numpy.distutils`.
        """
        return self.packages == "pinned" and self.python == STORED


ENVIRONMENTS = (
    Environment("3.10", "3.10", "pinned"),
    Environment("3.11", "3.11", "pinned"),
    Environment("3.12", "3.12", "pinned"),
    Environment("3.13", "3.13", "pinned"),
    Environment("lowest", "3.10", "lowest"),
    Environment("newest", "3.13", "newest"),
    Environment("colab", "3.12", "colab"),
)


def constraints(environment: Environment) -> str:
    """The text of pip's constraints file; packages that it does not name are free."""
    if environment.packages == "pinned":
        return (ROOT / "constraints.txt").read_text()
    if environment.packages == "newest":
        # The book's builder is one version, whose own requirements bind what it needs.
        return ""
    if environment.packages == "lowest":
        return "\n".join(lowest(requirement) for requirement in needed("run")) + "\n"
    names = {requirement.name.lower() for requirement in needed("run")}
    lines = [line.split("+")[0] for line in COLAB.read_text().splitlines() if "==" in line]
    return "\n".join(line for line in lines if line.split("==")[0].lower() in names) + "\n"


def project() -> dict[str, Any]:
    """The table [project] of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def installed_for(environment: Environment) -> str:
    """All that decides what pip installs, as text: while it stays the same, so does the rest."""
    asked = {key: project()[key] for key in ("dependencies", "optional-dependencies")}
    return json.dumps([environment.python, asked, constraints(environment)])


def needed(extra: str) -> list[Requirement]:
    """What `pip install derive-and-run[extra]` asks for by name."""
    asked = project()
    lines = [*asked["dependencies"], *asked["optional-dependencies"][extra]]
    return [Requirement(line) for line in lines if not line.startswith("derive-and-run")]


def lowest(requirement: Requirement) -> str:
    """A requirement `name>=x` as `name==x`; nothing else may stand in pyproject.toml there.

    Raises:
        ValueError: If it has no lower bound, or more than one.
    """
    bounds = [s.version for s in requirement.specifier if s.operator in (">=", "==")]
    if len(bounds) != 1:
        raise ValueError(f"{requirement} must have one lower bound, name>=x; it has {len(bounds)}.")
    return f"{requirement.name}=={bounds[0]}"


def find_python(version: str) -> str | None:
    """A command for this Python: on the path, or one that pyenv keeps; None if there is none."""
    found = shutil.which(f"python{version}")
    # A shim of pyenv is there for every version, also for those that are not chosen.
    if found and "shims" not in found:
        return found
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    places = sorted(kept.glob(f"{version}.*/bin/python"))
    return str(places[-1]) if places else None
