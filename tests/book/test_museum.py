"""Every exhibit of the museum has a source and a date, and a short check that rejects it."""

import ast
import re
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from derive_book.book import Book, Chapter
from derive_book.verify import chapter_records

ROOT = Path(__file__).parents[2]
LINES = 5
PUBLISHED = ("as printed", "as shipped", "as documented", "as assumed")
MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)


class Check(NamedTuple):
    kind: str
    lines: int


def museum() -> Chapter:
    return Book(ROOT).chapter("museum")


def trees(chapter: Chapter) -> list[ast.Module]:
    return [ast.parse(MAGIC.sub(r"\1pass", cell.source)) for cell in chapter.code]


def entries(chapter: Chapter) -> list:
    """The catalogue, from the assignments of the cell that holds it; nothing else is run."""
    cell = next(tree for tree in trees(chapter) if "ENTRIES" in ast.unparse(tree))
    kept = [node for node in cell.body if isinstance(node, ast.ClassDef | ast.Assign)]
    kept = [node for node in kept if "heads" not in ast.unparse(node)]
    names = {"NamedTuple": NamedTuple}
    exec(compile(ast.Module(kept, []), "catalogue", "exec"), names)
    return names["ENTRIES"]


def checks(chapter: Chapter) -> dict[str, list[Check]]:
    """The calls of `check.…` by their label; those inside `try` are meant to be refused."""
    found: dict[str, list[Check]] = {}
    for tree in trees(chapter):
        for node in tree.body:
            call = node.value if isinstance(node, ast.Expr) else None
            if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("check."):
                lines = call.end_lineno - call.lineno + 1
                label = ast.literal_eval(call.args[0])
                found.setdefault(label, []).append(Check(call.func.attr, lines))
    return found


def sections(text: str) -> dict[str, str]:
    """The section of each exhibit: from its heading to the next one, by the claim's label."""
    parts = re.split(r"^#{2,3} ", text, flags=re.MULTILINE)
    return {match[1]: part for part in parts if (match := re.search(r":label: (\S+)", part))}


def problems(catalogue, called, records, texts, bibliography) -> list[str]:
    """What an exhibit lacks, as 'label: what', for every exhibit."""
    found = []

    def require(label, holds, what):
        if not holds:
            found.append(f"{label}: {what}")

    by_label = {record.label: record for record in records}
    for entry in catalogue:
        label, text = entry.label, texts.get(entry.label, "")
        match = re.fullmatch(r"([\w.-]+/[\w.-]+)#(\d+)", entry.thread)
        require(label, match, "no thread owner/repository#number")
        link = rf"github\.com/{re.escape(match[1])}/(issues|pull)/{match[2]}\)" if match else "$^"
        require(label, re.search(link, text), "its section has no link to the thread")
        require(label, _day(entry.reported), "no date of the report")
        require(label, entry.reported in text, "its section has another date, or none")
        require(label, entry.work and entry.printed and entry.slip, "an empty field")
        require(label, re.search(r"gave it\s+away|gives it\s+away", text), "what gave it away?")
        require(label, "Thanks to" in text, "no thanks")
        cited = re.findall(r"\{cite:[pt]\}`(\w+)`", text)
        require(label, all(key in bibliography for key in cited), "cites what is not listed")
        mine = called.get(label, [])
        require(label, [check.kind for check in mine] == [entry.caught_by], "no check of its kind")
        require(label, all(check.lines <= LINES for check in mine), f"a check over {LINES} lines")
        record = by_label.get(label, SimpleNamespace(wrong={}))
        rejected = [name for name in record.wrong if name.startswith(PUBLISHED)]
        require(label, len(rejected) == 1, "the published version is not among the rejected")
    return found


def _day(text: str) -> bool:
    try:
        return date(2000, 1, 1) < date.fromisoformat(text) <= date.today()
    except ValueError:
        return False


@pytest.fixture(scope="module")
def parts():
    chapter = museum()
    bibliography = set(
        re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text("utf-8"), re.M)
    )
    texts = sections(chapter.text)
    return entries(chapter), checks(chapter), chapter_records(chapter), texts, bibliography


def test_every_exhibit_has_its_source_its_date_and_a_short_check_that_rejects_it(parts):
    assert problems(*parts) == []


def test_there_are_at_least_25_exhibits_and_each_is_a_claim_of_the_page(parts):
    labels = [entry.label for entry in parts[0]]
    assert len(labels) >= 25
    assert labels == [claim.label for claim in museum().claims]


def test_the_circular_identity_is_refused_for_what_it_is_made_of():
    cells = [cell.source for cell in museum().code]
    place = next(k for k, source in enumerate(cells) if "CheckRefused as refusal" in source)
    assert "is free on one side only" in _printed(museum(), place)


def test_no_printed_count_of_the_summary_was_typed_by_hand(parts):
    cells = [cell.source for cell in museum().code]
    place = next(k for k, source in enumerate(cells) if "slips, judges" in source)
    printed = _printed(museum(), place)
    assert printed.startswith(f"{len(parts[0])} exhibits")
    counts = [int(n) for n in re.findall(r" (\d+)(?:,|$)", printed.split("\n")[1])]
    assert sum(counts) == len(parts[0])


def _printed(chapter: Chapter, place: int) -> str:
    from derive_book.pair import outputs_of, read

    return "".join(out.get("text", "") for out in outputs_of(read(chapter))[place])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda e, c, r, t: (e, {**c, "museum-wp": [Check("equal", 6)]}, r, t), "over 5 lines"),
        (lambda e, c, r, t: (e, {**c, "museum-wp": []}, r, t), "no check of its kind"),
        (lambda e, c, r, t: (e, c, [x for x in r if x.label != "museum-wp"], t), "not among the"),
        (lambda e, c, r, t: (e, c, r, {**t, "museum-wp": "Thanks to"}), "no link to the thread"),
        (lambda e, c, r, t: (_with(e, reported="2025-13-01"), c, r, t), "no date of the report"),
        (lambda e, c, r, t: (_with(e, thread="PythonOT"), c, r, t), "no thread owner"),
    ],
    ids=["a long check", "no check", "no record", "no source", "no date", "no thread"],
)
def test_what_an_exhibit_lacks_is_found(parts, spoil, message):
    spoilt = problems(*spoil(*parts[:4]), parts[4])
    assert any(line.startswith("museum-wp: ") and message in line for line in spoilt)


def _with(catalogue, **changes):
    return [e._replace(**changes) if e.label == "museum-wp" else e for e in catalogue]
