"""What must hold of every chapter and of the book, checked without executing anything."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from nbformat import NotebookNode

from derive_book import pair
from derive_book.book import Book, Chapter
from derive_book.claims import Claim
from derive_book.errors import BookError, Problem
from derive_book.figures import alt_problems
from derive_book.records import Record, read_interactive, read_record

FALSE_ALARM_BUDGET = 1e-6
POWER = 0.99
WRONG_VERSIONS = 2
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")


def verify(book: Book, chapters: Sequence[Chapter] | None = None) -> list[Problem]:
    """All problems of some chapters (default: all) and of the book as a whole, in order."""
    problems: list[Problem] = list(book.missing)
    found: list[tuple[Chapter, list[Record]]] = []
    for chapter in book.chapters:
        try:
            records = chapter_records(chapter)
        except BookError as error:
            records = []
            if chapters is None or chapter in chapters:
                problems.extend(error.problems)
        else:
            if chapters is None or chapter in chapters:
                problems.extend(chapter_problems(book, chapter))
        found.append((chapter, records))
    problems.extend(book_problems([(c, c.claims, records) for c, records in found]))
    return sorted(set(problems))


def chapter_records(chapter: Chapter) -> list[Record]:
    """The records in a chapter's notebook.

    Raises:
        BookError: If the notebook is missing, or a record or figure in it is not readable.
    """
    records = []
    for index, outputs in enumerate(pair.outputs_of(pair.read(chapter))):
        for output in outputs:
            try:
                record = read_record(output, index)
                read_interactive(output)
            except ValueError as error:
                todo = f"run `make execute C={chapter.slug}`"
                line = _cell_line(chapter, index)
                raise BookError(Problem(chapter.path, line, str(error), todo)) from error
            if record is not None:
                records.append(record)
    return records


def chapter_problems(book: Book, chapter: Chapter) -> list[Problem]:
    """Problems of one chapter with its notebook; an unreadable notebook is the only one then."""
    try:
        notebook = pair.read(chapter)
        records = chapter_records(chapter)
    except BookError as error:
        return sorted([*chapter.claim_problems, *error.problems])
    problems = [*chapter.claim_problems, *pair.step_problems(book, chapter, notebook)]
    problems += claim_problems(chapter, records)
    problems += _output_problems(chapter, pair.outputs_of(notebook))
    return sorted(set(problems))


def claim_problems(chapter: Chapter, records: Iterable[Record]) -> list[Problem]:
    """Equations without a passing record, records without an equation, weak or stale records."""
    problems = []
    by_label = defaultdict(list)
    for record in records:
        by_label[record.label].append(record)
    labels = {claim.label: claim for claim in chapter.claims}
    execute = f"run `make execute C={chapter.slug}`"
    for claim in chapter.claims:
        if not by_label[claim.label]:
            what = f"equation {claim.label} has no passing check"
            todo = f'put a cell with check.…("{claim.label}", …) under it and {execute}'
            problems.append(Problem(chapter.path, claim.line, what, todo))
        elif any(record.fingerprint != claim.fingerprint for record in by_label[claim.label]):
            what = f"equation {claim.label} was edited since its check ran"
            todo = f"see that its check still says the same, then {execute}"
            problems.append(Problem(chapter.path, claim.line, what, todo))
    for label, found in by_label.items():
        for record in found:
            problems += _record_problems(chapter, label in labels, record)
    return problems


def _record_problems(chapter: Chapter, known: bool, record: Record) -> list[Problem]:
    line = _cell_line(chapter, record.cell)
    problems = []
    if not known:
        what = f"a check names {record.label}, which is no numbered equation of this chapter"
        todo = f"give an equation `:label: {record.label}`, or mend the name"
        problems.append(Problem(chapter.path, line, what, todo))
    if len(record.wrong) < WRONG_VERSIONS:
        what = f"the check of {record.label} rejects {len(record.wrong)} wrong version(s)"
        todo = f"give it at least {WRONG_VERSIONS} in wrong={{…}}"
        problems.append(Problem(chapter.path, line, what, todo))
    if record.power is not None and not record.power >= POWER:
        what = f"the check of {record.label} has power {record.power:.3g} < {POWER}"
        problems.append(Problem(chapter.path, line, what, "take more draws"))
    return problems


def book_problems(
    chapters: Sequence[tuple[Chapter, Sequence[Claim], Sequence[Record]]],
) -> list[Problem]:
    """Problems that only the whole book shows: labels used twice, the false-alarm budget."""
    problems = []
    first: dict[str, str] = {}
    spent = 0.0
    for chapter, claims, records in chapters:
        for claim in claims:
            where = f"{chapter.path}:{claim.line}"
            if claim.label in first:
                what = f"the label {claim.label} is used twice in the book"
                todo = f"rename this one or the one at {first[claim.label]}"
                problems.append(Problem(chapter.path, claim.line, what, todo))
            first.setdefault(claim.label, where)
        spent += sum(record.false_alarm for record in records)
    if not spent <= FALSE_ALARM_BUDGET:
        what = f"sampled checks raise a false alarm with probability {spent:.2g}"
        todo = f"keep the whole book at {FALSE_ALARM_BUDGET:.0e} a run: give some a smaller share"
        problems.append(Problem("_toc.yml", 1, what, todo))
    return problems


def _output_problems(chapter: Chapter, outputs: Sequence[Sequence[NotebookNode]]) -> list[Problem]:
    """Pictures without alt text, and outputs that no two runs or readers share."""
    problems = alt_problems(chapter, outputs)
    for index, cell in enumerate(outputs):
        for output in cell:
            if output.get("output_type") == "error":
                what, todo = "the stored output is an error", f"run `make execute C={chapter.slug}`"
            elif output.get("name") == "stderr":
                first = " ".join(output.text.split())[:60]
                what, todo = f"the cell writes to stderr ({first})", "mend what it warns of"
            elif match := _ADDRESS.search(_text(output)):
                what, todo = f"the output shows an object '{match[0]}'", "end with plt.show() or ;"
            else:
                continue
            problems.append(Problem(chapter.path, _cell_line(chapter, index), what, todo))
    return problems


def _text(output: NotebookNode) -> str:
    return str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))


def _cell_line(chapter: Chapter, index: int) -> int:
    return chapter.code[index].line if index < len(chapter.code) else 1
