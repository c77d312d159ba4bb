"""What the page `trust` shows is about this book as it is, and is good enough."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from derive.data import trust_results
from derive_book.book import Book
from derive_book.pair import outputs_of, read
from derive_book.records import records
from matrix.environments import ENVIRONMENTS, constraints

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = [chapter for chapter in Book(ROOT).chapters if chapter.slug != "trust"]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.slug)
def test_every_chapter_was_swept_as_it_is_and_raised_no_alarm(chapter):
    sweep = trust_results("sweep")[chapter.slug]
    assert sweep["failures"] == []
    assert len(sweep["seeds"]) >= 20
    now = [(record.label, record.kind) for record in records(outputs_of(read(chapter)))]
    swept = [(check["label"], check["kind"]) for check in sweep["checks"]]
    assert swept == now, f"the checks have changed: make sweep C={chapter.slug}"
    for check in sweep["checks"]:
        assert check["power"] is None or check["power"] >= 0.99
        if check["kind"] == "observed":
            assert min(check["inside"]) >= check["stated share"]


def test_nothing_is_shown_that_is_not_in_the_book():
    assert set(trust_results("sweep")) == {chapter.slug for chapter in CHAPTERS}


def test_ninety_five_of_a_hundred_mistakes_in_the_library_are_seen():
    results = [m for name, m in trust_results("mutation").items() if name.startswith("library-")]
    survivors = [survivor for m in results for survivor in m["survivors"]]
    harmless = [survivor for survivor in survivors if survivor["equivalent because"]]
    tried = sum(m["tried"] for m in results) - len(harmless)
    assert tried >= 400
    assert (len(survivors) - len(harmless)) / tried <= 0.05


def test_every_subject_of_the_library_was_tried():
    tried = {name.removeprefix("library-") for name in trust_results("mutation")}
    there = {
        path.stem
        for path in (ROOT / "lib/derive").iterdir()
        if path.name not in ("results", "__init__.py", "__pycache__", "py.typed")
        and path.stem not in ("exercise", "_validate")  # they hold no formulas
    }
    assert there <= tried


def test_every_environment_was_tried_and_nothing_failed():
    rows = trust_results("matrix")
    assert set(rows) == {environment.name for environment in ENVIRONMENTS}
    for name, row in rows.items():
        for what, least in (("tests", 3000), ("notebooks", 300)):
            assert row[what]["failed"] == [], f"{name}: {what}"
            assert row[what]["passed"] >= least, f"{name}: {what}"


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: environment.name)
def test_an_environment_was_tried_with_the_versions_that_it_has_now(environment):
    """A new pin or bound demands a new run; `newest` has none."""
    versions = trust_results("matrix")[environment.name]["versions"]
    assert versions["Python"].startswith(environment.python + ".")
    lines = [line.split("#")[0].strip() for line in constraints(environment).splitlines()]
    python = {"python_version": environment.python}
    wanted = [
        requirement
        for requirement in map(Requirement, filter(None, lines))
        if requirement.marker is None or requirement.marker.evaluate(python)
    ]
    names = {name.lower(): name for name in versions}
    compared = [r for r in wanted if r.name.lower() in names]
    assert len(compared) >= 6 or environment.packages == "newest"
    for requirement in compared:
        assert versions[names[requirement.name.lower()]] in requirement.specifier, requirement
