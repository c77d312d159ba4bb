"""Reading a chapter for the page: its `.md`, with the outputs of the notebook beside it.

myst-nb reads notebooks through a reader chosen by suffix that sees only the text. Here the reader
is chosen for each chapter, with its outputs as arguments, so that plain pages stay plain. Records
and the data of interactive figures are taken out of the outputs and become nodes of their own.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import nbformat
from docutils import nodes
from myst_nb.sphinx_ import Parser
from nbformat import NotebookNode

from derive_book import pair, state, verify
from derive_book.book import Book, Chapter
from derive_book.errors import BookError, Problem
from derive_book.figures import code_figure
from derive_book.nodes import check_node, figure_data
from derive_book.records import CHECK, Interactive, Record, read_interactive


class ChapterParser(Parser):
    """myst-nb's parser, with a chapter's outputs taken from its pair; nothing is executed."""

    supported = ("myst-nb",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        env = document.settings.env
        chapter = state.chapter(env.app, env.docname)
        page = state.states(env)[env.docname] = state.PageState()
        if chapter is None:
            super().parse(inputstring, document)
            return
        book = state.book(env.app)
        for path in (chapter.pair, book.root / "_toc.yml", book.root / "book" / "references.bib"):
            env.note_dependency(str(path))
        outputs = _outputs(book, chapter, page)
        notebook = page_notebook(chapter, outputs)
        reader = ("derive_book.parser.prepared", {"notebook": notebook}, False)
        plain = env.mystnb_config
        env.mystnb_config = plain.copy(custom_formats={".md": reader}, execution_mode="off")
        try:
            super().parse(inputstring, document)
        finally:
            env.mystnb_config = plain
        _insert(book, chapter, page, outputs, notebook, document)


def prepared(text: str, notebook: NotebookNode) -> NotebookNode:
    """The reader that myst-nb calls: the notebook has been made already."""
    return notebook


def page_notebook(chapter: Chapter, outputs: Sequence[Sequence[Mapping[str, Any]]]) -> NotebookNode:
    """The chapter with its MyST prose and the outputs that myst-nb is to show."""
    notebook = copy.deepcopy(chapter.notebook)
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for source, cell, shown in zip(chapter.code, code, outputs, strict=True):
        cell.outputs = [_static(output) for output in shown if CHECK not in output.get("data", {})]
        for output in shown:
            if interactive := read_interactive(output):
                name, caption = code_figure(source, shown)
                options = cell.metadata.setdefault("mystnb", NotebookNode())
                options["image"] = NotebookNode(alt=interactive.alt)
                options["figure"] = NotebookNode(name=name, caption=caption)
    return notebook


def _outputs(
    book: Book, chapter: Chapter, page: state.PageState
) -> Sequence[Sequence[NotebookNode]]:
    """The pair's outputs, none from the first cell on that was edited; notes what is wrong."""
    page.claims = chapter.claims
    page.problems = verify.chapter_problems(book, chapter)
    try:
        notebook = pair.read(chapter)
        records = verify.chapter_records(chapter)
    except BookError:
        return [[] for _ in chapter.code]
    # What stands behind the first edited cell may depend on it.
    trusted = pair.cells_in_step(chapter, notebook)
    page.records = [record for record in records if record.cell < trusted]
    outputs = pair.outputs_of(notebook)[:trusted]
    return [*outputs, *([] for _ in chapter.code[trusted:])]


def _static(output: NotebookNode) -> NotebookNode:
    """An output as myst-nb is to show it: of an interactive figure only the picture."""
    if read_interactive(output) is None:
        return output
    data = {mime: content for mime, content in output.data.items() if mime.startswith("image/")}
    return nbformat.v4.new_output("display_data", data=data)


def _insert(
    book: Book,
    chapter: Chapter,
    page: state.PageState,
    outputs: Sequence[Sequence[NotebookNode]],
    notebook: NotebookNode,
    document: nodes.document,
) -> None:
    """Put the check lines, and the data of interactive figures, into the cells they belong to."""
    containers = {
        node["cell_index"]: node
        for node in document.findall(nodes.container)
        if node.get("nb_element") == "cell_code"
    }
    numbers = {claim.label: claim.number for claim in chapter.claims}
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    seen: dict[str, int] = {}
    for index, cell in enumerate(code):
        container = containers.get(cell)
        if container is None:
            continue
        for record in (record for record in page.records if record.cell == index):
            seen[record.label] = seen.get(record.label, 0) + 1
            number = numbers.get(record.label, "?")
            line = _check(record, seen[record.label], number, book, chapter)
            _output_container(container).append(line)
        for output in outputs[index]:
            if interactive := read_interactive(output):
                _make_interactive(book, chapter, page, index, container, interactive)


def _check(record: Record, index: int, number: str, book: Book, chapter: Chapter) -> nodes.Node:
    node = check_node(record, index, number, book.repository, chapter.path)
    node.source, node.line = chapter.path, chapter.code[record.cell].line
    return node


def _output_container(cell: nodes.container) -> nodes.container:
    """The cell's output area, made if it showed nothing else; myst-nb keeps it last."""
    last = cell.children[-1] if cell.children else None
    if isinstance(last, nodes.container) and last.get("nb_element") == "cell_code_output":
        return last
    cell += nodes.container(nb_element="cell_code_output", classes=["cell_output"])
    return cell.children[-1]


def _make_interactive(
    book: Book,
    chapter: Chapter,
    page: state.PageState,
    index: int,
    cell: nodes.container,
    interactive: Interactive,
) -> None:
    """Mark the cell's figure as one that a script draws, and add what it draws from."""
    figure = next(iter(cell.findall(nodes.figure)), None)
    script = f"book/_interactive/{interactive.name}.js"
    line = chapter.code[index].line
    parts = (nodes.image, nodes.caption)
    if figure is None or not all(any(figure.findall(part)) for part in parts):
        what = f"interactive figure {interactive.name} has no static picture or no caption"
        page.problems.append(Problem(chapter.path, line, what, "call interactive(…) with both"))
        return
    if not (book.root / script).is_file():
        what = f"interactive figure {interactive.name} has no script"
        page.problems.append(Problem(chapter.path, line, what, f"write {script}"))
    figure["interactive"] = interactive.name
    figure.insert(1, figure_data(interactive=interactive))
