"""The claims of a chapter: its numbered equations, in order, each with a fingerprint."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it.token import Token

from derive_book.errors import Problem
from derive_book.source import blocks

LABEL = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")  # as derive.check wants it
_NUMBERED = re.compile(
    r"\\begin\{(equation|align|gather|multline|alignat|flalign|eqnarray)\}|\\(label|tag)\b"
)


@dataclass(frozen=True)
class Claim:
    """A numbered equation: its label, its LaTeX, and the file line on which it starts."""

    label: str
    latex: str
    line: int
    number: str = ""

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.latex)


def normalise(latex: str) -> str:
    """LaTeX with every run of white space as one space: what a fingerprint depends on."""
    return " ".join(latex.split())


def fingerprint(latex: str) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the normalised LaTeX.

    Example:
        >>> fingerprint("a = b") == fingerprint(" a  =\\n b ")
        True
    """
    return hashlib.sha256(normalise(latex).encode()).hexdigest()[:16]


def parse(text: str, path: str, chapter: int) -> tuple[list[Claim], list[Problem]]:
    """The claims of a chapter, numbered `chapter`.1, .2, … in order, and its misnumbered ones."""
    claims: list[Claim] = []
    problems: list[Problem] = []
    for label, latex, line in _mathematics(text):
        if match := _NUMBERED.search(latex):
            problems.append(Problem(path, line, *_misnumbered(match)))
        if label is None:
            continue
        if not LABEL.fullmatch(label):
            what = f"the label {label!r} is no anchor"
            todo = "use small letters, digits and single hyphens, such as jl-norm"
            problems.append(Problem(path, line, what, todo))
            continue
        if not latex.strip() or "\n\n" in latex.strip():
            what = f"equation {label} is empty or holds a blank line"
            problems.append(Problem(path, line, what, "write one equation without blank lines"))
        claims.append(Claim(label, latex.strip(), line, f"{chapter}.{len(claims) + 1}"))
    return claims, problems


def _mathematics(text: str) -> Iterator[tuple[str | None, str, int]]:
    """Every piece of mathematics, and all inline text, as (label or None, LaTeX, line)."""
    for token, found, line in blocks(text):
        if found is not None and found.name == "math":
            latex = "\n\n".join(part for part in (found.argument, found.body) if part)
            yield found.options.get("label", found.options.get("name")), latex, found.line
        elif token.type == "math_block_label":
            yield token.info, token.content, line
        elif token.type in ("math_block", "amsmath"):
            yield None, token.content, line
        elif token.type == "inline":
            yield from ((None, content, line) for content in _inline(token))


def _inline(token: Token) -> Iterator[str]:
    for child in token.children or ():
        if child.type in ("text", "math_inline", "math_inline_double"):
            yield child.content


def _misnumbered(match: re.Match[str]) -> tuple[str, str]:
    inner = {"align": "aligned", "gather": "gathered", "alignat": "alignedat"}
    if match[1]:
        better = inner.get(match[1], "aligned")
        todo = f"use a {{math}} directive with :label:, with \\begin{{{better}}} inside if need be"
        return f"\\begin{{{match[1]}}} numbers an equation behind the book's back", todo
    return f"\\{match[2]} names an equation behind the book's back", (
        "use a {math} directive with :label: and refer to it with {eq}"
    )
