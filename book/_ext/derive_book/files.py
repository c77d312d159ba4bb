"""Writing files so that a full disk, a kill or a second program at work leaves whole ones."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from derive_book.errors import BookError, Problem


def write_text(path: Path, text: str) -> None:
    """Write in one step: readers see the old file or the new one, never half of one.

    Raises:
        BookError: If it cannot be written (disk full, folder read-only); the old file stays.
    """
    half = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            half = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        half.chmod(0o644)
        half.replace(path)
    except OSError as error:
        if half is not None:
            half.unlink(missing_ok=True)
        raise BookError(_refusal(path, error)) from error


def try_folder(path: Path) -> None:
    """Find out before an hour's work, not after it, that a file cannot be written.

    Raises:
        BookError: If nothing can be written to the folder of `path`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise BookError(_refusal(path, error)) from error


def read_json(path: Path, todo: str) -> Any:
    """What a JSON file of the book holds.

    Raises:
        BookError: If it is not there, or is no JSON (cut off, say); it ends in `todo`.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = f"cannot be read ({' '.join(str(error).split())[:80]})"
        raise BookError(Problem(str(path), 0, what, todo)) from error


def _refusal(path: Path, error: OSError) -> Problem:
    old = "; the file there is as it was" if path.is_file() else ""
    todo = "make room or choose a folder that can be written to, and run it again"
    return Problem(str(path), 0, f"cannot be written ({error.strerror or error}){old}", todo)


def only_one(folder: Path) -> FileLock:
    """The lock of a folder that one program at a time may fill; free when its process has ended.

    Raises:
        BookError: If another program holds it.
    """
    lock = FileLock(folder / ".in-use.lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        todo = "wait until it has ended, or build into another folder (--path-output)"
        problem = Problem(str(folder), 0, "another build is writing here", todo)
        raise BookError(problem) from error
    except OSError as error:
        raise BookError(_refusal(folder / "html", error)) from error
    return lock
