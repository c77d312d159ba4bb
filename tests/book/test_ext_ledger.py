"""The ledger and the counts are complete, also after partial and parallel builds."""

import json
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from small_books import CHAPTER, build, page, pair_up, record, write_book

PAGES = {
    "index": "# Home\n\nIn all {claims}`count`.\n",
    "ledger": "# Ledger\n\n```{ledger}\n```\n",
}


def chapter(name: str) -> str:
    return CHAPTER.replace("one", name)


def write(root, *names: str) -> None:
    write_book(root, {name: chapter(name) for name in names}, PAGES)
    for index, name in enumerate(names):
        sampled = record(
            f"{name}-sum", kind="sampled", figure=f"z = {index}", false_alarm=2e-9, power=0.9981
        )
        pair_up(root, name, [record(f"{name}-sum"), sampled])


def ledger(root) -> dict:
    return json.loads((root / "_build" / "html" / "ledger.json").read_text())


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    root = tmp_path_factory.mktemp("ledger")
    write(root, "one", "two")
    survivors = [{"equivalent because": None}, {"equivalent because": "a block size"}]
    stored = {"library-a": (50, survivors), "library-b": (31, []), "chapter-one": (9, survivors)}
    (root / "lib/derive/results/mutation").mkdir(parents=True)
    for name, (tried, left) in stored.items():
        path = root / f"lib/derive/results/mutation/{name}.json"
        path.write_text(json.dumps({"tried": tried, "survivors": left}))
    assert build(root) == ""
    return root


def test_the_json_holds_every_claim_and_totals_that_add_up(book):
    content = ledger(book)
    assert [(c["label"], c["number"], c["chapter"]) for c in content["claims"]] == [
        ("one-sum", "1.1", "one"),
        ("two-sum", "2.1", "two"),
    ]
    assert content["claims"][0]["page"] == "book/part/one.html"
    assert content["claims"][0]["checks"][1]["power"] == 0.9981
    totals = content["totals"]
    assert (totals["claims"], totals["checked"], totals["checks"], totals["wrong"]) == (2, 2, 4, 8)
    assert totals["kinds"] == {"bound": 2, "sampled": 2}
    assert totals["false_alarm"] == pytest.approx(4e-9, rel=1e-12)
    assert totals["least_power"] == 0.9981
    assert totals["mutants"] == {"tried": 80, "seen": 79}
    assert "seen by its tests: 79 of 80, 98.8%." in page(book, "ledger")


def test_the_table_links_every_check_and_can_be_filtered(book):
    html = page(book, "ledger")
    rows = re.findall(r'<tr data-kind="(\w+)" data-chapter="(\w+)" data-claim="([\w-]+)">', html)
    assert rows == [
        ("bound", "one", "one-sum"),
        ("sampled", "one", "one-sum"),
        ("bound", "two", "two-sum"),
        ("sampled", "two", "two-sum"),
    ]
    assert '<a href="../book/part/two.html#claim-two-sum">(2.1)</a> <code>two-sum</code>' in html
    assert '<a href="../book/part/two.html#check-two-sum-2">z = 1</a>' in html
    assert '<td><a href="../book/part/two.html" title="Chapter two">two</a></td>' in html
    assert "<td>2 × 10⁻⁹</td><td>0.998</td>" in html
    assert "<td>0</td><td>–</td>" in html
    assert '<form class="ledger-filter" hidden>' in html  # a script shows it
    assert '<script defer src="../_interactive/ledger.js"></script>' in html
    assert "Claims checked: 2 of 2. Checks: 4 (2 bound, 2 sampled)." in html
    assert "4 × 10⁻⁹, 0.4% of the 10⁻⁶ allowed" in html


def test_counts_are_of_the_chapter_or_of_the_whole_book(book):
    assert "In all 2 of 2 claims checked." in page(book, "index")
    assert "1 of 1 claims checked" in page(book, "part/one")
    assert "1 of 1 claims checked" in (book / "book/part/one.ipynb").read_text()


def test_ledger_and_counts_follow_a_change_in_one_chapter(tmp_path):
    write(tmp_path, "one", "two")
    build(tmp_path)
    pair_up(tmp_path, "two", [record("two-sum", kind="order", figure="slope 2")])
    assert build(tmp_path) == ""
    totals = ledger(tmp_path)["totals"]
    assert totals["kinds"] == {"bound": 1, "order": 1, "sampled": 1}
    assert totals["mutants"] is None  # nothing is stored, nothing is claimed
    assert "on purpose" not in page(tmp_path, "ledger")
    assert "slope 2" in page(tmp_path, "ledger")


def test_a_chapter_taken_out_leaves_the_ledger(tmp_path):
    write(tmp_path, "one", "two")
    build(tmp_path)
    (tmp_path / "book/part/two.md").unlink()
    (tmp_path / "book/part/two.ipynb").unlink()
    write(tmp_path, "one")
    assert build(tmp_path) == ""
    assert [claim["label"] for claim in ledger(tmp_path)["claims"]] == ["one-sum"]
    assert "In all 1 of 1 claims checked." in page(tmp_path, "index")


def test_a_parallel_build_finds_the_same(tmp_path):
    names = ["one", "two", "three", "four", "five", "six"]
    write(tmp_path, *names)
    # sphinx_external_toc cannot read in parallel, so the contents stand in the index here.
    index = tmp_path / "book" / "index.md"
    entries = "\n".join(f"part/{name}" for name in names)
    toctree = f"```{{toctree}}\n:numbered: 1\n\n{entries}\n```\n\n```{{toctree}}\nledger\n```\n"
    index.write_text(index.read_text() + toctree)
    extensions = ["sphinxcontrib.bibtex", "derive_book"]
    told = build(tmp_path, parallel=2, extensions=extensions, root_doc="book/index")
    assert told == ""
    assert [claim["chapter"] for claim in ledger(tmp_path)["claims"]] == names
    assert "In all 6 of 6 claims checked." in page(tmp_path, "index")


def test_an_unchecked_claim_is_counted_as_such(tmp_path):
    write_book(tmp_path, {"one": CHAPTER}, PAGES)
    pair_up(tmp_path, "one", [])
    build(tmp_path)
    assert "In all 0 of 1 claims checked." in page(tmp_path, "index")
    assert ledger(tmp_path)["totals"]["checked"] == 0
    assert 'class="tick"' not in page(tmp_path)


@pytest.mark.slow
@pytest.mark.browser
def test_the_filter_shows_one_kind_or_one_chapter(book):
    source = Path(__file__).parents[2] / "book" / "_interactive" / "ledger.js"
    script = book / "_build" / "html" / "_interactive" / "ledger.js"
    script.parent.mkdir(exist_ok=True)
    script.write_text(source.read_text())
    errors = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        tab = browser.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto((book / "_build" / "html" / "book" / "ledger.html").as_uri())
        rows, said = tab.locator("tbody tr:visible"), tab.locator(".ledger-filter output")
        assert (rows.count(), said.inner_text()) == (4, "2 claims shown")
        tab.get_by_label("Chapter").select_option("two")
        assert (rows.count(), said.inner_text()) == (2, "1 claim shown")
        tab.get_by_label("Kind").select_option("sampled")
        assert rows.get_attribute("data-claim") == "two-sum"
        browser.close()
    assert errors == []
