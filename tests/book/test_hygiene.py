"""What no linter finds: comparisons thrown away, addresses that disagree, traces of a machine."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from derive_book.book import Book
from derive_book.skeleton import new_chapter

ROOT = Path(__file__).parents[2]
BOOK = Book(ROOT)
SKIPPED = {".git", ".venv", "_build", "__pycache__", "node_modules", "htmlcov"}
COMPARISONS = {"allclose", "isclose", "array_equal", "array_equiv", "equal", "is_close"}
MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)
# Folders of a person or of one machine; composed, so that this file does not hold them.
MACHINE = re.compile("|".join(f"/{name}/" for name in ("root", "work", "Users", r"home/\w+")))


def thrown_away(source: str) -> list[int]:
    """Lines on which a comparison stands alone, so that nothing depends on its outcome."""
    tree = ast.parse(MAGIC.sub(r"\1pass", source))
    statements = (node for node in ast.walk(tree) if isinstance(node, ast.Expr))
    return [node.lineno for node in statements if _compares(node.value)]


def _compares(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in ("all", "any", "item") and _compares(node.func.value):
            return True
        owner = node.func.value
        ours = isinstance(owner, ast.Name) and owner.id == "check"  # check.equal raises
        return node.func.attr in COMPARISONS and not ours
    if isinstance(node, ast.BoolOp):
        return any(_compares(value) for value in node.values)
    if isinstance(node, ast.UnaryOp):
        return _compares(node.operand)
    return isinstance(node, ast.Compare)


def files() -> Iterator[Path]:
    """Every file of the tree that git would keep."""
    for folder, folders, names in os.walk(ROOT):
        hidden = {name for name in folders if name.startswith(".") and name.endswith("_cache")}
        gone = SKIPPED | hidden | {".hypothesis", ".ipynb_checkpoints", ".jupyter_cache"}
        folders[:] = [n for n in folders if n not in gone and not n.endswith(".egg-info")]
        yield from (Path(folder, name) for name in names if not name.startswith(".coverage"))


def texts() -> Iterator[tuple[str, str]]:
    """Path from the root and content of every text file."""
    for file in files():
        try:
            yield file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@pytest.mark.parametrize(
    "line",
    [
        "np.allclose(a, b)",
        "torch.equal(a, b)",
        "x.shape == s",
        "a < b < c",
        "not np.isclose(a, b)",
        "a and b == c",
        "(a == b).all()",
        "if x:\n    %pip install y\n    a == b",
    ],
)
def test_the_search_finds_a_comparison_thrown_away(line):
    assert thrown_away(line)


@pytest.mark.parametrize(
    "line", ["assert np.allclose(a, b)", "same = a == b", "check.equal('x', a, b)", "print(a == b)"]
)
def test_the_search_lets_comparisons_pass_that_are_used(line):
    assert thrown_away(line) == []


def test_no_comparison_is_thrown_away_in_python_files():
    found = [
        f"{path}:{line}"
        for path, text in texts()
        if path.endswith(".py")
        for line in thrown_away(text)
    ]
    assert found == []


def test_no_comparison_is_thrown_away_in_a_chapter():
    found = [
        f"{chapter.path}:{cell.line + line - 1}"
        for chapter in BOOK.chapters
        for cell in chapter.code
        for line in thrown_away(cell.source)
    ]
    assert found == []


def test_the_repository_has_one_address():
    own = BOOK.repository.removeprefix("https://github.com/")
    owner, name = own.split("/")
    address = re.compile(
        r"github(?:usercontent)?\.com[/:]([\w.-]+)/([\w.-]+?)(?=\.git\b|[^\w.-]|$)"
    )
    wrong = []
    for path, text in texts():
        for match in address.finditer(text):
            found = (match[1], match[2].rstrip("."))
            if (found[0] == owner or found[1] == name) and found != (owner, name):
                wrong.append(f"{path}: {match[0]}")
    assert wrong == []


@pytest.mark.parametrize("path", ["README.md", "pyproject.toml", "CITATION.cff"])
def test_the_address_stands_where_people_look_for_it(path):
    assert BOOK.repository in (ROOT / path).read_text(encoding="utf-8")


def test_the_site_is_that_of_the_repository():
    owner, name = BOOK.repository.split("/")[-2:]
    assert BOOK.site == f"https://{owner}.github.io/{name}"


def test_every_chapter_begins_with_the_same_set_up_cell(tmp_path):
    for name in ("_config.yml", "_toc.yml"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"))
    empty = Book(tmp_path)
    new_chapter(empty, "part", "model", "Model")
    wanted = Book(tmp_path).chapter("model").code[0]
    assert wanted.metadata["tags"] == ["setup"]
    different = [
        chapter.path
        for chapter in BOOK.chapters
        if (chapter.code[0].source, chapter.code[0].metadata) != (wanted.source, wanted.metadata)
    ]
    assert different == []


def test_no_file_bears_traces_of_the_machine_it_was_made_on():
    found = [f"{path}: {match[0]}" for path, text in texts() if (match := MACHINE.search(text))]
    assert found == []


def test_no_pickles_and_no_big_files():
    forbidden = {".pkl", ".pickle", ".pt", ".pth", ".joblib"}
    found = [
        file.relative_to(ROOT).as_posix()
        for file in files()
        if file.suffix in forbidden or file.stat().st_size > 2_000_000
    ]
    assert found == []
