"""The sweep over seeds: what it stores of each check, and that a false alarm cannot pass."""

import json

import pytest
from nbformat.v4 import new_output
from small_books import good_book, write_book

from derive_book import sweep as module
from derive_book.__main__ import main
from derive_book.book import Book
from derive_book.errors import BookError, Problem
from derive_book.records import CHECK

SAMPLED = {"p values": [0.25, 0.75], "relation": "=", "exact law": False, "used": 0.123456}


def shown(label="one-sum", kind="sampled", measured=SAMPLED, power=0.999):
    content = {"format": 1, "label": label, "kind": kind, "wrong": {"a": "", "b": ""},
               "false_alarm": 1e-9, "power": power}  # fmt: skip
    return new_output(
        "display_data", data={CHECK: content}, metadata={CHECK: {"measured": measured}}
    )


@pytest.fixture
def chapter(tmp_path):
    return Book(good_book(tmp_path)).chapter("one")


def pretend(monkeypatch, outputs):
    """`outputs(seed)` takes the place of executing the chapter."""
    monkeypatch.setattr(module, "run", lambda chapter, seed: outputs(seed))


def test_each_seed_leaves_one_entry_and_the_least_power_counts(chapter, monkeypatch):
    pretend(monkeypatch, lambda seed: [[shown(power=1 - seed / 1000)], []])
    result = module.sweep(chapter, [1, 2, 3])
    [check] = result["checks"]
    assert result["seeds"] == [1, 2, 3]
    assert result["failures"] == []
    assert check["power"] == 0.997
    assert check["used"] == [0.1235] * 3  # four digits
    assert check["p"] == [[0.25, 0.75]] * 3


def test_observed_checks_keep_the_share_of_seeds_inside(chapter, monkeypatch):
    measured = {"inside": 0.8, "stated share": 0.75}
    pretend(monkeypatch, lambda seed: [[shown(kind="observed", measured=measured, power=None)]])
    [check] = module.sweep(chapter, [1, 2])["checks"]
    assert check["inside"] == [0.8, 0.8]
    assert check["stated share"] == 0.75
    assert check["used"] == [None, None]


def test_a_seed_that_fails_is_a_failure_and_the_others_go_on(chapter, monkeypatch):
    def outputs(seed):
        if seed == 1:
            raise BookError(Problem(chapter.path, 12, "one-sum does not hold", "mend it"))
        return [[shown()]]

    pretend(monkeypatch, outputs)
    result = module.sweep(chapter, [1, 2])
    assert result["seeds"] == [2]
    assert result["failures"] == [{"seed": 1, "problem": "line 12: one-sum does not hold"}]


def test_a_check_that_appears_under_some_seeds_only_is_a_failure(chapter, monkeypatch):
    pretend(monkeypatch, lambda seed: [[shown()] * seed])
    result = module.sweep(chapter, [1, 2])
    assert result["seeds"] == [1]
    assert [failure["seed"] for failure in result["failures"]] == [2]


def test_the_command_stores_the_result_and_fails_on_a_false_alarm(tmp_path, monkeypatch, capsys):
    write_book(tmp_path)

    def outputs(seed):
        if seed == 2:
            raise BookError(Problem("book/part/one.md", 12, "does not hold", "mend it"))
        return [[shown()]]

    pretend(monkeypatch, outputs)
    stored = tmp_path / module.FOLDER / "one.json"
    assert main(["--root", str(tmp_path), "sweep", "--seeds", "1", "one"]) == 0
    assert json.loads(stored.read_text())["seeds"] == [1]
    assert main(["--root", str(tmp_path), "sweep", "--seeds", "3"]) == 1
    assert json.loads(stored.read_text())["seeds"] == [1, 3]
    assert "seed 2: line 12: does not hold" in "".join(capsys.readouterr())
    assert list(stored.parent.iterdir()) == [stored]  # no half-written file is left


@pytest.mark.slow
def test_a_real_chapter_draws_other_numbers_under_another_seed(tmp_path):
    cell = (
        "from derive import check\nfrom derive.device import start\nimport torch\n"
        "run = start(seed=0)\nx = torch.randn(4000, generator=run.generator)\n"
        'check.sampled("one-sum", x, 0, wrong={"one": 1, "minus one": -1})'
    )
    root = good_book(tmp_path)
    path = root / "book/part/one.md"
    path.write_text(path.read_text().replace('check("one-sum")', cell))
    [check] = module.sweep(Book(root).chapter("one"), [1, 2])["checks"]
    [[first], [second]] = check["p"]
    assert first != second
    assert all(0 < p < 1 for p in (first, second))
