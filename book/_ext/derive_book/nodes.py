"""The book's own elements on a page: claims with ticks, checks, interactive figures."""

import json
from html import escape
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from derive_book.records import Record


class claim(nodes.Element):
    """A numbered equation; holds the `math_block`. Attributes: label, records."""


class check(nodes.Element):
    """The line that a passed check leaves. Attributes: record, index (from 1), number, report."""


class figure_data(nodes.Element):
    """The data of an interactive figure, after its static image. Attribute: interactive."""


def anchor(label: str, index: int = 1) -> str:
    """Id of the check line number `index` (from 1) of a claim."""
    return f"check-{label}" if index == 1 else f"check-{label}-{index}"


def check_node(record: Record, index: int, number: str, repository: str, page: str) -> check:
    """The check line of a record, with the address that reports its equation."""
    title = quote(f"Equation {record.label} ({number})", safe="")
    body = quote(f"Page: {page}\nEquation: {record.label}\nCheck: {record.line}\n\n", safe="")
    node = check(record=record, index=index, number=number)
    node["report"] = f"{repository}/issues/new?title={title}&body={body}"
    node += nodes.paragraph(text=record.line)  # for builders other than HTML
    return node


def kinds(records: list[Record]) -> str:
    """ "identity + sampled": each kind once, in order."""
    return " + ".join(dict.fromkeys(record.kind for record in records))


def _visit_claim(translator: HTML5Translator, node: claim) -> None:
    classes = ["claim", *dict.fromkeys(f"claim-{record.kind}" for record in node["records"])]
    label = escape(node["label"])
    translator.body.append(f'<div class="{" ".join(classes)}" id="claim-{label}">\n')


def _depart_claim(translator: HTML5Translator, node: claim) -> None:
    records = node["records"]
    if records:
        kind = escape(kinds(records))
        figure = escape("; ".join(dict.fromkeys(record.figure for record in records)))
        translator.body.append(
            f'<a class="tick" href="#{anchor(node["label"])}" '
            f'aria-label="Checked: {kind}, {figure}. Go to the check.">'
            '<span class="tick-mark" aria-hidden="true">✓</span>'
            f'<span class="tick-kind">{kind}</span>'
            f'<span class="tick-figure">{figure}</span></a>\n'
        )
    translator.body.append("</div>\n")


def _visit_check(translator: HTML5Translator, node: check) -> None:
    record: Record = node["record"]
    label, number = escape(record.label), escape(node["number"])
    translator.body.append(
        f'<div class="check check-{record.kind}" id="{anchor(label, node["index"])}">'
        f'<a class="check-back" href="#claim-{label}" '
        f'aria-label="Back to equation {number}">✓ ({number})</a> '
        f'<span class="check-kind">{record.kind}</span> '
        f'<span class="check-figure">{escape(record.figure)}</span> '
        f"{wrong_versions(record.wrong)} "
        f'<a class="report" href="{escape(node["report"])}">report this equation</a></div>\n'
    )
    raise nodes.SkipNode


def wrong_versions(wrong: dict[str, str], summary: str = "rejects {count} wrong version{s}") -> str:
    """What a check rejects, folded under a summary."""
    items = "".join(f"<li><b>{escape(name)}</b> {escape(how)}</li>" for name, how in wrong.items())
    summary = summary.format(count=len(wrong), s="" if len(wrong) == 1 else "s")
    return f'<details class="check-wrong"><summary>{summary}</summary><ul>{items}</ul></details>'


def _visit_figure(translator: HTML5Translator, node: nodes.figure) -> None:
    """Begin a figure; one that a script draws gets its name, and a stage to draw on."""
    if "interactive" not in node:
        type(translator).visit_figure(translator, node)
        return
    attributes = {"CLASS": "interactive", "data-figure": node["interactive"]}
    translator.body.append(translator.starttag(node, "figure", **attributes))
    translator.body.append('<div class="stage"></div>\n')


def _depart_figure(translator: HTML5Translator, node: nodes.figure) -> None:
    type(translator).depart_figure(translator, node)


def _visit_data(translator: HTML5Translator, node: figure_data) -> None:
    content = json.dumps(node["interactive"].data, ensure_ascii=False, separators=(",", ":"))
    # No "<" survives that could end the element.
    content = content.replace("<", "\\u003c")
    translator.body.append(f'<script type="application/json">{content}</script>\n')
    raise nodes.SkipNode


def _pass(translator: nodes.NodeVisitor, node: nodes.Node) -> None:
    """Leave it to the children, in builders other than HTML."""


def _skip(translator: nodes.NodeVisitor, node: nodes.Node) -> None:
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    others = dict.fromkeys(("latex", "text", "man", "texinfo"), (_pass, _pass))
    app.add_node(claim, html=(_visit_claim, _depart_claim), **others)
    app.add_node(check, html=(_visit_check, None), **others)
    app.add_node(figure_data, html=(_visit_data, None), **dict.fromkeys(others, (_skip, None)))
    app.add_node(nodes.figure, override=True, html=(_visit_figure, _depart_figure))
