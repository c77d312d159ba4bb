"""The book as files: configuration, table of contents, chapters, and what can be referred to."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from nbformat import NotebookNode

from derive_book import claims, source
from derive_book.citations import Bibliography
from derive_book.errors import BookError, Problem


@dataclass(frozen=True)
class Label:
    """What a `(label)=` or a figure's name points to: a page, and the words for it."""

    page: str  # without extension, relative to the root
    kind: str  # "section" or "figure"
    title: str
    number: str = ""  # "1.2" for a figure of a chapter


class Page:
    """A page of the book, and if it is executable, a chapter with its number."""

    def __init__(self, root: Path, path: str, number: int) -> None:
        self.path = path
        self.number = number
        self.file = root / path
        self.text = self.file.read_text(encoding="utf-8")

    @property
    def name(self) -> str:
        """The path without its extension: Sphinx's document name."""
        return self.path.removesuffix(".md")

    @property
    def slug(self) -> str:
        return self.file.stem

    @cached_property
    def title(self) -> str:
        headings = (t for t in self._targets() if t[0] == "title")
        return next(headings, ("", self.slug, ""))[1]

    @cached_property
    def labels(self) -> dict[str, Label]:
        return {
            name: Label(self.name, "section", title)
            for kind, title, name in self._targets()
            if kind == "section"
        }

    def _targets(self) -> Iterator[tuple[str, str, str]]:
        """Yield ("title", text, "") for headings and ("section", text, name) for their targets."""
        waiting: list[str] = []
        heading = False
        for token in source.tokens(self.text):
            if token.type == "myst_target":
                waiting.append(token.content)
            elif token.type == "heading_open":
                heading = True
            elif heading and token.type == "inline":
                yield from (("section", token.content, name) for name in waiting)
                yield "title", token.content, ""
                waiting, heading = [], False


class Chapter(Page):
    """A page whose front matter makes it a notebook, with the notebook it is paired with."""

    @property
    def pair(self) -> Path:
        return self.file.with_suffix(".ipynb")

    @cached_property
    def notebook(self) -> NotebookNode:
        try:
            return source.notebook(self.text)
        except ValueError as error:
            todo = "mend the YAML of the front matter or of the cell"
            raise BookError(Problem(self.path, 1, str(error), todo)) from error

    @cached_property
    def cells(self) -> list[source.Cell]:
        return source.cells(self.notebook, self.text)

    @cached_property
    def code(self) -> list[source.Cell]:
        return [cell for cell in self.cells if cell.kind == "code"]

    @cached_property
    def _claims(self) -> tuple[list[claims.Claim], list[Problem]]:
        return claims.parse(self.text, self.path, self.number)

    @property
    def claims(self) -> list[claims.Claim]:
        return self._claims[0]

    @property
    def claim_problems(self) -> list[Problem]:
        return self._claims[1]


class Book:
    """Everything under a root that holds `_config.yml` and `_toc.yml`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = _read_yaml(root, "_config.yml")
        self._toc = _read_yaml(root, "_toc.yml")

    @cached_property
    def pages(self) -> list[Page]:
        """Every page in the order of `_toc.yml`; the executable ones are chapters 1, 2, …"""
        pages: list[Page] = []
        number = 0
        for _, path in self._paths():
            if not (self.root / path).is_file():
                continue  # `missing` tells; the others can be worked on meanwhile
            if source.is_chapter((self.root / path).read_text(encoding="utf-8")):
                number += 1
                pages.append(Chapter(self.root, path, number))
            else:
                pages.append(Page(self.root, path, 0))
        return pages

    @property
    def missing(self) -> list[Problem]:
        """Entries of `_toc.yml` without a file."""
        todo = "add the file or take the entry out"
        return [
            Problem("_toc.yml", self._toc_line(entry), f"no file {path}", todo)
            for entry, path in self._paths()
            if not (self.root / path).is_file()
        ]

    def _paths(self) -> Iterator[tuple[str, str]]:
        """Entries of `_toc.yml` that are Markdown, as written and with their extension."""
        for entry in _entries(self._toc):
            path = entry if entry.endswith((".md", ".ipynb", ".rst")) else f"{entry}.md"
            if path.endswith(".md"):
                yield entry, path

    @cached_property
    def chapters(self) -> list[Chapter]:
        chapters = [page for page in self.pages if isinstance(page, Chapter)]
        seen: dict[str, str] = {}
        for chapter in chapters:
            if chapter.slug in seen:
                what = f"two chapters are called {chapter.slug}"
                todo = f"rename this one or {seen[chapter.slug]}"
                raise BookError(Problem(chapter.path, 1, what, todo))
            seen[chapter.slug] = chapter.path
        return chapters

    def chapter(self, slug: str) -> Chapter:
        """The chapter of that slug, path or document name."""
        for chapter in self.chapters:
            if slug in (chapter.slug, chapter.path, chapter.name):
                return chapter
        known = ", ".join(chapter.slug for chapter in self.chapters) or "none yet"
        raise BookError(Problem("_toc.yml", 1, f"no chapter {slug!r}", f"choose one of: {known}"))

    @cached_property
    def claims(self) -> dict[str, tuple[Chapter, claims.Claim]]:
        """Where each label is claimed first."""
        found: dict[str, tuple[Chapter, claims.Claim]] = {}
        for chapter in self.chapters:
            for claim in chapter.claims:
                found.setdefault(claim.label, (chapter, claim))
        return found

    @cached_property
    def labels(self) -> dict[str, Label]:
        """Targets before headings, in every page."""
        return {name: label for page in self.pages for name, label in page.labels.items()}

    @cached_property
    def bibliography(self) -> Bibliography:
        try:
            return Bibliography(self.root / "book" / "references.bib")
        except ValueError as error:
            problem = Problem("book/references.bib", 1, str(error), "mend the entry")
            raise BookError(problem) from error

    @property
    def repository(self) -> str:
        """Address of the repository, from the one place where it stands."""
        url = self.config.get("repository", {}).get("url")
        sphinx = self.config.get("sphinx", {}).get("config", {})
        url = url or sphinx.get("html_theme_options", {}).get("repository_url")
        if not url:
            todo = "add `repository: {url: https://github.com/OWNER/NAME}`"
            raise BookError(Problem("_config.yml", 1, "the repository has no address", todo))
        return str(url).rstrip("/").removesuffix(".git")

    @property
    def branch(self) -> str:
        return self.config.get("repository", {}).get("branch", "main")

    @property
    def site(self) -> str:
        """Where the pages are published: `html.baseurl`, else GitHub Pages of the repository."""
        base = self.config.get("html", {}).get("baseurl")
        if base:
            return base.rstrip("/")
        owner, name = self.repository.split("/")[-2:]
        return f"https://{owner}.github.io/{name}"

    @property
    def figure_words(self) -> str:
        """How a figure is referred to: Sphinx's `numfig_format`."""
        sphinx = self.config.get("sphinx", {}).get("config", {})
        return (sphinx.get("numfig_format") or {}).get("figure", "Fig. %s")

    def url(self, page: str, anchor: str = "") -> str:
        """Published address of a page (its path without extension)."""
        return f"{self.site}/{page}.html" + (f"#{anchor}" if anchor else "")

    def raw(self, path: str) -> str:
        """Address of a file as the repository serves it, for images in a lone notebook."""
        owner, name = self.repository.split("/")[-2:]
        return f"https://raw.githubusercontent.com/{owner}/{name}/{self.branch}/{path}"

    def _toc_line(self, entry: str) -> int:
        lines = (self.root / "_toc.yml").read_text(encoding="utf-8").splitlines()
        return next((i for i, line in enumerate(lines, 1) if re.search(re.escape(entry), line)), 1)


def find_root(start: Path) -> Path:
    """The nearest folder at or above `start` that holds `_toc.yml`."""
    for folder in (start, *start.parents):
        if (folder / "_toc.yml").is_file():
            return folder
    todo = "run it inside the book's repository, or say --root FOLDER"
    raise BookError(Problem("_toc.yml", 1, f"not found in or above {start.name or start}", todo))


def _read_yaml(root: Path, name: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load((root / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        todo = "run it inside the book's repository, or say --root FOLDER"
        raise BookError(Problem(name, 1, f"not found in {root.name or root}", todo)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise BookError(
            Problem(name, line, "not valid YAML", " ".join(str(error).split()))
        ) from None
    if not isinstance(content, dict):
        raise BookError(Problem(name, 1, "holds no settings", "see Jupyter Book's documentation"))
    return content


def _entries(toc: Any) -> Iterator[str]:
    """File entries of a table of contents in reading order."""
    if isinstance(toc, list):
        for item in toc:
            yield from _entries(item)
    elif isinstance(toc, dict):
        yield from (str(toc[key]) for key in ("root", "file") if key in toc)
        for key in ("parts", "chapters", "sections", "subtrees", "entries"):
            yield from _entries(toc.get(key))
