"""A notebook that is cut off, altered, or cannot be written: told by name, and nothing is lost."""

import errno
import json
import os
import random
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output
from small_books import build, good_book, page, pair_up, record, write_book

from derive_book import files, pair
from derive_book.__main__ import main
from derive_book.book import Book
from derive_book.errors import BookError
from derive_book.verify import verify
from small_disk import full, read_only, small_disk

ROOT = Path(__file__).parents[2]
NOTEBOOK = "book/part/one.ipynb"


@pytest.fixture
def root(tmp_path):
    """A book in order whose notebook has a check's record and a printed number."""
    good_book(tmp_path)
    pair_up(tmp_path, "one", [record("one-sum"), new_output("stream", name="stdout", text="42\n")])
    assert verify(Book(tmp_path)) == []
    return tmp_path


def told(root, capsys, *arguments) -> str:
    assert main(["--root", str(root), *arguments]) == 1
    return capsys.readouterr().err


# ---- cut off, or altered ---------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_notebook_that_is_cut_off_is_named_and_left_alone(root, capsys, share):
    path = root / NOTEBOOK
    cut = path.read_bytes()[: int(share * path.stat().st_size)]
    path.write_bytes(cut)
    for command in ("check", "refresh"):
        said = told(root, capsys, command)
        assert "book/part/one.md:1: one.ipynb is no notebook (" in said
        assert said.rstrip().endswith("run `make execute C=one`")
        assert path.read_bytes() == cut


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"42\\n"', '"43\\n"'),
        ("0 violations in 2000 cases", "0 violations in 9000 cases"),
        ('"false_alarm": 0.0', '"false_alarm": 0.1'),
        ('"z": 1.5', '"z": 0.5'),
        ("<b>quiet</b>", "<b>silent</b>"),
    ],
    ids=["a printed number", "a figure", "a record", "what was measured", "what is shown"],
)
def test_an_output_altered_by_hand_is_told_and_never_refreshed(root, capsys, old, new):
    path = root / NOTEBOOK
    altered = path.read_text().replace(old, new)
    assert altered != path.read_text()
    path.write_text(altered)
    for command in ("check", "refresh"):
        said = told(root, capsys, command)
        what = "one.ipynb were altered after it was written: run `make execute C=one`"
        assert f"book/part/one.md:1: the stored outputs of {what}" in said
        assert path.read_text() == altered


def test_an_altered_output_is_shown_on_no_page(root):
    path = root / NOTEBOOK
    assert build(root) == ""
    assert "42" in page(root)
    path.write_text(path.read_text().replace('"42\\n"', '"4711\\n"'))
    assert "the stored outputs of one.ipynb were altered" in build(root)
    assert "4711" not in page(root)


def test_no_byte_can_be_changed_unnoticed(root):
    """One bit turned at each of many places: a problem is told, or the content is the same."""
    path, seed = root / NOTEBOOK, random.SystemRandom().randrange(2**32)
    draw, whole = random.Random(seed), path.read_bytes()
    meaning, unnoticed, told = json.loads(whole), [], 0
    for _ in range(300):
        place, bit = draw.randrange(len(whole)), 1 << draw.randrange(8)
        altered = bytearray(whole)
        altered[place] ^= bit
        path.write_bytes(bytes(altered))
        if verify(Book(root)):
            told += 1
        elif json.loads(bytes(altered)) != meaning:
            unnoticed.append((place, bit, whole[place - 20 : place + 20]))
    assert unnoticed == [], f"seed {seed}"
    assert told > 150, f"seed {seed}"


def test_every_chapter_of_the_book_has_a_checksum():
    chapters = [chapter for chapter in Book(ROOT).chapters if chapter.pair.is_file()]
    assert len(chapters) >= 9
    without = [
        chapter.slug
        for chapter in chapters
        if pair.CHECKSUM not in json.loads(chapter.pair.read_text())["metadata"]["derive"]
    ]
    assert without == []


def test_a_real_notebook_with_one_digit_changed_is_refused(tmp_path):
    chapter = Book(ROOT).chapter("museum")
    notebook = nbformat.read(chapter.pair, as_version=4)
    printed = next(
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and any(letter.isdigit() for letter in output.text)
    )
    digit = next(letter for letter in printed.text if letter.isdigit())
    chapter.__dict__["file"] = tmp_path / "museum.md"
    nbformat.write(notebook, chapter.pair)
    assert pair.read(chapter) == notebook
    printed.text = printed.text.replace(digit, str((int(digit) + 1) % 10), 1)
    nbformat.write(notebook, chapter.pair)
    with pytest.raises(BookError, match=r"museum\.ipynb were altered"):
        pair.read(chapter)


# ---- what cannot be written ----------------------------------------------------------------------


@pytest.fixture
def executed(monkeypatch):
    """Executing takes no time; the list says how often it was done."""
    runs = []

    def run(chapter, **options):
        runs.append(options)
        return [[record("one-sum"), new_output("stream", name="stdout", text="7\n" * 3000)]]

    monkeypatch.setattr("derive_book.execute.run", run)
    return runs


@pytest.mark.parametrize("trouble", [full, read_only])
def test_a_disk_that_cannot_take_the_notebook_keeps_the_old_one(
    tmp_path, executed, capsys, trouble
):
    with small_disk(tmp_path / "disk") as disk:
        path = good_book(disk) / NOTEBOOK
        before, there = path.read_bytes(), sorted(path.parent.iterdir())
        with trouble(disk):
            for command in ("execute", "refresh"):
                said = told(disk, capsys, command)
                reason = "No space left on device" if trouble is full else "Read-only file system"
                assert f"{path}: cannot be written ({reason}); the file there is as it was" in said
                assert path.read_bytes() == before
                assert sorted(path.parent.iterdir()) == there
        # A folder that takes nothing at all is found out before the work, not after it.
        assert len(executed) == (1 if trouble is full else 0)
        assert main(["--root", str(disk), "execute"]) == 0
        assert "7\\n" in path.read_text()


def test_a_folder_for_the_notebooks_that_is_a_file_is_told_before_executing(
    root, executed, capsys, tmp_path
):
    (tmp_path / "out").write_text("in the way")
    said = told(root, capsys, "execute", "--out", str(tmp_path / "out"))
    assert f"{tmp_path}/out/one.ipynb: cannot be written (" in said
    assert executed == []
    assert (tmp_path / "out").read_text() == "in the way"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_at_any_step_leaves_the_old_file_alone(tmp_path, monkeypatch, step):
    """The same everywhere, also where no disk can be mounted."""

    def no_room(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    message = r"{}: cannot be written \(No space left on device\)"
    files.write_text(tmp_path / "one", "old")
    with monkeypatch.context() as patch:
        patch.setattr(files.os if step == "fsync" else Path, step, no_room)
        with pytest.raises(BookError, match=message.format("one")):
            files.write_text(tmp_path / "one", "new")
        with pytest.raises(
            BookError, match=r"two: cannot be written \(No space left on device\): "
        ):
            files.write_text(tmp_path / "two", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one").read_text() == "old"
    files.write_text(tmp_path / "one", "new")
    assert (tmp_path / "one").read_text() == "new"
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("trouble", [full, read_only])
def test_what_a_sweep_has_stored_stays_when_there_is_no_room(tmp_path, trouble):
    from derive_book.sweep import store

    result = {"format": 1, "chapter": "one", "seeds": [1], "failures": [], "checks": []}
    with small_disk(tmp_path / "disk") as disk:
        path = store(disk, result)
        before = path.read_bytes()
        more = [{"label": f"claim-{k}", "used": [0.5] * 20} for k in range(200)]
        with trouble(disk), pytest.raises(BookError, match=r"one\.json: cannot be written \("):
            store(disk, {**result, "checks": more})
        assert path.read_bytes() == before
        assert [other.name for other in path.parent.iterdir()] == ["one.json"]


def test_a_new_chapter_that_cannot_be_written_is_not_entered(tmp_path, capsys):
    with small_disk(tmp_path / "disk") as disk:
        toc = (write_book(disk).root / "_toc.yml").read_text()
        with full(disk):
            said = told(disk, capsys, "new", "part", "two", "The second")
        assert "book/part/two.md: cannot be written (No space left on device)" in said
        assert (disk / "_toc.yml").read_text() == toc
        assert not (disk / "book/part/two.md").exists()


# ---- what a page is built from, beside the notebooks ---------------------------------------------


def test_a_json_file_that_is_cut_off_is_named(tmp_path):
    files.write_text(tmp_path / "one.json", '{"a": [1, 2]}')
    assert files.read_json(tmp_path / "one.json", "make it anew") == {"a": [1, 2]}
    files.write_text(tmp_path / "one.json", '{"a": [1,')
    with pytest.raises(BookError, match=r"one\.json: cannot be read \(.*\): make it anew"):
        files.read_json(tmp_path / "one.json", "make it anew")
    with pytest.raises(BookError, match=r"two\.json: cannot be read \(.*No such file"):
        files.read_json(tmp_path / "two.json", "make it anew")
