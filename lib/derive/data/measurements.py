"""The book's committed measurements (every chapter)."""

import json
from importlib import resources
from typing import Any

from derive._typing import typed


@typed
def bench_results(name: str) -> dict[str, Any]:
    """The committed measurements of one benchmark, as written by `bench/<name>.py`.

    They travel with the package, so that a chapter can show them where there is no repository.

    Raises:
        ValueError: If no benchmark of that name has been stored; the message lists those that are.

    Example:
        >>> sorted(bench_results("random_projection"))  # doctest: +SKIP
        ['meta', 'rows']
    """
    folder = resources.files("derive") / "results"
    stored = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    if f"{name}.json" not in stored:
        known = ", ".join(file.removesuffix(".json") for file in stored) or "none"
        raise ValueError(f"no stored benchmark is called {name!r}; stored: {known}.")
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
