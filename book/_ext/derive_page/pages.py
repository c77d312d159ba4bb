"""What is read off the written pages: sections for the search, claims to be shown elsewhere.

Reading the pages themselves, not the sources, means that the search finds what a reader sees:
the equation's number, the tick's figure, the words without the formulas.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"br", "hr", "img", "input", "link", "meta", "source", "wbr", "col"}
# neither words of the book nor readable out of context
SKIPPED = {"script", "style", "svg", "nav", "button", "pre"}
UNSAID = {"headerlink", "katex-html", "cell_output", "section-number", "visually-hidden"}
HEADINGS = {"h1", "h2", "h3", "h4"}
BLOCKS = {"p", "li", "td", "th", "div", "section", "dd", "dt", "figcaption", "summary", "tr"}


@dataclass
class Section:
    """A stretch of a page under one heading, or one claim."""

    anchor: str
    title: str = ""
    text: str = ""


@dataclass
class Claim:
    """A numbered equation with its tick, as it stands on a page."""

    label: str
    kind: str
    number: str = ""
    figure: str = ""
    section: str = ""
    said: str = ""  # the words before it


@dataclass
class Page:
    title: str = ""
    sections: list[Section] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)


def ending(text: str, length: int = 240) -> str:
    """The last words of a text."""
    return text if len(text) <= length else text[-length:].partition(" ")[2]


class Reader(HTMLParser):
    """Walk over the `article` of a page and collect its sections and claims."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self.open: list[tuple[str, str]] = []  # (tag, role) of the elements we are inside of
        self.anchors: list[str] = []
        self.claim: Claim | None = None

    def inside(self, *roles: str) -> bool:
        return any(role in roles for _, role in self.open)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        given = dict(attributes)
        classes = (given.get("class") or "").split()
        role = self.role(tag, classes)
        if tag == "section" and self.inside("article"):
            self.anchors.append(given.get("id", ""))
        if tag in HEADINGS and self.inside("article") and self.anchors:
            self.page.sections.append(Section(self.anchors[-1]))
        if role == "claim" and self.page.sections:
            kind = next((c.removeprefix("claim-") for c in classes if c.startswith("claim-")), "")
            label = given.get("id", "").removeprefix("claim-")
            section = self.page.sections[-1]
            self.claim = Claim(label, kind, section=section.title, said=ending(section.text))
            self.page.claims.append(self.claim)
        if tag in BLOCKS or tag == "br":
            self.add(" ")
        if tag not in VOID:
            self.open.append((tag, role))

    def role(self, tag: str, classes: list[str]) -> str:
        if tag == "article":
            return "article"
        if tag in HEADINGS:
            return "heading"
        if tag == "math":
            return "math"
        if tag in SKIPPED or UNSAID & set(classes):
            return "skipped"
        for role in ("claim", "eqno", "tick-figure", "tick"):
            if role in classes:
                return role
        return "display" if "math" in classes and tag == "div" else ""

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID or tag not in (open_tag for open_tag, _ in self.open):
            return
        while self.open:
            closed, role = self.open.pop()
            if role == "claim":
                self.claim = None
            if closed == "section" and self.inside("article"):
                self.anchors.pop()
            if role == "math" and not self.inside("skipped", "display"):
                self.end_formula()
            if closed == tag:
                break
        if tag in BLOCKS:
            self.add(" ")

    formula = ""

    def end_formula(self) -> None:
        """A lone letter or number is a word of the sentence; a longer formula is left out."""
        letters = self.formula.strip()
        self.add(letters if len(letters) <= 2 else "…")
        self.formula = ""

    def handle_data(self, data: str) -> None:
        if not self.inside("article") or self.inside("skipped"):
            return
        if self.inside("math"):
            self.formula += data if not self.inside("display") else ""
        elif self.claim and self.inside("eqno"):
            self.claim.number += data.strip().strip("()")
        elif self.claim and self.inside("tick-figure"):
            self.claim.figure += data
        elif not self.inside("tick", "eqno", "display"):
            self.add(data)

    def add(self, words: str) -> None:
        if not self.page.sections or self.inside("skipped"):
            return
        section = self.page.sections[-1]
        if self.inside("heading"):
            section.title += words
            if len(self.page.sections) == 1:
                self.page.title = section.title
        elif not self.claim:
            section.text = re.sub(r"\s+", " ", section.text + words)


def read(html: str) -> Page:
    """The sections and claims of a written page."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    page = reader.page
    page.title = " ".join(page.title.split())
    for part in page.sections:
        part.title, part.text = " ".join(part.title.split()), part.text.strip()
    for claim in page.claims:
        claim.section = " ".join(claim.section.split())
    return page


def claim_markup(html: str, label: str) -> str:
    """The `div` of one claim, cut out of a page; empty if it is not there."""
    start = re.search(rf'<div [^>]*id="claim-{re.escape(label)}"[^>]*>', html)
    if not start:
        return ""
    depth = 0
    for tag in re.finditer(r"<(/?)div\b", html[start.start() :]):
        depth += -1 if tag[1] else 1
        if depth == 0:
            end = html.index(">", start.start() + tag.start()) + 1
            return html[start.start() : end]
    return ""
