"""Reading MyST source: its blocks, its directives and its code cells, each with its line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml
from jupytext.myst import MystMetadataParsingError, myst_to_notebook
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from nbformat import NotebookNode

# Directives whose content is MyST again; everything else is read by its own rule or refused.
ADMONITIONS = ("note", "tip", "warning", "important", "admonition")
CONTAINERS = (*ADMONITIONS, "dropdown")

_DIRECTIVE = re.compile(r"^\{([\w:.+-]+)\}\s*(.*)$", re.DOTALL)
_FRONT = re.compile(r"---\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|$)", re.DOTALL)
_OPTION = re.compile(r"^\s*:([\w-]+):\s?(.*)$")


@dataclass(frozen=True)
class Directive:
    """A fenced directive; `line` and `body_line` count from 1 in the file."""

    name: str
    argument: str
    options: dict[str, Any]
    body: str
    line: int
    body_line: int


@dataclass(frozen=True)
class Cell:
    """A cell of a chapter; `line` is where its source begins in the file, counted from 1."""

    kind: str
    source: str
    metadata: dict[str, Any]
    line: int


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    # amsmath is on so that a bare \begin{equation} is seen, and refused, as mathematics.
    extensions = {"amsmath", "colon_fence", "dollarmath", "substitution", "tasklist"}
    config = MdParserConfig(enable_extensions=extensions, dmath_double_inline=True)
    return create_md_parser(config, RendererHTML)


@lru_cache(maxsize=512)  # claims, figures and prose of a chapter each read the same texts
def tokens(text: str) -> list[Token]:
    """The block tokens of a MyST text, inline children included; `map` counts lines from 0."""
    return _parser().parse(text + "\n")


def directive(token: Token, first_line: int = 1) -> Directive | None:
    """The directive that a fence token writes, or None for plain code and other tokens.

    `first_line` is the file line on which the parsed text begins. Options stand either between
    two lines `---` (YAML) or one a line as `:key: value` (kept as strings).
    """
    if token.type not in ("fence", "colon_fence"):
        return None
    match = _DIRECTIVE.match(token.info.strip())
    if match is None:
        return None
    line = first_line + (token.map or [0, 0])[0]
    name = match[1]
    body = token.content.splitlines()
    total = len(body)
    try:
        # jupytext reads the options of cells.
        options, body = ({}, body) if name in ("code-cell", "raw-cell") else _options(body)
    except yaml.YAMLError:
        name, options = f"{name} with unreadable options", {}  # no directive, so it is refused
    if body and not body[0].strip():
        body = body[1:]
    start = line + 1 + total - len(body)
    return Directive(name, match[2].strip(), options, "\n".join(body).rstrip(), line, start)


def _options(lines: list[str]) -> tuple[dict[str, Any], list[str]]:
    if lines and lines[0].strip() == "---":
        end = next((i for i, text in enumerate(lines[1:], 1) if text.startswith("---")), len(lines))
        options = yaml.safe_load("\n".join(lines[1:end])) or {}
        return options, lines[end + 1 :]
    options = {}
    while lines and (match := _OPTION.match(lines[0])):
        options[match[1]] = match[2].strip()
        lines = lines[1:]
    return options, lines


def blocks(text: str, first_line: int = 1) -> Iterator[tuple[Token, Directive | None, int]]:
    """Every block token with its directive and file line, those inside admonitions included."""
    for token in tokens(text):
        found = directive(token, first_line)
        yield token, found, first_line + (token.map or [0, 0])[0]
        if found is not None and found.name in CONTAINERS:
            yield from blocks(found.body, found.body_line)


def is_chapter(text: str) -> bool:
    """Whether a page is an executable chapter: its front matter declares a MyST notebook."""
    match = _FRONT.match(text)
    try:
        front = yaml.safe_load(match[1]) if match else {}
        return front["jupytext"]["text_representation"]["format_name"] == "myst"
    except (yaml.YAMLError, KeyError, TypeError):
        return False


def notebook(text: str) -> NotebookNode:
    """The chapter as jupytext reads it, with the start line of each cell in its metadata.

    Raises:
        ValueError: If the front matter or the options of a cell are not valid YAML.
    """
    try:
        return myst_to_notebook(text, add_source_map=True)
    except (MystMetadataParsingError, yaml.YAMLError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def cells(parsed: NotebookNode, text: str) -> list[Cell]:
    """The cells of a chapter that `notebook` has read, with their place in the text."""
    lines = text.splitlines()
    found = []
    for cell, start in zip(parsed.cells, parsed.metadata["source_map"], strict=True):
        source = cell.source.splitlines()
        # The map names the line after the fence, or the first of possibly blank lines.
        while start < len(lines) and lines[start : start + len(source)] != source:
            start += 1
        found.append(Cell(cell.cell_type, cell.source, dict(cell.metadata), start + 1))
    return found
