"""Builds in trouble: two at once, killed, without a network, on a full disk. None is left torn."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_books import CHAPTER, build, good_book, page, pair_up, record, write_book
from sphinx.errors import ConfigError, ExtensionError

from derive_book.__main__ import main
from derive_book.errors import BookError
from derive_book.files import only_one
from small_disk import full, small_disk

ROOT = Path(__file__).parents[2]
# A build as a program of its own; every page is written anew, as `make book` does.
BUILD = """
import sys
from pathlib import Path
from small_books import build
print("began", flush=True)
sys.exit(bool(print(build(Path(sys.argv[1]), force=True), end="")))
"""


def environment(**more) -> dict[str, str]:
    paths = [ROOT / "tests" / "book", ROOT / "tests", ROOT / "book" / "_ext"]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **more}


def start(*command, **options) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(
        [sys.executable, *map(str, command)], env=environment(), **pipes, **options
    )


def two_chapters(root: Path) -> Path:
    """A book of two chapters, each with its notebook."""
    write_book(root, {slug: CHAPTER.replace("one", slug) for slug in ("one", "two")})
    for slug in ("one", "two"):
        pair_up(root, slug, [record(f"{slug}-sum")])
    return root


def written(root: Path) -> dict[str, bytes]:
    """What a build leaves for readers; Sphinx's own record of it aside.

    MyST-NB puts its style sheet in place after the pages, so that the first build into a folder
    cannot add the checksum to its address, and every later one does. That much may differ.
    """
    html = root / "_build" / "html"
    found = {str(p.relative_to(html)): p.read_bytes() for p in html.rglob("*") if p.is_file()}
    return {
        name: re.sub(rb"(mystnb\.\w+\.css)\?v=\w+", rb"\1", content)
        for name, content in found.items()
        if not name.startswith(".")
    }


# ---- two at once ---------------------------------------------------------------------------------


def test_a_second_build_says_that_another_runs(tmp_path):
    two_chapters(tmp_path)
    held = only_one(tmp_path / "_build")
    try:
        with pytest.raises(ConfigError, match=r"_build: another build is writing here: wait until"):
            build(tmp_path)
    finally:
        held.release()
    assert build(tmp_path) == ""


def test_a_build_that_fails_lets_the_next_one_begin(tmp_path):
    toc = two_chapters(tmp_path) / "_toc.yml"
    text = toc.read_text()
    toc.write_text("root: [")
    with pytest.raises((ConfigError, ExtensionError)):
        build(tmp_path)
    toc.write_text(text)
    assert build(tmp_path) == ""
    assert build(tmp_path) == ""


@pytest.mark.slow
def test_of_two_builds_at_once_the_result_is_whole(tmp_path):
    alone, both = two_chapters(tmp_path / "alone"), two_chapters(tmp_path / "both")
    assert build(alone) == ""
    builds = [start("-c", BUILD, both) for _ in range(2)]
    told = [process.communicate(timeout=300)[0] for process in builds]
    codes = [process.returncode for process in builds]
    assert 0 in codes, told
    for code, said in zip(codes, told, strict=True):
        assert code == 0 or "another build is writing here" in said, said
    assert written(both) == written(alone)


@pytest.mark.slow
def test_two_executions_at_once_leave_one_whole_notebook(tmp_path):
    """Each works in a folder of its own, and puts its result in place in one step."""
    text = "# T\n\n```{code-cell} python3\nprint(sum(range(10)))\n```\n"
    write_book(tmp_path, {"one": text})
    command = ("-m", "derive_book", "--root", tmp_path, "execute", "one")
    runs = [start(*command) for _ in range(2)]
    told = [process.communicate(timeout=300)[0] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], told
    folder = tmp_path / "book" / "part"
    assert sorted(path.name for path in folder.iterdir()) == ["one.ipynb", "one.md"]
    assert '"45\\n"' in (folder / "one.ipynb").read_text()
    assert main(["--root", str(tmp_path), "check"]) == 0


# ---- killed --------------------------------------------------------------------------------------


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from derive_book.files import only_one;"
        "lock = only_one(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
    )
    process = start("-c", program, tmp_path)
    with process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BookError, match="another build is writing here"):
            only_one(tmp_path)
        process.send_signal(signal.SIGKILL)
    only_one(tmp_path).release()


@pytest.mark.slow
def test_after_a_killed_build_the_next_one_is_whole(tmp_path):
    alone, torn = two_chapters(tmp_path / "alone"), two_chapters(tmp_path / "torn")
    began = time.monotonic()
    assert build(alone) == ""
    seconds, seed = time.monotonic() - began, random.SystemRandom().randrange(2**32)
    draw, codes = random.Random(seed), []
    for _ in range(3):
        process = start("-c", BUILD, torn)
        with process:
            assert process.stdout.readline() == "began\n"
            try:
                process.wait(draw.random() * seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        codes.append(process.returncode)
    assert build(torn, force=True) == "", f"seed {seed}, {codes}"
    assert written(torn) == written(alone), f"seed {seed}, {codes}"


# ---- no room -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ledger.json", "searchindex.js"])
def test_a_build_on_a_full_disk_fails_and_the_next_one_is_whole(tmp_path, name):
    with small_disk(tmp_path / "disk", kilobytes=8192) as disk:
        two_chapters(disk)
        assert build(disk) == ""
        before = written(disk)
        with full(disk):
            (disk / "book" / "part" / "one.md").touch()
            with pytest.raises(Exception, match="No space left on device"):
                build(disk, force=True)
        assert written(disk)["ledger.json"] == before["ledger.json"]
        assert build(disk, force=True) == ""
        assert written(disk)[name] == before[name]


def test_a_ledger_that_cannot_be_written_is_named_and_the_old_one_stays(tmp_path, monkeypatch):
    good_book(tmp_path)
    assert build(tmp_path) == ""
    before = (tmp_path / "_build/html/ledger.json").read_bytes()

    def no_room(*arguments):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("derive_book.files.os.fsync", no_room)
    with pytest.raises(ExtensionError, match=r"ledger\.json: cannot be written \(No space left"):
        build(tmp_path, force=True)
    assert (tmp_path / "_build/html/ledger.json").read_bytes() == before


# ---- no network ----------------------------------------------------------------------------------


def without_network() -> list[str]:
    """What to put before a command so that it has no network at all, not even loopback."""
    for command in (["unshare", "-n"], ["unshare", "-rn"]):
        try:
            if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
                return command
        except OSError:
            break
    pytest.skip("this system lets nobody take the network away (unshare -n)")


def test_taking_the_network_away_takes_it_away():
    program = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    command = [*without_network(), sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Network is unreachable" in done.stderr


@pytest.mark.slow
def test_the_real_set_up_builds_without_a_network(tmp_path):
    """The book's own configuration, theme and typesetting, around one small chapter."""
    good_book(tmp_path)
    shutil.copy(ROOT / "_config.yml", tmp_path)
    for name in ("_ext", "_theme", "_static", "_interactive"):
        (tmp_path / "book" / name).symlink_to(ROOT / "book" / name)
    assert (
        subprocess.run(
            [sys.executable, "-m", "derive_book", "--root", tmp_path, "refresh"], env=environment()
        ).returncode
        == 0
    )
    offline = without_network()
    tool = Path(sys.executable).parent / "jupyter-book"
    for command in (
        [sys.executable, "-m", "derive_book", "--root", str(tmp_path), "check"],
        [str(tool), "build", str(tmp_path), "--all", "-W", "-n", "--keep-going", "--quiet"],
    ):
        done = subprocess.run(
            [*offline, *command], env=environment(), capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    made = page(tmp_path)
    assert "katex-html" in made
    assert 'id="claim-one-sum"' in made
