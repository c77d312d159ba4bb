"""The notebook that goes with a chapter: assembled from the `.md` and the outputs of its cells.

A pair is in step when assembling the `.md` with the notebook's own outputs gives the notebook.
"""

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from derive_book.book import Book, Chapter, Label
from derive_book.errors import BookError, Problem
from derive_book.figures import alt_text, figures
from derive_book.files import write_text
from derive_book.plain import Prose
from derive_book.records import CHECK, read_interactive, read_record, records
from derive_book.source import Cell

Outputs = Sequence[Sequence[NotebookNode]]
CHECKSUM = "sha256 of the outputs"


def assemble(book: Book, chapter: Chapter, outputs: Outputs) -> NotebookNode:
    """The notebook of a chapter, given the outputs of each of its code cells.

    Raises:
        BookError: If some of the prose cannot be converted; it names every such place.
    """
    shown = figures(chapter, outputs)
    count = count_claims(chapter, outputs)
    prose = Prose(book, chapter, shown, lambda name: _elsewhere(book, name), count)
    captions = {figure.cell: figure for figure in shown if figure.cell is not None}
    cells: list[NotebookNode] = []
    code = 0
    for cell in chapter.cells:
        if cell.kind == "code":
            made = new_code_cell(cell.source, metadata=_metadata(cell))
            made.outputs = [_with_alt(out, cell) for out in outputs[code]]
            cells.append(made)
            if code in captions:
                caption = prose.convert(captions[code].caption, cell.line)
                text = f"**Figure {captions[code].number}.** {caption}"
                cells.append(new_markdown_cell(text, metadata={"derive": "caption"}))
            code += 1
        elif text := prose.convert(cell.source, cell.line):
            cells.append(new_markdown_cell(text))
    _point_to_page(cells, book, chapter)
    if references := prose.references():
        cells.append(new_markdown_cell(references, metadata={"derive": "references"}))
    if prose.problems:
        raise BookError(*sorted(prose.problems))
    for index, made in enumerate(cells):
        key = f"{index}\n{made.cell_type}\n{made.source}"
        made.id = hashlib.sha256(key.encode()).hexdigest()[:12]
    runs = (made for made in cells if made.cell_type == "code")
    for number, made in enumerate(runs, 1):
        made.execution_count = number
    made = new_notebook(cells=cells, metadata=_notebook_metadata(chapter))
    made.metadata["derive"][CHECKSUM] = checksum(made)
    return made


def count_claims(chapter: Chapter, outputs: Outputs) -> str:
    """ "25 of 25 claims checked": how many equations have a record with their fingerprint."""
    checked = {(record.label, record.fingerprint) for record in records(outputs)}
    done = sum((claim.label, claim.fingerprint) in checked for claim in chapter.claims)
    return f"{done} of {len(chapter.claims)} claims checked"


def stamp(chapter: Chapter, outputs: Outputs) -> None:
    """Write the fingerprint of its equation into each record; for use right after execution."""
    prints = {claim.label: claim.fingerprint for claim in chapter.claims}
    for cell in outputs:
        for output in cell:
            record = read_record(output)
            if record is not None and record.label in prints:
                entry = output.setdefault("metadata", {}).setdefault(CHECK, {})
                entry["fingerprint"] = prints[record.label]


def read(chapter: Chapter) -> NotebookNode:
    """The notebook beside the chapter.

    Raises:
        BookError: If there is none, it is no notebook (cut off, say), or its outputs are not those
            that it was written with.
    """
    name, todo = chapter.pair.name, f"run `make execute C={chapter.slug}`"
    if not chapter.pair.is_file():
        raise BookError(Problem(chapter.path, 1, f"no notebook {name} beside it", todo))
    faults: dict[str, Exception] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of cells without a name, or with the same one
            notebook = nbformat.read(chapter.pair, as_version=4, capture_validation_error=faults)
        if faults:
            raise faults["ValidationError"]
        written = notebook.metadata.get("derive", {}).get(CHECKSUM)
    # What is cut off, or has a byte changed somewhere, makes nbformat raise anything.
    except Exception as error:
        what = f"{name} is no notebook ({' '.join(str(error).split())[:80]})"
        raise BookError(Problem(chapter.path, 1, what, todo)) from error
    # One without a checksum is out of step, and is told so there.
    if written is not None and written != checksum(notebook):
        what = f"the stored outputs of {name} were altered after it was written"
        raise BookError(Problem(chapter.path, 1, what, todo))
    return notebook


def checksum(notebook: NotebookNode) -> str:
    """Of all outputs, so that one altered by hand or by a bad disk is not shown as computed."""
    text = json.dumps(outputs_of(notebook), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def outputs_of(notebook: NotebookNode) -> list[list[NotebookNode]]:
    """The outputs of each code cell in order."""
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def cells_in_step(chapter: Chapter, notebook: NotebookNode) -> int:
    """How many code cells, from the first on, are the ones that were executed."""
    executed = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    pairs = enumerate(zip(executed, chapter.code, strict=False))
    edited = (index for index, (old, new) in pairs if old != new.source)
    return next(edited, min(len(executed), len(chapter.code)))


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook beside its chapter, or wherever it is wanted."""
    write_text(path, nbformat.writes(notebook, version=4) + "\n")


def step_problems(book: Book, chapter: Chapter, notebook: NotebookNode) -> list[Problem]:
    """Where the notebook first differs from what the chapter's text makes of it."""
    execute = f"run `make execute C={chapter.slug}`"
    same, executed = cells_in_step(chapter, notebook), len(outputs_of(notebook))
    if same < len(chapter.code):
        what = f"code cell {same + 1} is not the one in {chapter.pair.name}"
        return [Problem(chapter.path, chapter.code[same].line, what, execute)]
    if same < executed:
        what = f"{chapter.pair.name} has {executed - same} code cell(s) more"
        return [Problem(chapter.path, 1, what, execute)]
    try:
        expected = assemble(book, chapter, outputs_of(notebook))
    except BookError as error:
        return list(error.problems)
    refresh = f"run `python -m derive_book refresh {chapter.slug}` (nothing is executed)"
    for index, (mine, theirs) in enumerate(zip(expected.cells, notebook.cells, strict=False), 1):
        if mine != theirs:
            what = f"cell {index} of {chapter.pair.name} is out of step with the text"
            return [Problem(chapter.path, _line(chapter, expected, index), what, refresh)]
    if len(expected.cells) != len(notebook.cells) or expected.metadata != notebook.metadata:
        what = f"{chapter.pair.name} is out of step with the text"
        return [Problem(chapter.path, 1, what, refresh)]
    return []


def _elsewhere(book: Book, name: str) -> Label | None:
    """The figure of that name in any chapter that has been executed."""
    for chapter in book.chapters:
        if not chapter.pair.is_file():
            continue
        outputs = outputs_of(read(chapter))
        if len(outputs) != len(chapter.code):
            continue
        try:
            shown = figures(chapter, outputs)
        except ValueError:
            continue  # that chapter's own problem
        for figure in shown:
            if figure.name == name:
                return Label(chapter.name, "figure", figure.caption, figure.number)
    return None


def _line(chapter: Chapter, expected: NotebookNode, index: int) -> int:
    """The line of the chapter from which cell `index` (from 1) of its notebook was made."""
    own = [cell for cell in expected.cells[:index] if "derive" not in cell.metadata]
    return chapter.cells[min(len(own), len(chapter.cells)) - 1].line


def _metadata(cell: Cell) -> dict[str, Any]:
    """Tags, and what folds the code in Colab and JupyterLab."""
    tags = list(cell.metadata.get("tags") or ())
    metadata: dict[str, Any] = {"tags": tags} if tags else {}
    if "hide-input" in tags or "hide-cell" in tags:
        metadata["cellView"] = "form"
        metadata["jupyter"] = {"source_hidden": True}
        if "hide-cell" in tags:
            metadata["jupyter"]["outputs_hidden"] = True
    return metadata


def _with_alt(output: NotebookNode, cell: Cell) -> NotebookNode:
    """The output with the alt text where JupyterLab reads it, and without its counter."""
    output = nbformat.from_dict({**output})
    if output.output_type == "execute_result":
        output.execution_count = None
    interactive = read_interactive(output)
    alt = interactive.alt if interactive else alt_text(cell)
    for mime in output.get("data", {}):
        if mime.startswith("image/") and alt:
            output.metadata = nbformat.from_dict({**output.get("metadata", {})})
            output.metadata.setdefault(mime, NotebookNode())["alt"] = alt
    return output


def _point_to_page(cells: list[NotebookNode], book: Book, chapter: Chapter) -> None:
    address = book.url(chapter.name)
    line = f"*Read this chapter with its ticks at [{address.split('//')[-1]}]({address}).*"
    for cell in cells:
        rows = cell.source.splitlines()
        for index, row in enumerate(rows):
            if cell.cell_type == "markdown" and row.startswith("# "):
                cell.source = "\n".join([*rows[: index + 1], "", line, *rows[index + 1 :]])
                return
    raise BookError(Problem(chapter.path, 1, "the chapter has no title", "begin it with `# Title`"))


def _notebook_metadata(chapter: Chapter) -> dict[str, Any]:
    kernel = dict(chapter.notebook.metadata.get("kernelspec") or {})
    if kernel.get("name") != "python3":
        todo = "write kernelspec: {name: python3, display_name: Python 3, language: python}"
        raise BookError(Problem(chapter.path, 1, "the front matter names no python3 kernel", todo))
    return {
        "derive": {"made from": chapter.file.name, "edit": "the .md, then `make execute`"},
        "kernelspec": kernel,
        "language_info": {"name": "python"},
    }
