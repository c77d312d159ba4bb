"""MyST prose as Markdown for places that know no MyST: Colab, GitHub, JupyterLab.

`CONVERSIONS` is the whole language: what is not in it is an error with its line, never raw text.
Source that needs no conversion is copied as it stands.
"""

import posixpath
import re
from collections.abc import Callable

from markdown_it.token import Token

from derive_book import source
from derive_book.book import Book, Chapter, Label
from derive_book.errors import Problem
from derive_book.figures import Figure
from derive_book.source import ADMONITIONS, Directive

CONVERSIONS = (
    ("`{math}` with `:label: x`, `$$ … $$ (x)`", "`$$ … \\tag{1.3} $$`"),
    ("`{math}` without a label", "`$$ … $$`"),
    ("`` {eq}`x` ``", "(1.3); of another chapter: (2.1), linked to its page"),
    ("`` {ref}`x` ``, `` {ref}`words <x>` ``", "the title or the words; other pages linked"),
    ("`` {numref}`x` ``", "Figure 1.2; of another chapter: linked to its page"),
    ("`` {doc}`path` ``, `[words](page.md)`", "a link to the published page"),
    ("`` {cite:t}`key` ``", "Dasgupta and Gupta (2003), and an entry under References"),
    ("`` {cite:p}`key` ``", "(Dasgupta and Gupta 2003), and an entry under References"),
    ("`{note}` `{tip}` `{warning}` `{important}`", "a block quote that begins **Note.**"),
    ("`{admonition} Title`", "a block quote that begins **Title.**"),
    ("`{dropdown} Title`", "`<details><summary>Title</summary> … </details>`"),
    ("`{image}`, `![alt](path)`", "the image at the repository's address"),
    ("`{figure}`", "the image, and under it **Figure 1.2.** caption"),
    ("`mystnb: {figure: {caption: …}}` of a cell", "**Figure 1.2.** caption under its output"),
    ("`` {claims}`count` ``", "25 of 25 claims checked"),
    ("targets `(x)=`, comments `% …`", "nothing"),
    ("`hide-input`, `hide-cell` tags", "the cell's code folded in Colab and JupyterLab"),
)

# One pass from left to right, as Markdown reads: what comes first wins.
_INLINE = re.compile(
    r"""
      (?P<escape>\\.)
    | \{(?P<role>[a-zA-Z_][\w:+.-]*)\}(?P<ticks>`+)(?P<content>.+?)(?<!`)(?P=ticks)(?!`)
    | (?P<fence>`+)(?!`).+?(?<!`)(?P=fence)(?!`)
    | (?P<math>\$\$.+?\$\$|\$(?:\\.|[^$\\])+?\$)
    | (?P<substitution>\{\{.+?\}\})
    | (?P<footnote>\[\^[^\]]+\])
    | (?P<image>!\[)(?P<alt>[^\]]*)\]\((?P<src>[^)\s]+)(?P<rest>[^)]*)\)
    | (?P<link>\]\()(?P<href>[^)\s]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_EXPLICIT = re.compile(r"^(?P<words>.+?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)
_PREFIX = re.compile(r"^(?:\s|>|[-*+](?=\s)|\d+[.)](?=\s))*")
_DROPPED = ("myst_target", "myst_line_comment", "front_matter")
_UNKNOWN_BLOCKS = {
    "amsmath": "write $$ … $$, or a {math} directive with :label: for a claim",
    "substitution_block": "write the words themselves",
    "footnote_reference_open": "say it in the text",
    "dl_open": "write a list",
    "field_list_open": "write a list",
}


class Prose:
    """Converts the prose of one chapter; collects what it cites and what it cannot convert."""

    def __init__(
        self,
        book: Book,
        chapter: Chapter,
        figures: list[Figure],
        elsewhere: Callable[[str], Label | None],
        count: str,
    ) -> None:
        self._book = book
        self._chapter = chapter
        self._bibliography = book.bibliography
        self._figures = figures
        self._elsewhere = elsewhere
        self._numbers = {claim.label: claim.number for claim in chapter.claims}
        self._count = count
        self.cited: list[str] = []
        self.problems: list[Problem] = []

    def convert(self, text: str, line: int) -> str:
        """The text, which begins at a line of the chapter, as plain Markdown."""
        lines = text.splitlines()
        edits: dict[tuple[int, int], str | None] = {}
        row: list[int] | None = None
        for token in source.tokens(text):
            if token.type == "tr_open":
                row = token.map
            span = tuple(token.map or row or (0, 0))
            if token.type == "inline":
                edits.setdefault(span, None)
            elif (new := self._block(token, line)) is not None:
                edits[span] = new
        # From the end, so that line numbers before an edit stay true.
        for (start, end), new in sorted(edits.items(), reverse=True):
            if new is None:
                old = "\n".join(lines[start:end])
                lines[start:end] = self._inline(old, line + start).split("\n")
            else:
                lines[start:end] = _fit(new, lines, start, end)
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")

    def references(self) -> str:
        """The closing cell, or "" where nothing is cited."""
        if not self.cited:
            return ""
        keys = sorted(self.cited, key=self._bibliography.order)
        entries = (f"- {self._bibliography.reference(key)}" for key in keys)
        return "\n".join(["## References", "", *entries])

    # Blocks

    def _block(self, token: Token, line: int) -> str | None:
        """What replaces a block token; None to leave it as it is."""
        at = line + (token.map or [0, 0])[0]
        if token.type in _DROPPED:
            return ""
        if token.type == "math_block_label":
            return self._display(token.content, token.info)
        if token.type in _UNKNOWN_BLOCKS:
            return self._refuse(at, f"{token.type} is not converted", _UNKNOWN_BLOCKS[token.type])
        found = source.directive(token, line)
        if found is None:
            return None
        if found.name == "math":
            body = "\n".join(part for part in (found.argument, found.body) if part)
            return self._display(body, found.options.get("label", found.options.get("name")))
        if found.name in ADMONITIONS:
            return self._admonition(found)
        if found.name == "dropdown":
            title = self._inline(found.argument, found.line)
            body = self.convert(found.body, found.body_line)
            return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"
        if found.name in ("image", "figure"):
            return self._picture(found)
        todo = "use one that `python -m derive_book conversions` lists"
        return self._refuse(at, f"unknown directive {{{found.name}}}", todo)

    def _display(self, latex: str, label: str | None) -> str:
        latex = latex.strip()
        # Outside an environment MathJax ignores \\, which the page's KaTeX obeys.
        outside = re.sub(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", "", latex, flags=re.DOTALL)
        if r"\\" in outside:
            latex = f"\\begin{{gathered}}\n{latex}\n\\end{{gathered}}"
        tag = f" \\tag{{{self._numbers.get(label, '?')}}}" if label else ""
        return f"$$\n{latex}{tag}\n$$"

    def _admonition(self, found: Directive) -> str:
        title = found.argument if found.name == "admonition" else found.name.capitalize()
        title = self._inline(title, found.line)
        text = found.body
        if found.name != "admonition" and found.argument:
            text = f"{found.argument}\n{text}"
        body = self.convert(text, found.body_line)
        stop = "" if title.endswith((".", "?", "!", ":")) else "."
        quoted = "\n".join(f"> {row}".rstrip() for row in body.splitlines())
        return f"> **{title}{stop}**\n>\n{quoted}"

    def _picture(self, found: Directive) -> str:
        alt = str(found.options.get("alt", ""))
        picture = f"![{alt}]({self._file(found.argument)})"
        if found.name == "image":
            return picture
        caption = self.convert(found.body, found.body_line)
        figure = next((f for f in self._figures if f.line == found.line), None)
        return f"{picture}\n\n**Figure {figure.number}.** {caption}" if figure else picture

    # Inline

    def _inline(self, text: str, line: int) -> str:
        def replace(match: re.Match[str]) -> str:
            at = line + text.count("\n", 0, match.start())
            if name := match["role"]:
                return self._role(name, " ".join(match["content"].split()), at)
            if match["image"]:
                return f"![{match['alt']}]({self._file(match['src'])}{match['rest']})"
            if match["link"]:
                return f"]({self._link(match['href'], at)}"
            if match["substitution"] or match["footnote"]:
                what = f"{match[0]} is not converted"
                return self._refuse(at, what, "write the words themselves")
            return match[0]

        return _INLINE.sub(replace, text)

    def _role(self, name: str, content: str, line: int) -> str:
        roles: dict[str, Callable[[str, int], str]] = {
            "eq": self._equation,
            "ref": self._reference,
            "numref": self._figure_number,
            "doc": self._document,
            "cite:t": self._cite_text,
            "cite:p": self._cite_parentheses,
            "claims": lambda _content, _line: self._count,
        }
        if name in roles:
            return roles[name](content, line)
        todo = "use one that `python -m derive_book conversions` lists"
        return self._refuse(line, f"unknown role {{{name}}}", todo)

    def _equation(self, label: str, line: int) -> str:
        if label in self._numbers:
            return f"({self._numbers[label]})"
        if label in self._book.claims:
            chapter, claim = self._book.claims[label]
            return f"[({claim.number})]({self._book.url(chapter.name, f'claim-{label}')})"
        return self._refuse(line, f"no equation {label}", "use the :label: of a numbered equation")

    def _reference(self, content: str, line: int) -> str:
        match = _EXPLICIT.match(content)
        target = match["target"] if match else content
        label = self._target(target)
        if label is None:
            todo = "put (name)= before a heading, or use the name of a figure"
            return self._refuse(line, f"no target {target}", todo)
        words = match["words"] if match else label.title
        return words if label.page == self._chapter.name else self._to(label, words, target)

    def _figure_number(self, content: str, line: int) -> str:
        match = _EXPLICIT.match(content)
        target = match["target"] if match else content
        label = self._target(target)
        if label is None or not label.number:
            return self._refuse(line, f"no figure {target}", "use the name of a figure")
        words = match["words"] if match else self._book.figure_words
        words = words.replace("%s", label.number)
        words = words.replace("{number}", label.number)
        return words if label.page == self._chapter.name else self._to(label, words, target)

    def _document(self, content: str, line: int) -> str:
        match = _EXPLICIT.match(content)
        target = match["target"] if match else content
        page = next((p for p in self._book.pages if p.name == self._path(target)), None)
        if page is None:
            todo = "give a page of _toc.yml, relative to this file, without .md"
            return self._refuse(line, f"no page {target}", todo)
        return f"[{match['words'] if match else page.title}]({self._book.url(page.name)})"

    def _cite_text(self, content: str, line: int) -> str:
        known = self._keys(content, line)
        cited = [f"{self._bibliography.authors(k)} ({self._bibliography.year(k)})" for k in known]
        return ", ".join(cited[:-1]) + " and " + cited[-1] if len(cited) > 1 else "".join(cited)

    def _cite_parentheses(self, content: str, line: int) -> str:
        known = self._keys(content, line)
        cited = (f"{self._bibliography.authors(k)} {self._bibliography.year(k)}" for k in known)
        return f"({'; '.join(cited)})"

    # Targets

    def _keys(self, content: str, line: int) -> list[str]:
        keys = [key.strip() for key in content.split(",")]
        for key in keys:
            if key not in self._bibliography:
                todo = f"add it to {self._bibliography.path.name} or mend the key"
                self._refuse(line, f"no reference {key}", todo)
            elif key not in self.cited:
                self.cited.append(key)
        return [key for key in keys if key in self._bibliography]

    def _target(self, name: str) -> Label | None:
        for figure in self._figures:
            if figure.name == name:
                return Label(self._chapter.name, "figure", figure.caption, figure.number)
        return self._book.labels.get(name) or self._elsewhere(name)

    def _to(self, label: Label, words: str, anchor: str) -> str:
        return f"[{words}]({self._book.url(label.page, anchor)})"

    def _link(self, href: str, line: int) -> str:
        if re.match(r"[a-z][a-z+.-]*:|//", href):
            return href
        path, _, anchor = href.partition("#")
        if not path:
            return self._book.url(self._chapter.name, anchor)
        name = self._path(path.removesuffix(".md").removesuffix(".ipynb"))
        if any(page.name == name for page in self._book.pages):
            return self._book.url(name, anchor)
        if not (self._book.root / self._path(path)).exists():
            return self._refuse(line, f"the link {href} leads nowhere", "mend its path")
        return f"{self._book.repository}/blob/{self._book.branch}/{self._path(path)}"

    def _file(self, path: str) -> str:
        return path if re.match(r"[a-z]+:", path) else self._book.raw(self._path(path))

    def _path(self, relative: str) -> str:
        """A path as written in the chapter, from the root of the book."""
        if relative.startswith("/"):
            return relative.lstrip("/")
        return posixpath.normpath(posixpath.join(posixpath.dirname(self._chapter.path), relative))

    def _refuse(self, line: int, what: str, todo: str) -> str:
        self.problems.append(Problem(self._chapter.path, line, what, todo))
        return ""


def _fit(new: str, lines: list[str], start: int, end: int) -> list[str]:
    """The lines that replace `start:end`, indented as the old ones and set off by blank lines."""
    if not new:
        return []
    first = _PREFIX.match(lines[start])[0]
    others = re.sub(r"[^\s>]", " ", first)
    fitted = [(others if i else first) + row for i, row in enumerate(new.splitlines())]
    fitted = [row.rstrip() for row in fitted]
    blank = others.rstrip()
    if start and lines[start - 1].strip(" >") and first == others:
        fitted.insert(0, blank)
    if end < len(lines) and lines[end].strip(" >"):
        fitted.append(blank)
    return fitted
