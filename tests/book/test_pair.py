"""A chapter and its notebook: in step, executed reproducibly, and safe when a cell fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import NoSuchKernel
from small_books import CHAPTER, FRONT, good_book, pair_up, picture, record, write_book

from derive_book.__main__ import main
from derive_book.book import Book
from derive_book.verify import verify

ROOT = Path(__file__).parents[2]
RUNNABLE = """\
# Runnable

```{math}
:label: run-sum
1 + 2 + 3 = 6
```

```{code-cell} python3
import os
import sys

from derive import check
from derive.device import start

run = start(seed=3)
print(os.listdir(), os.environ["OMP_NUM_THREADS"], {"a", "b", "c"})
check.equal("run-sum", sum([1, 2, 3]), 6, wrong={"up to 2": 3, "product + 1": 7})
```

```{code-cell} python3
run.scale(cpu=20, gpu=200)
```
"""


@pytest.fixture(scope="module")
def runnable(tmp_path_factory):
    """A chapter with one real check, executed once by the command."""
    root = tmp_path_factory.mktemp("runnable")
    write_book(root, {"one": RUNNABLE})
    assert main(["--root", str(root), "execute", "one"]) == 0
    return root


def told(root, capsys, *arguments) -> list[str]:
    """What a command that fails says, line by line."""
    assert main(["--root", str(root), *arguments]) == 1
    return capsys.readouterr().err.splitlines()


@pytest.mark.slow
def test_execution_stores_outputs_and_stamps_the_record(runnable):
    notebook = nbformat.read(runnable / "book/part/one.ipynb", as_version=4)
    nbformat.validate(notebook)
    first, second = (cell for cell in notebook.cells if cell.cell_type == "code")
    printed, checked = first.outputs
    assert printed.text.startswith("cpu profile, seed 3\n[] 1 {")
    assert checked.metadata["application/vnd.derive.check+json"]["fingerprint"]
    assert second.outputs[0].data["text/plain"] == "20"
    assert (first.execution_count, second.execution_count) == (1, 2)
    assert set(notebook.metadata) == {"derive", "kernelspec", "language_info"}
    assert verify(Book(runnable)) == []


@pytest.mark.slow
def test_two_executions_are_byte_identical(runnable, tmp_path):
    arguments = ["--root", str(runnable), "execute", "one", "--out", str(tmp_path)]
    assert main(arguments) == 0
    before = (runnable / "book/part/one.ipynb").read_bytes()
    assert (tmp_path / "one.ipynb").read_bytes() == before


@pytest.mark.slow
def test_another_seed_reaches_the_chapter_and_leaves_the_stored_notebook(runnable, tmp_path):
    before = (runnable / "book/part/one.ipynb").read_bytes()
    arguments = ["--root", str(runnable), "execute", "--seed", "4", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "cpu profile, seed 7" in (tmp_path / "one.ipynb").read_text()
    assert (runnable / "book/part/one.ipynb").read_bytes() == before


@pytest.mark.slow
def test_a_failing_cell_is_named_and_leaves_the_old_notebook(runnable, capsys):
    chapter, pair = runnable / "book/part/one.md", runnable / "book/part/one.ipynb"
    text, before = chapter.read_text(), pair.read_bytes()
    files = sorted(os.listdir(pair.parent))
    try:
        chapter.write_text(text.replace("wrong={", "wrong={'equal': 6, "))
        said = told(runnable, capsys, "execute", "one")
        line = 1 + next(i for i, row in enumerate(text.splitlines()) if "check.equal(" in row)
        assert said[0].startswith(
            f"book/part/one.md:{line}: code cell 1 raised CheckFailed: run-sum"
        )
        assert "the notebook is left as it was" in said[-1]
        assert pair.read_bytes() == before
        assert sorted(os.listdir(pair.parent)) == files
    finally:
        chapter.write_text(text)


@pytest.mark.slow
def test_a_kernel_that_dies_is_told_with_its_cell(tmp_path, capsys):
    write_book(tmp_path, {"one": "# T\n\n```{code-cell} python3\nimport os\nos._exit(3)\n```\n"})
    assert "one.md:9: the kernel died in code cell 1" in told(tmp_path, capsys, "execute")[0]
    assert not (tmp_path / "book/part/one.ipynb").exists()


def test_a_kernel_that_is_not_installed_is_told(tmp_path, capsys, monkeypatch):
    def absent(client):
        raise NoSuchKernel("python3")

    write_book(tmp_path)
    monkeypatch.setattr("nbclient.NotebookClient.setup_kernel", absent)
    assert "the kernel python3 did not start" in told(tmp_path, capsys, "execute")[0]


def test_a_record_of_another_format_stops_the_writing(tmp_path, capsys, monkeypatch):
    write_book(tmp_path)
    foreign = [[record("one-sum", format=2)]]
    monkeypatch.setattr("derive_book.execute.run", lambda *arguments, **options: foreign)
    assert "unreadable record" in told(tmp_path, capsys, "execute")[0]
    assert not (tmp_path / "book/part/one.ipynb").exists()


def test_a_pair_made_from_its_chapter_is_in_step(tmp_path):
    assert verify(Book(good_book(tmp_path))) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("What is added", "All that is added", "6: cell 1 of one.ipynb is out of step"),
        ('check("one-sum")', "check()", "17: code cell 1 is not the one in one.ipynb"),
        ("By {eq}", "\n```{code-cell} python3\n1\n```\nBy {eq}", "22: code cell 2 is not the one"),
    ],
    ids=["prose", "code", "one cell more"],
)
def test_an_edit_puts_the_pair_out_of_step(tmp_path, old, new, message):
    chapter = good_book(tmp_path) / "book/part/one.md"
    chapter.write_text(chapter.read_text().replace(old, new))
    assert f"book/part/one.md:{message}" in str(verify(Book(tmp_path))[0])


def test_a_cell_taken_out_of_the_chapter_is_told(tmp_path, capsys):
    cell = "```{code-cell} python3\nlast()\n```\n"
    write_book(tmp_path, {"one": CHAPTER + cell})
    pair_up(tmp_path, "one", [record("one-sum")])
    write_book(tmp_path)
    assert "one.ipynb has 1 code cell(s) more" in str(verify(Book(tmp_path))[0])
    assert "code cell 2 was edited" in told(tmp_path, capsys, "refresh")[0]


def test_a_change_in_the_notebook_puts_it_out_of_step(tmp_path):
    pair = good_book(tmp_path) / "book/part/one.ipynb"
    notebook = nbformat.read(pair, as_version=4)
    notebook.cells[-1].source += " By hand."
    nbformat.write(notebook, pair)
    assert "out of step" in str(verify(Book(tmp_path))[0])


def test_refresh_takes_over_prose_without_executing(tmp_path, capsys):
    chapter = good_book(tmp_path) / "book/part/one.md"
    chapter.write_text(chapter.read_text().replace("What is added", "All that is added"))
    assert main(["--root", str(tmp_path), "refresh"]) == 0
    assert verify(Book(tmp_path)) == []
    assert "All that is added" in (tmp_path / "book/part/one.ipynb").read_text()


def test_refresh_neither_runs_edited_code_nor_stamps_edited_equations(tmp_path, capsys):
    chapter = good_book(tmp_path) / "book/part/one.md"
    text = chapter.read_text()
    chapter.write_text(text.replace('check("one-sum")', "check()"))
    assert "17: code cell 1 was edited: run `make execute" in told(tmp_path, capsys, "refresh")[0]
    chapter.write_text(text.replace("n (n + 1)", "n (n - 1)"))
    assert main(["--root", str(tmp_path), "refresh"]) == 0
    assert "edited since its check ran" in str(verify(Book(tmp_path))[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["execute", "none"], "_toc.yml:1: no chapter 'none': choose one of: one"),
        (["execute", "--seed", "1"], "say --out FOLDER"),
        (["new", "Part", "two", "Two"], "the name 'Part' is no address"),
        (["new", "part", "one", "One"], "a page one exists"),
        (["new", "part", "two", " "], "the title is empty"),
    ],
)
def test_commands_refuse_bad_input_in_one_line(tmp_path, capsys, arguments, message):
    said = told(good_book(tmp_path), capsys, *arguments)
    assert len(said) == 1
    assert message in said[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("_toc.yml", "root: [", "_toc.yml:1: not valid YAML"),
        ("_config.yml", "- a\n", "_config.yml:1: holds no settings"),
        ("_config.yml", "title: T\n", "the repository has no address"),
        ("book/references.bib", "@article{x, year = ", "book/references.bib:1: "),
        ("book/part/one.ipynb", "{}", "one.ipynb is no notebook"),
        ("book/part/one.ipynb", "not json", "one.ipynb is no notebook"),
        (
            "book/part/one.md",
            FRONT + "# T\n\n```{code-cell}\n---\na: [\n---\n```\n",
            "Invalid YAML",
        ),
    ],
)
def test_broken_files_are_named(tmp_path, capsys, name, content, message):
    good_book(tmp_path)
    (tmp_path / name).write_text(content)
    assert any(message in line for line in told(tmp_path, capsys, "check"))


def test_an_entry_without_a_file_is_told_but_hinders_no_other(tmp_path, capsys):
    toc = good_book(tmp_path) / "_toc.yml"
    toc.write_text(toc.read_text() + "      - file: book/part/absent.md\n")
    assert told(tmp_path, capsys, "check") == [
        "_toc.yml:8: no file book/part/absent.md: add the file or take the entry out"
    ]
    assert main(["--root", str(tmp_path), "refresh", "one"]) == 0


def test_outside_a_book_the_commands_say_where_they_belong(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 1
    assert "_toc.yml:1: not found in or above" in capsys.readouterr().err


def test_the_table_of_conversions_can_be_printed(capsys):
    assert main(["conversions"]) == 0
    assert "`$$ … \\tag{1.3} $$`" in capsys.readouterr().out


def test_a_new_chapter_is_entered_after_its_part(tmp_path, capsys):
    good_book(tmp_path)
    assert main(["--root", str(tmp_path), "new", "part", "two", "The second"]) == 0
    toc = (tmp_path / "_toc.yml").read_text().splitlines()
    assert (
        toc.index("      - file: book/part/two.md")
        == toc.index("      - file: book/part/one.md") + 1
    )
    assert Book(tmp_path).chapter("two").title == "The second"
    assert main(["--root", str(tmp_path), "new", "second-part", "three", "The third"]) == 0
    assert [chapter.number for chapter in Book(tmp_path).chapters] == [1, 2, 3]


@pytest.mark.slow
def test_a_new_chapter_executes_and_is_in_order(tmp_path):
    write_book(tmp_path, {})
    assert main(["--root", str(tmp_path), "new", "part", "fresh", "A fresh chapter"]) == 0
    assert main(["--root", str(tmp_path), "execute"]) == 0
    assert verify(Book(tmp_path)) == []


def test_the_module_runs_as_a_command():
    command = [sys.executable, "-m", "derive_book", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "book" / "_ext")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "execute" in done.stdout


def test_a_lone_notebook_holds_no_myst(tmp_path):
    good_book(tmp_path)
    content = json.loads((tmp_path / "book/part/one.ipynb").read_text())
    prose = ["".join(c["source"]) for c in content["cells"] if c["cell_type"] == "markdown"]
    assert not [text for text in prose if "{eq}" in text or "```{" in text or ")=" in text]


def test_figures_of_prose_and_code_share_one_count(tmp_path):
    figure = "```{figure} dot.png\n:alt: A dot.\n\nA dot.\n```\n\n"
    cell = (
        '```{code-cell} python3\n---\nmystnb: {image: {alt: "A."}, figure: {name: fig-a, '
        'caption: "Drawn."}}\n---\nplot()\n```\n\nSee {numref}`fig-a`.\n'
    )
    write_book(tmp_path, {"one": CHAPTER + figure + cell})
    pair_up(tmp_path, "one", [record("one-sum")], [picture()])
    text = (tmp_path / "book/part/one.ipynb").read_text()
    assert "**Figure 1.1.** A dot." in text
    assert "**Figure 1.2.** Drawn." in text
    assert "See Fig. 1.2." in text


def test_every_chapter_of_the_book_is_in_step_and_checked():
    assert [str(problem) for problem in verify(Book(ROOT))] == []
