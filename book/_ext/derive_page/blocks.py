"""Small pieces of markup: folded text, folded cells, wide tables, the tick on the home page."""

import html
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole

KINDS = ("identity", "equal", "bound", "order", "sampled", "observed")

# myst-nb's words for what a folded cell holds, in ours
FOLDS = {"content": "Code and result", "source": "Code", "output": "Result", "outputs": "Result"}


class Fold(nodes.Element):
    """A `details` element; its first child is its summary."""


class FoldSummary(nodes.TextElement):
    """What a reader sees of a fold before unfolding it."""


class Dropdown(SphinxDirective):
    """Text that a reader unfolds: ```{dropdown} Title."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {"open": directives.flag}

    def run(self) -> list[nodes.Node]:
        title, messages = self.parse_inline(self.arguments[0])
        fold = Fold(open="open" in self.options)
        fold += FoldSummary("", "", *title)
        fold += self.parse_content_to_nodes()
        return [fold, *messages]


def visit_fold(translator, node) -> None:
    translator.body.append(f'<details class="fold"{" open" if node["open"] else ""}>\n')


def visit_summary(translator, node) -> None:
    translator.body.append("<summary>")


def depart_summary(translator, node) -> None:
    translator.body.append("</summary>\n")


def visit_folded_cell(translator, node) -> None:
    # myst-nb gives every summary the label "Toggle hidden content", which hides its text
    prompt = FOLDS.get(node["prompt_show"], node["prompt_show"])
    classes = " ".join(["hide", *node["classes"]])
    translator.body.append(
        f'<details class="{classes}">\n<summary>{html.escape(prompt)}</summary>\n'
    )


def depart_fold(translator, node) -> None:
    translator.body.append("</details>\n")


class FoldSetup(SphinxPostTransform):
    """The set-up cell of a chapter, which is there for notebooks, folded on the page."""

    default_priority = 190  # before myst-nb folds what is marked (199)
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") == "cell_code" and "tag_setup" in cell["classes"]:
                cell["hide_mode"] = "all"
                cell["prompt_show"] = cell["prompt_hide"] = "Set-up"


class WideTables(SphinxPostTransform):
    """Each table in a box of its own that scrolls, so that the page does not."""

    default_priority = 800
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for table in list(self.document.findall(nodes.table)):
            box = nodes.container(classes=["scroll"])
            table.replace_self(box)
            box += table


class ClaimShown(SphinxDirective):
    """One claim of a chapter, with its tick, above the words that are the directive's content."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        # filled in when the chapter's page has been written (finish.show_claims); without such a
        # claim the stylesheet hides the whole
        label = html.escape(self.arguments[0])
        box = nodes.container(classes=["shown"])
        box += nodes.raw("", f"<!--claim {label}--><!--/claim-->", format="html")
        box += self.parse_content_to_nodes()
        return [box]


class Mark(SphinxRole):
    """The mark of a kind of check, as ticks show it: {mark}`bound`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        if self.text not in KINDS:
            message = self.inliner.reporter.error(
                f"{{mark}}`{self.text}` is no kind of check; the kinds are {', '.join(KINDS)}."
            )
            return [], [message]
        mark = f'<span class="mark mark-{self.text}" aria-hidden="true"></span>'
        return [nodes.raw("", mark, format="html")], []


def setup(app) -> None:
    app.add_node(Fold, html=(visit_fold, depart_fold))
    app.add_node(FoldSummary, html=(visit_summary, depart_summary))
    app.add_node(HideCodeCellNode, override=True, html=(visit_folded_cell, depart_fold))
    app.add_directive("dropdown", Dropdown)
    app.add_directive("claim-shown", ClaimShown)
    app.add_role("mark", Mark())
    app.add_post_transform(FoldSetup)
    app.add_post_transform(WideTables)
