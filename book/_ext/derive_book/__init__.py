"""The Sphinx side of the book: claims, ticks, ledger, and the notebooks beside the chapters."""

from typing import Any


def setup(app: Any) -> dict[str, Any]:
    """Sphinx's entry; imported late, so that the commands do without Sphinx."""
    from derive_book import extension

    return extension.setup(app)
