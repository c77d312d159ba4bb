"""The build fails for each broken rule, with file and line; small books show every one."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from small_books import (
    CHAPTER,
    SPHINX,
    build,
    good_book,
    interactive,
    page,
    pair_up,
    picture,
    record,
    write_book,
)

from derive_book.pair import CHECKSUM, checksum

ONE = "book/part/one.md"
FIGURE = "```{code-cell} python3\nplot()\n```\n"


def test_a_book_in_order_builds_without_a_warning(tmp_path):
    assert build(good_book(tmp_path)) == ""


def broken(root: Path, chapter: str, *outputs, after: tuple[str, str] | None = None) -> str:
    """Warnings for a book of one chapter; `after` edits its text once the pair stands."""
    write_book(root, {"one": chapter})
    pair_up(root, "one", *outputs)
    if after:
        path = root / ONE
        path.write_text(path.read_text().replace(*after))
    return build(root)


def test_a_numbered_equation_without_a_record(tmp_path):
    told = broken(tmp_path, CHAPTER, [])
    assert f"{ONE}:11: WARNING: equation one-sum has no passing check" in told
    assert 'put a cell with check.…("one-sum", …) under it' in told


def test_a_record_without_an_equation(tmp_path):
    told = broken(tmp_path, CHAPTER, [record("one-sum"), record("one-lost")])
    assert f"{ONE}:17: WARNING: a check names one-lost, which is no numbered equation" in told


def test_a_label_used_twice_in_a_chapter(tmp_path):
    twice = f"{CHAPTER}\n$$ a = b $$ (one-sum)\n"
    told = broken(tmp_path, twice, [record("one-sum")])
    assert f"{ONE}:22: WARNING: the label one-sum is used twice in the book" in told


def test_a_label_used_twice_in_the_book(tmp_path):
    two = CHAPTER.replace("(one)=", "(two)=")
    write_book(tmp_path, {"one": CHAPTER, "two": two})
    for slug in ("one", "two"):
        pair_up(tmp_path, slug, [record("one-sum")])
    told = build(tmp_path)
    assert "two.md:11: WARNING: the label one-sum is used twice in the book" in told
    assert f"rename this one or the one at {ONE}:11" in told


def test_an_equation_edited_since_its_check_ran(tmp_path):
    told = broken(tmp_path, CHAPTER, [record("one-sum")], after=("n (n + 1)", "n (n - 1)"))
    assert f"{ONE}:11: WARNING: equation one-sum was edited since its check ran" in told
    assert "out of step" in told
    assert 'class="tick"' not in page(tmp_path)


def test_white_space_in_an_equation_is_no_edit_of_the_claim(tmp_path):
    told = broken(tmp_path, CHAPTER, [record("one-sum")], after=("n (n + 1)", "n  (n + 1)"))
    assert "edited since" not in told
    assert "out of step" in told


@pytest.mark.parametrize(
    "latex", ["\\begin{equation}\n\\label{x}\na\n\\end{equation}", "$$ a \\label{x} $$"]
)
def test_an_equation_numbered_by_latex(tmp_path, latex):
    write_book(tmp_path, {"one": f"{CHAPTER}\n{latex}\n"})
    told = build(tmp_path)
    assert f"{ONE}:22: WARNING: \\" in told
    assert "behind the book's back" in told


def test_a_pair_out_of_step(tmp_path):
    told = broken(tmp_path, CHAPTER, [record("one-sum")], after=("What is", "All that is"))
    assert f"{ONE}:6: WARNING: cell 1 of one.ipynb is out of step with the text" in told


def test_code_edited_since_it_ran_shows_nothing_from_there_on(tmp_path):
    text = f"{CHAPTER}\n{FIGURE}\n$$ a = b $$ (one-more)\n\n{FIGURE.replace('plot', 'test')}"
    outputs = [record("one-sum")], [record("one-sum")], [record("one-more")]
    told = broken(tmp_path, text, *outputs, after=("plot()", "plot(1)"))
    assert f"{ONE}:23: WARNING: code cell 2 is not the one in one.ipynb" in told
    assert 'id="check-one-sum"' in page(tmp_path)
    assert 'id="check-one-sum-2"' not in page(tmp_path)
    assert "check-one-more" not in page(tmp_path)


def test_a_missing_pair(tmp_path):
    write_book(tmp_path)
    assert f"{ONE}:1: WARNING: no notebook one.ipynb beside it" in build(tmp_path)


def test_a_computed_figure_without_alt_text(tmp_path):
    told = broken(tmp_path, CHAPTER + FIGURE, [record("one-sum")], [picture()])
    assert f"{ONE}:22: WARNING: a figure without alt text" in told


def test_an_interactive_figure_without_alt_text_or_script(tmp_path):
    told = broken(tmp_path, CHAPTER + FIGURE, [record("one-sum")], [interactive(alt=" ")])
    assert f"{ONE}:22: WARNING: an interactive figure without alt text" in told
    assert "interactive figure one-play has no script: write book/_interactive/one-play" in told


def test_an_interactive_figure_without_a_caption(tmp_path):
    told = broken(tmp_path, CHAPTER + FIGURE, [record("one-sum")], [interactive(caption="")])
    assert f"{ONE}:22: WARNING: interactive figure one-play has no static picture or no" in told


@pytest.mark.parametrize(
    "image", ["![](dot.png)", "```{image} dot.png\n```", "```{figure} dot.png\n\nA dot.\n```"]
)
@pytest.mark.parametrize("where", ["chapter", "page"])
def test_an_image_in_prose_without_alt_text(tmp_path, image, where):
    pages = {"plain": f"# Plain\n\n{image}\n" if where == "page" else "# Plain\n"}
    write_book(tmp_path, {"one": CHAPTER + (f"\n{image}\n" if where == "chapter" else "")}, pages)
    for folder in ("", "part"):
        (tmp_path / "book" / folder / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    pair_up(tmp_path, "one", [record("one-sum")])
    told = build(tmp_path)
    place = "book/plain.md:3" if where == "page" else f"{ONE}:22"
    assert f"{place}: WARNING: " in told
    assert "dot.png without alt text" in told


def test_a_numbered_equation_on_a_page_that_checks_nothing(tmp_path):
    write_book(tmp_path, {"one": CHAPTER}, {"plain": "# Plain\n\n$$ a = b $$ (loose)\n"})
    pair_up(tmp_path, "one", [record("one-sum")])
    told = build(tmp_path)
    assert "book/plain.md:3: WARNING: equation loose is numbered on a page that checks" in told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wrong": {"only": "one"}}, "rejects 1 wrong version(s): give it at least 2"),
        ({"kind": "sampled", "power": 0.9}, "has power 0.9 < 0.99: take more draws"),
        ({"kind": "sampled", "power": float("nan")}, "has power nan < 0.99"),
        ({"kind": "sampled", "false_alarm": 1e-5}, "a false alarm with probability 1e-05"),
        ({"format": 7}, "a check left an unreadable record"),
    ],
)
def test_a_weak_or_unreadable_record(tmp_path, changes, message):
    write_book(tmp_path)
    pair_up(tmp_path, "one", [record("one-sum")])
    pair = tmp_path / "book/part/one.ipynb"
    notebook = nbformat.read(pair, as_version=4)
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cell.outputs[0].data["application/vnd.derive.check+json"].update(changes)
    # As an execution would have written it: a hand that alters outputs is another test's subject.
    notebook.metadata["derive"][CHECKSUM] = checksum(notebook)
    nbformat.write(notebook, pair)
    assert message in build(tmp_path)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (nbformat.v4.new_output("stream", name="stderr", text="UserWarning: x"), "to stderr"),
        (nbformat.v4.new_output("stream", text="<f at 0x7f0011223344>"), "shows an object"),
        (nbformat.v4.new_output("error", ename="E", evalue="", traceback=[]), "is an error"),
    ],
)
def test_outputs_that_no_reader_should_see(tmp_path, output, message):
    assert message in broken(tmp_path, CHAPTER, [record("one-sum"), output])


def test_a_figure_cell_shows_one_figure(tmp_path):
    cell = FIGURE.replace("plot()", ":tags: []\nplot()").replace(
        ":tags: []", '---\nmystnb: {image: {alt: "A."}, figure: {name: f, caption: "C."}}\n---'
    )
    told = broken(tmp_path, CHAPTER + cell, [record("one-sum")], [picture(), picture()])
    assert "a figure cell shows 2 outputs" in told


def test_an_unknown_directive_or_a_dangling_reference(tmp_path):
    write_book(tmp_path, {"one": f"{CHAPTER}\n```{{mermaid}}\nx\n```\n\nBy {{eq}}`nothing`.\n"})
    told = build(tmp_path)
    assert f"{ONE}:22: " in told
    assert "mermaid" in told
    assert "nothing" in told


def test_numbers_that_differ_between_page_and_notebook(tmp_path):
    good_book(tmp_path)
    toc = tmp_path / "_toc.yml"
    toc.write_text(toc.read_text().replace("    numbered: 1\n", ""))
    told = build(tmp_path)
    assert f"{ONE}:11: WARNING: equation-one-sum is 1 on the page, 1.1 in the notebook" in told


def test_a_broken_table_of_contents_ends_the_build(tmp_path):
    good_book(tmp_path)
    (tmp_path / "_config.yml").write_text("- no settings\n")
    with pytest.raises(Exception, match=r"_config\.yml:1: holds no settings"):
        build(tmp_path)


def test_problems_are_told_again_until_they_are_mended(tmp_path):
    """A second build must not pass because the first has already complained."""
    write_book(tmp_path)
    pair_up(tmp_path, "one", [])
    first = build(tmp_path)
    assert "has no passing check" in first
    assert build(tmp_path) == first
    pair_up(tmp_path, "one", [record("one-sum")])
    assert build(tmp_path) == ""


@pytest.mark.slow
@pytest.mark.parametrize("mend", [True, False], ids=["in order", "without a check"])
def test_the_exit_status_of_a_strict_build(tmp_path, mend):
    write_book(tmp_path)
    pair_up(tmp_path, "one", [record("one-sum")] if mend else [])
    extension = Path(__file__).parents[2] / "book" / "_ext"
    settings = [f"{name} = {value!r}" for name, value in SPHINX.items()]
    settings.insert(0, f"import sys; sys.path.insert(0, {str(extension)!r})")
    (tmp_path / "conf.py").write_text("\n".join(settings))
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", ".", "_build"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if mend else 1), done.stderr


def test_a_problem_mended_in_another_chapter_is_gone(tmp_path):
    write_book(tmp_path, {"one": f"{CHAPTER}\nBy {{eq}}`two-sum`.\n", "two": CHAPTER})
    path = tmp_path / "book/part/two.md"
    path.write_text(path.read_text().replace("one", "two"))
    for slug in ("one", "two"):
        pair_up(tmp_path, slug, [record(f"{slug}-sum")])
    good = path.read_text()
    path.write_text(good.replace(":label: two-sum", ":label: two-other"))
    assert "no equation two-sum" in build(tmp_path)
    path.write_text(good)
    assert build(tmp_path) == ""
