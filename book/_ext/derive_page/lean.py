"""KaTeX's HTML at half its weight, the same to the eye.

A chapter holds hundreds of formulas, each some dozens of elements deep; as KaTeX writes them they
would be most of a page and bring it over a megabyte. So elements go whose classes no rule of
KaTeX's stylesheet mentions, frequent classes and styles get short names, lengths lose digits
below a fiftieth of a pixel, and MathML keeps only what is spoken. `stylesheet`
is KaTeX's stylesheet for the result.
"""

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path

KATEX = Path(__file__).parents[2] / "_static" / "katex" / "katex.css"
TAG = "b"  # in place of span, thousands of times; hidden from assistive technology
CLASSES = {
    "base": "B",
    "frac-line": "F",
    "mathnormal": "n",
    "mspace": "m",
    "msupsub": "q",
    "nulldelimiter": "d",
    "pstrut": "p",
    "sizing": "z",
    "strut": "u",
    "vlist": "v",
    "vlist-r": "r",
    "vlist-s": "s",
    "vlist-t": "t",
    "vlist-t2": "T",
}
# Elements with exactly these classes and this style: one short class, with the rule for it
WHOLE = {
    ("mspace", "margin-right:.167em"): ("m1", "display:inline-block;margin-right:.167em"),
    ("mspace", "margin-right:.222em"): ("m2", "display:inline-block;margin-right:.222em"),
    ("mspace", "margin-right:.278em"): ("m3", "display:inline-block;margin-right:.278em"),
    ("pstrut", "height:2.7em"): ("p2", "height:2.7em;overflow:hidden;width:0"),
    ("pstrut", "height:3em"): ("p3", "height:3em;overflow:hidden;width:0"),
    ("sizing reset-size6 size3", ""): ("z3", "font-size:.7em"),
    ("sizing reset-size3 size1", ""): ("z1", "font-size:.7142857143em"),
}


@dataclass
class Span:
    """An element of KaTeX's layout; whatever is no span is kept as text among its children."""

    classes: list[str] = field(default_factory=list)
    style: str = ""
    rest: dict[str, str] = field(default_factory=dict)  # further attributes
    children: list = field(default_factory=list)

    def html(self) -> str:
        names = " ".join(CLASSES.get(c, c) for c in self.classes)
        style = self.style
        if whole := WHOLE.get((" ".join(self.classes), style)):
            names, style = whole[0], ""
        attributes = {"class": names, "style": style, **self.rest}
        given = "".join(f" {key}={quoted(value)}" for key, value in attributes.items() if value)
        return f"<{TAG}{given}>{joined(self.children)}</{TAG}>"


def joined(children: list) -> str:
    return "".join(child if isinstance(child, str) else child.html() for child in children)


def quoted(value: str) -> str:
    return f'"{value}"' if re.search(r"[\s\"'`=<>]", value) else value


def lean(html: str) -> str:
    """A formula as KaTeX wrote it, in fewer bytes."""
    html = re.sub(r"<math.*?</math>", lambda math: spoken(math[0]), html, flags=re.DOTALL)
    path = [Span()]
    for piece in re.split(r"(</?span[^>]*>)", html):
        if piece == "</span>":
            done = path.pop()
            keep_or_unwrap(done, path)
        elif piece.startswith("<span"):
            path.append(read(piece))
        elif piece:
            path[-1].children.append(piece)
    return joined(path[0].children)


def spoken(math: str) -> str:
    """The MathML, which nobody sees, with what a screen reader says."""
    math = re.sub(r"<annotation .*?</annotation>|</?semantics>", "", math, flags=re.DOTALL)
    math = re.sub(r"<mspace[^>]*></mspace>", "", math)
    # of the attributes, only the kind of letter (bold, double-struck) is spoken
    math = re.sub(r' (?!mathvariant|display=)[\w-]+="[^"]*"', "", math)
    math = re.sub(r"(<math[^>]*>)<mrow>(.*)</mrow></math>", r"\1\2</math>", math, flags=re.DOTALL)
    single = r"<mrow>(<(mi|mn|mo|mtext)[^>]*>[^<]*</\2>)</mrow>"
    return re.sub(single, r"\1", math)


def read(tag: str) -> Span:
    attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
    classes = [c for c in attributes.pop("class", "").split() if c in styled()]
    return Span(classes, short(attributes.pop("style", "")), attributes)


def keep_or_unwrap(span: Span, path: list[Span]) -> None:
    """Add an element to its parent, or only its children if the element itself says nothing."""
    parent = path[-1]
    above = set(path[-2].classes) if len(path) > 1 else set()
    parents, grandparents = placing()
    placed = parents & set(parent.classes) or grandparents & above
    if span.classes or span.style or span.rest or placed or len(path) < 2:
        parent.children.append(span)
    else:
        parent.children.extend(span.children)


def short(style: str) -> str:
    """A style with lengths to a thousandth of an em, without what CSS can do without."""

    def length(number: re.Match) -> str:
        text = f"{float(number[1]):.3f}".rstrip("0").rstrip(".")
        text = re.sub(r"^(-?)0\.", r"\1.", text)
        return "0" if text in ("0", "-0") else text + "em"

    return re.sub(r"(-?\d*\.?\d+)em\b", length, style).rstrip(";")


@functools.cache
def styled() -> frozenset[str]:
    """Classes that KaTeX's stylesheet mentions."""
    return frozenset(re.findall(r"\.(-?[a-zA-Z][\w-]*)", KATEX.read_text(encoding="utf-8")))


@functools.cache
def placing() -> tuple[frozenset[str], frozenset[str]]:
    """Classes whose children, and whose grandchildren, the stylesheet selects by their place."""
    css = KATEX.read_text(encoding="utf-8")
    parents = re.findall(r"\.([\w-]+)>", css)
    grandparents = re.findall(r"\.([\w-]+)>[\w.-]+>", css)
    return frozenset(parents), frozenset(grandparents)


def stylesheet() -> str:
    """KaTeX's stylesheet with the short names."""
    css = KATEX.read_text(encoding="utf-8").replace(">span", f">{TAG}")
    # longest first: "vlist-t2" is not "vlist" and the rest
    names = "|".join(sorted(map(re.escape, CLASSES), key=len, reverse=True))
    css = re.sub(rf"\.({names})(?![\w-])", lambda name: "." + CLASSES[name[1]], css)
    rules = [f".katex {TAG}{{font-weight:inherit}}"]
    rules += [f".katex .{name}{{{rule}}}" for name, rule in WHOLE.values()]
    return "\n".join([*rules, css])
