"""Executing a chapter in an empty folder and writing its notebook, or nothing if it fails."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from traitlets.config import Config

from derive_book.book import Book, Chapter
from derive_book.errors import BookError, Problem
from derive_book.files import try_folder
from derive_book.pair import assemble, cells_in_step, outputs_of, read, stamp, write

SECONDS_A_CELL = 600
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LINE = re.compile(r"Cell In\[\d+\], line (\d+)|File <ipython-input[^>]*>:(\d+)")


def execute(
    book: Book,
    chapter: Chapter,
    *,
    seed: int = 0,
    profile: str = "cpu",
    out: Path | None = None,
) -> Path:
    """Run a chapter and write its notebook beside it, or into the folder `out`.

    Cells run with one thread in an empty folder, so that none can need a file left behind.
    Returns the path written.

    Raises:
        BookError: If the prose cannot be converted, a cell fails, or the notebook cannot be
            written; the one that was there stays.
    """
    path = chapter.pair if out is None else out / chapter.pair.name
    try_folder(path)
    _rehearse(book, chapter)
    outputs = run(chapter, seed=seed, profile=profile)
    try:
        stamp(chapter, outputs)
        notebook = assemble(book, chapter, outputs)
    except ValueError as error:
        todo = "make derive and derive_book of one version"
        raise BookError(Problem(chapter.path, 1, str(error), todo)) from error
    write(notebook, path)
    return path


def _rehearse(book: Book, chapter: Chapter) -> None:
    """Convert the prose without outputs: a wrong directive should not cost an execution."""
    try:
        assemble(book, chapter, [[] for _ in chapter.code])
    except BookError as error:
        # A figure is known only once its cell has shown it.
        certain = [p for p in error.problems if not p.what.startswith(("no figure", "no target"))]
        if certain:
            raise BookError(*certain) from error


def refresh(book: Book, chapter: Chapter) -> Path:
    """Convert the prose anew and keep the outputs: for edits that touch no code.

    Fingerprints stay as they are, so an edited equation still asks for its check to run.

    Raises:
        BookError: If a code cell differs from the one that was executed.
    """
    notebook = read(chapter)
    same = cells_in_step(chapter, notebook)
    if not same == len(chapter.code) == len(outputs_of(notebook)):
        line = chapter.code[same].line if same < len(chapter.code) else 1
        todo = f"run `make execute C={chapter.slug}`"
        raise BookError(Problem(chapter.path, line, f"code cell {same + 1} was edited", todo))
    write(assemble(book, chapter, outputs_of(notebook)), chapter.pair)
    return chapter.pair


def run(chapter: Chapter, *, seed: int = 0, profile: str = "cpu") -> list[list[NotebookNode]]:
    """The outputs of each code cell of a chapter, executed in a fresh kernel and folder."""
    cells = [nbformat.v4.new_code_cell(cell.source) for cell in chapter.code]
    notebook = nbformat.v4.new_notebook(cells=cells)
    with (
        tempfile.TemporaryDirectory(prefix="derive-") as scratch,
        _environment(scratch, seed, profile),
    ):
        (Path(scratch) / "cells").mkdir()
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=SECONDS_A_CELL,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(Path(scratch) / "cells")}},
            config=_sockets(Path(scratch)),
        )
        try:
            with client.setup_kernel():
                _run_cells(client, chapter)
        except (NoSuchKernel, RuntimeError) as error:
            what = f"the kernel python3 did not start ({' '.join(str(error).split())})"
            todo = "install ipykernel: pip install -e '.[book]'"
            raise BookError(Problem(chapter.path, 1, what, todo)) from error
    return [[_without_volatile(out) for out in cell.outputs] for cell in notebook.cells]


def _run_cells(client: NotebookClient, chapter: Chapter) -> None:
    for index, cell in enumerate(client.nb.cells):
        try:
            client.execute_cell(cell, index)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise BookError(_failure(chapter, index, error)) from error


def _sockets(folder: Path) -> Config:
    """Unix sockets, private to the user, where there are any: ipykernel warns of plain TCP."""
    if os.name != "posix":
        return Config()
    return Config({"KernelManager": {"transport": "ipc", "ip": str(folder / "kernel")}})


@contextmanager
def _environment(scratch: str, seed: int, profile: str) -> Iterator[None]:
    """What the kernel inherits: the same on every machine, and nothing of the user's profile."""
    wanted = {
        "DERIVE_PROFILE": profile,
        "DERIVE_SEED": str(seed),
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "IPYTHONDIR": str(Path(scratch) / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    old = dict(os.environ)
    os.environ.update(wanted)
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "MPLBACKEND"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(old)


def _without_volatile(output: NotebookNode) -> NotebookNode:
    """The output without what changes from run to run: counters, widgets, display ids."""
    output = nbformat.from_dict({**output})
    if output.output_type == "execute_result":
        output.execution_count = None
    output.pop("transient", None)
    for mime in [m for m in output.get("data", {}) if m.startswith("application/vnd.jupyter")]:
        del output.data[mime]
    return output


def _failure(chapter: Chapter, index: int, error: Exception) -> Problem:
    cell = chapter.code[index]
    if isinstance(error, CellExecutionError):
        trace = _ANSI.sub("", error.traceback)
        # The first frame is the cell's own; an error without a frame points to its first line.
        match = _LINE.search(trace)
        offset = int(match[1] or match[2]) - 1 if match else 0
        what = f"code cell {index + 1} raised {error.ename}: {_ANSI.sub('', error.evalue)}"
    elif isinstance(error, CellTimeoutError):
        what, offset = f"code cell {index + 1} ran longer than {SECONDS_A_CELL} s", 0
    else:
        what, offset = f"the kernel died in code cell {index + 1}", 0
    source = cell.source.splitlines()
    shown = source[min(offset, len(source) - 1)].strip() if source else ""
    todo = f"mend `{shown}`; the notebook is left as it was"
    return Problem(chapter.path, cell.line + offset, what, todo)
