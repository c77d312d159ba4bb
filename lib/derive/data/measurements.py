"""The book's committed measurements: benchmarks, and how its own checks were checked."""

import json
from importlib import resources
from typing import Any, Literal

from derive._typing import typed

TrustKind = Literal["sweep", "mutation", "matrix"]


@typed
def bench_results(name: str) -> dict[str, Any]:
    """The committed measurements of one benchmark, as written by `bench/<name>.py`.

    They travel with the package, so that a chapter can show them where there is no repository.

    Raises:
        ValueError: If no benchmark of that name has been stored (the message lists those that
            are), or if its file is damaged.

    Example:
        >>> sorted(bench_results("random_projection"))  # doctest: +SKIP
        ['meta', 'rows']
    """
    found = _stored("")
    if name not in found:
        known = ", ".join(found) or "none"
        raise ValueError(f"no stored benchmark is called {name!r}; stored: {known}.")
    return _read(found[name])


@typed
def trust_results(kind: TrustKind) -> dict[str, dict[str, Any]]:
    """What was measured about the book itself (page `trust`): by chapter, subject or environment.

    * "sweep": every chapter under other seeds (`make sweep`), by chapter;
    * "mutation": mistakes made on purpose (`make mutants`), by what was broken, such as
      "library-transport" and "chapter-wasserstein";
    * "matrix": tests and notebooks under other versions (`make matrix`), by environment.

    Raises:
        ValueError: If a file is damaged; the message names it.
    """
    return {name: _read(file) for name, file in _stored(kind).items()}


def _stored(folder: str) -> dict[str, Any]:
    place = resources.files("derive") / "results"
    place = place / folder if folder else place
    files = sorted(place.iterdir(), key=lambda file: file.name) if place.is_dir() else []
    return {file.name.removesuffix(".json"): file for file in files if file.name.endswith(".json")}


def _read(file: Any) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise ValueError(
            f"the stored measurements {file.name} are damaged ({error}); install the package again."
        ) from None
    if not isinstance(found, dict):
        what = type(found).__name__
        raise ValueError(
            f"the stored measurements {file.name} hold a {what}, expected an object; "
            "install the package again."
        )
    return found
