"""Small books for the tests of the Sphinx side: written, paired without execution, built."""

import gc
import io
import warnings
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch
from weakref import ProxyTypes

from nbformat import NotebookNode
from nbformat.v4 import new_output
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from derive_book.book import Book
from derive_book.pair import assemble, stamp, write
from derive_book.records import CHECK, FIGURE

FRONT = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {name: python3, display_name: Python 3, language: python}
---
"""
CHAPTER = """\
(one)=
# Chapter one

What is added is counted; {claims}`count`.

```{math}
:label: one-sum
1 + 2 + \\dots + n = \\frac{n (n + 1)}{2}
```

```{code-cell} python3
check("one-sum")
```

By {eq}`one-sum` the rest follows.
"""
CONFIG = """\
title: Small
repository: {url: "https://github.com/someone/small", branch: main}
"""
SPHINX = {
    "extensions": [
        "sphinx_external_toc",
        "sphinx_multitoc_numbering",
        "sphinxcontrib.bibtex",
        "derive_book",
    ],
    "bibtex_bibfiles": ["book/references.bib"],
    "external_toc_path": "_toc.yml",
    "exclude_patterns": ["_build", "**/*.ipynb"],
    "html_theme": "basic",
    "myst_enable_extensions": ["dollarmath", "colon_fence"],
    "nb_execution_mode": "off",
    "nitpicky": True,
    "numfig": True,
    "suppress_warnings": ["myst.domains"],
}
BIB = """\
@article{dasgupta2003, author = {Dasgupta, Sanjoy and Gupta, Anupam}, year = 2003,
  title = {An elementary proof}, journal = {Random Structures \\& Algorithms}, volume = 22}
@inproceedings{gretton2005, year = 2005, title = {Measuring dependence}, booktitle = {ALT},
  author = {Gretton, Arthur and Bousquet, Olivier and Smola, Alex and Sch{\\"o}lkopf, Bernhard}}
"""


def record(label: str, **changes) -> NotebookNode:
    """The output that a passed check leaves, without a fingerprint."""
    content = {
        "format": 1,
        "label": label,
        "kind": "bound",
        "figure": "0 violations in 2000 cases",
        "line": f"✓ {label} · bound: 0 violations in 2000 cases",
        "wrong": {"n for n + 1": "3 violations", "no half": "<all> violated"},
        "false_alarm": 0.0,
        "power": None,
        **changes,
    }
    data = {"text/plain": content["line"], "text/html": "<b>quiet</b>", CHECK: content}
    return new_output("display_data", data=data, metadata={CHECK: {"measured": {"z": 1.5}}})


def picture() -> NotebookNode:
    """A white dot as a plotting cell shows it."""
    png = (
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptV"
        "AAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="
    )
    return new_output("display_data", data={"image/png": png, "text/plain": "<Figure>"})


def interactive(**changes) -> NotebookNode:
    """An interactive figure as `derive.plotting.interactive` shows it."""
    content = {"name": "one-play", "alt": "A line.", "caption": "It rises.", "data": {"x": [1, 2]}}
    output = picture()
    output.data[FIGURE] = {**content, **changes}
    return output


def write_book(
    root: Path, chapters: dict[str, str] | None = None, pages: dict[str, str] | None = None
) -> Book:
    """A book of chapters (slug to MyST after the front matter) and plain pages (name to MyST)."""
    chapters = {"one": CHAPTER} if chapters is None else chapters
    pages = {"index": "# Home\n", **(pages or {})}
    (root / "book" / "part").mkdir(parents=True, exist_ok=True)
    (root / "_config.yml").write_text(CONFIG)
    toc = ["format: jb-book", "root: book/index.md", "parts:", "  - caption: Part"]
    toc += ["    numbered: 1", "    chapters:"]
    toc += [f"      - file: book/part/{slug}.md" for slug in chapters]
    if len(pages) > 1:
        toc += ["  - caption: Other", "    chapters:"]
        toc += [f"      - file: book/{name}.md" for name in pages if name != "index"]
    (root / "_toc.yml").write_text("\n".join(toc) + "\n")
    (root / "book" / "references.bib").write_text(BIB)
    for name, text in pages.items():
        (root / "book" / f"{name}.md").write_text(text)
    for slug, text in chapters.items():
        (root / "book" / "part" / f"{slug}.md").write_text(FRONT + text)
    return Book(root)


def pair_up(root: Path, slug: str, *outputs: list[NotebookNode]) -> None:
    """Write the notebook of a chapter as if its cells had shown these outputs."""
    book = Book(root)
    chapter = book.chapter(slug)
    filled = [*outputs, *([] for _ in range(len(chapter.code) - len(outputs)))]
    stamp(chapter, filled)
    write(assemble(book, chapter, filled), chapter.pair)


def good_book(root: Path) -> Path:
    """The smallest book in order: one chapter, one claim, one check."""
    write_book(root)
    pair_up(root, "one", [record("one-sum")])
    return root


def no_proxies() -> list:
    """All objects but weak proxies: a dead one raises when it is asked for its class."""
    return [thing for thing in gc.get_objects() if type(thing) not in ProxyTypes]


def build(
    root: Path, builder: str = "html", *, parallel: int = 1, force: bool = False, **config
) -> str:
    """Build in this process; returns the warnings, each on its line, with paths from the root.

    `force` writes every page anew, whatever an earlier build has left.
    """
    told = io.StringIO()
    settings = {**SPHINX, **config}
    if "sphinx_external_toc" not in settings["extensions"]:
        del settings["external_toc_path"]
    out = root / "_build" / builder
    # sphinx-external-toc asks every object of the process for its class, and in this one the tests
    # before have left dead proxies.
    living = patch("sphinx_external_toc.collectors.gc", SimpleNamespace(get_objects=no_proxies))
    with warnings.catch_warnings(), docutils_namespace(), patch_docutils(), living:
        # Sphinx extensions of others use what docutils is about to drop.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        app = Sphinx(
            root,
            None,
            out,
            root / "_build" / "doctrees",
            builder,
            confoverrides=settings,
            status=None,
            warning=told,
            parallel=parallel,
            freshenv=force,
        )
        app.build(force_all=force)
    return told.getvalue().replace(f"{root}/", "")


def page(root: Path, name: str = "part/one") -> str:
    """The HTML of a built page."""
    return (root / "_build" / "html" / "book" / f"{name}.html").read_text()
