"""Word vectors from files: GloVe's text, word2vec's text and binary (chapter `wmd-wrd`).

Nothing is unpickled, and a file is believed only as far as it is long.
"""

import gzip
import os
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch

from derive._typing import typed
from derive.words.vectors import WordVectors

Format = Literal["auto", "glove", "word2vec", "word2vec-binary"]

# What gzip says of a file that is cut off or altered.
UNPACKING = (EOFError, OSError, zlib.error)
_LONGEST_WORD = 2000  # bytes; a "word" without an end means that the place is wrong
_SAMPLE = 4096


@typed
def load_vectors(
    path: str | os.PathLike[str],
    *,
    format: Format = "auto",
    words: Collection[str] | None = None,
    limit: int | None = None,
) -> WordVectors:
    """Read word vectors from a file that somebody has downloaded; `.gz` is unpacked on the way.

    One pass, memory for what is kept and one line. A text file may have words with spaces inside
    (the large GloVe files do): the last d fields of a line are the vector.

    Args:
        path: The file.
        format: "glove" is text without a header, "word2vec" text with a first line "V d",
            "word2vec-binary" the same header and float32 vectors, little-endian. "auto" looks at
            the first bytes.
        words: Keep only these (all others are skipped without being parsed).
        limit: Look at the first so many words only; such files are sorted by frequency.

    Returns:
        `WordVectors` in the file's order, float32. Of a word that occurs twice the first is kept,
        as all readers of these formats do.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If one of `words` is no string.
        ValueError: If the file is broken. The message has the line number, or the byte offset in
            a binary file, what was found, and what was expected.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "small.txt"
        >>> _ = file.write_text("the 0.5 1 2\\ncat 3 4 5\\n")
        >>> load_vectors(file)["cat"]
        tensor([3., 4., 5.])
    """
    path = Path(path)
    if limit is not None and limit < 1:
        raise ValueError(f"load_vectors needs limit >= 1, got {limit}.")
    for word in words or ():
        if not isinstance(word, str):
            raise TypeError(f"words must be strings, got {word!r}.")
    if path.is_dir():
        raise ValueError(f"load_vectors needs a file, got the folder {path.name!r}.")
    wanted = None if words is None else frozenset(words)
    with _opened(path) as file:
        if format == "auto":
            format = _guess(path, file)
        read = _binary_rows if format == "word2vec-binary" else _text_rows
        found: dict[str, np.ndarray] = {}
        for number, (word, row) in enumerate(read(path, file, format, wanted, limit), start=1):
            if row is not None:
                found.setdefault(word, row)
            if number == limit:
                break
    if not found:
        asked = "" if wanted is None else f" of the {len(wanted)} words asked for"
        raise ValueError(f"{path.name} holds none{asked or ' at all: no vector was read'}.")
    return WordVectors(list(found), torch.from_numpy(np.stack(list(found.values()))))


def _opened(path: Path) -> BinaryIO:
    # gzip.open has the methods of a file that are used here, not its type.
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _guess(path: Path, file: BinaryIO) -> Format:
    head = _take(path, file.read, _SAMPLE)
    file.seek(0)
    first, _, rest = head.partition(b"\n")
    if len(fields := first.split()) != 2 or not all(field.isdigit() for field in fields):
        return "glove"
    second = rest.partition(b"\n")[0]
    dimension = int(fields[1])
    # A text line after the header has d numbers; binary vectors are no text at all.
    numbers = second.split()[1:]
    if len(numbers) >= dimension and all(_is_number(field) for field in numbers[-dimension:]):
        return "word2vec"
    if len(second) + len(first) + 2 > _SAMPLE and all(_is_number(f) for f in numbers[:-1]):
        return "word2vec"  # a text line longer than the sample
    return "word2vec-binary"


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _text_rows(
    path: Path, file: BinaryIO, format: Format, wanted: frozenset | None, limit: int | None
) -> Iterator[tuple[str, np.ndarray | None]]:
    size, dimension, count = None, None, 0
    lines = _lines(path, file)
    if format == "word2vec":
        size, dimension = _header(path, next(lines, (1, b""))[1])
    for number, line in lines:
        where = f"{path.name}, line {number}"
        fields = line.rstrip(b" \r\n").split(b" ")
        if dimension is None:
            dimension = len(fields) - 1
        if dimension < 1 or len(fields) < dimension + 1:
            raise ValueError(
                f"{where}: {max(len(fields) - 1, 0)} numbers after the word, expected "
                f"{max(dimension, 1)}; the file is cut off, or of another format."
            )
        count += 1
        word = _text(where, b" ".join(fields[:-dimension]))
        if wanted is not None and word not in wanted:
            yield word, None
            continue
        try:
            with np.errstate(over="ignore"):  # becomes infinite, and is refused below
                row = np.array(fields[-dimension:], dtype="S").astype(np.float32)
        except ValueError:
            bad = next(field for field in fields[-dimension:] if not _is_number(field))
            raise ValueError(
                f"{where}: {_shown(bad)} is no number, in the vector of {word!r}."
            ) from None
        yield word, _finite(where, word, row)
    _require_all(path, size, count)


def _lines(path: Path, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    try:
        yield from enumerate(file, start=1)
    except UNPACKING as error:
        raise ValueError(f"{path.name}: cannot be unpacked: {error}.") from error


def _binary_rows(
    path: Path, file: BinaryIO, format: Format, wanted: frozenset | None, limit: int | None
) -> Iterator[tuple[str, np.ndarray | None]]:
    header = _take(path, file.readline, _SAMPLE)
    size, dimension = _header(path, header)
    offset, width = len(header), 4 * dimension
    if path.suffix != ".gz" and (least := offset + size * (width + 2)) > path.stat().st_size:
        raise ValueError(
            f"{path.name}, byte 0: the header promises {size} words of {dimension} numbers, at "
            f"least {least} bytes; the file has {path.stat().st_size}."
        )
    for _ in range(size):
        start, spelling = offset, bytearray()
        while (letter := _take(path, file.read, 1)) != b" ":
            offset += 1
            if not letter or len(spelling) > _LONGEST_WORD:
                what = "the file ends" if not letter else f"no space in {_LONGEST_WORD} bytes"
                raise ValueError(f"{path.name}, byte {start}: {what} where a word should stand.")
            if letter != b"\n" or spelling:  # some writers end each vector with a new line
                spelling += letter
        offset += 1
        where = f"{path.name}, byte {start}"
        word = _text(where, bytes(spelling))
        data = _take(path, file.read, width)
        if len(data) < width:
            raise ValueError(
                f"{path.name}, byte {offset}: {len(data)} bytes for the vector of {word!r}, "
                f"expected {width}; the file is cut off."
            )
        offset += width
        if wanted is not None and word not in wanted:
            yield word, None
            continue
        yield word, _finite(where, word, np.frombuffer(data, dtype="<f4").astype(np.float32))
    if rest := _take(path, file.read, _SAMPLE).strip(b"\n"):
        raise ValueError(
            f"{path.name}, byte {offset}: the header promises {size} words, and after them comes "
            f"{_shown(rest)}."
        )


def _take(path: Path, read, size: int) -> bytes:
    try:
        return read(size)
    except UNPACKING as error:
        raise ValueError(f"{path.name}: cannot be unpacked: {error}.") from error


def _header(path: Path, line: bytes) -> tuple[int, int]:
    fields = line.split()
    if len(fields) != 2 or not all(f.isdigit() for f in fields) or 0 in map(int, fields):
        raise ValueError(
            f"{path.name}, line 1: expected the number of words and of dimensions, two positive "
            f"integers; got {_shown(line.strip())}."
        )
    return int(fields[0]), int(fields[1])


def _require_all(path: Path, size: int | None, count: int) -> None:
    if size is not None and count != size:
        raise ValueError(f"{path.name}: line 1 promises {size} words, the file has {count}.")


def _text(where: str, spelling: bytes) -> str:
    try:
        return spelling.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: {_shown(spelling)} is not UTF-8: {error.reason}.") from None


def _finite(where: str, word: str, row: np.ndarray) -> np.ndarray:
    if not np.isfinite(row).all():
        raise ValueError(f"{where}: the vector of {word!r} has an entry that is not finite.")
    return row


def _shown(data: bytes) -> str:
    text = repr(data[:40])[1:]
    return text + "…" if len(data) > 40 else text
