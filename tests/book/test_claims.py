"""Claims are found where they stand, numbered in order, and fingerprinted by their LaTeX."""

import pytest
from small_books import interactive, picture, record

from derive_book.claims import fingerprint, parse
from derive_book.records import CHECK, read_interactive, read_record, records


def labels(text: str) -> list[tuple[str, str, int]]:
    return [(claim.label, claim.number, claim.line) for claim in parse(text, "c.md", 4)[0]]


def problems(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, "c.md", 4)[1]]


def test_both_ways_of_writing_a_claim_are_numbered_in_order():
    text = (
        "# T\n\n```{math}\n:label: first\na = b\n```\n\n$$ c = d $$ (second)\n\n"
        "- item\n\n  ```{math}\n  ---\n  label: third\n  ---\n  e = f\n  ```\n"
    )
    assert labels(text) == [("first", "4.1", 3), ("second", "4.2", 8), ("third", "4.3", 12)]
    assert problems(text) == []


def test_claims_inside_admonitions_are_found_with_their_line():
    text = "````{note}\n\nWords.\n\n```{math}\n:label: inside\na = b\n```\n````\n"
    assert labels(text) == [("inside", "4.1", 5)]


def test_unnumbered_mathematics_and_examples_in_code_are_no_claims():
    text = (
        "$$ a = b $$\n\n```{math}\na = b\n```\n\n`$$ a $$ (b)` $x$\n\n"
        "````md\n```{math}\n:label: quoted\na = b\n```\n````\n\n"
        "```{code-cell} python3\nx = r'\\begin{equation}'\n```\n"
    )
    assert labels(text) == []
    assert problems(text) == []


def test_the_fingerprint_depends_on_the_latex_and_not_on_white_space():
    assert fingerprint("a  =\n  b ") == fingerprint("a = b")
    assert fingerprint("a = b") != fingerprint("a = c")
    # Sixteen hexadecimal digits of SHA-256, computed with sha256sum.
    assert fingerprint("a = b") == "223c4d2008755108"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x\n\n$$\n\\begin{equation} a \\label{b} \\end{equation}\n$$\n", 3, "begin{equation}"),
        ("x\n\n\\begin{equation}\na\n\\end{equation}\n", 3, "begin{equation}"),
        ("```{math}\n\\begin{align} a &= b \\end{align}\n```\n", 1, "begin{align}"),
        ("$$ a = b \\tag{7} $$\n", 1, "\\tag names an equation"),
        ("Inline $a \\label{b}$.\n", 1, "\\label names an equation"),
        ("$$ a = b $$ (Bad_Label)\n", 1, "'Bad_Label' is no anchor"),
        ("```{math}\n:label: two\na\n\nb\n```\n", 1, "holds a blank line"),
        ("```{math}\n:label: none\n```\n", 1, "equation none is empty"),
    ],
)
def test_equations_numbered_behind_the_books_back_are_refused(text, line, message):
    found = problems(text)
    assert found
    assert found[0].startswith(f"c.md:{line}: ")
    assert message in found[0]


def test_starred_and_inner_environments_are_welcome():
    text = "```{math}\n:label: good\n\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}\n```\n"
    assert problems(text) == []


def test_a_record_is_read_with_its_stamp():
    output = record("one-sum", kind="sampled", false_alarm=1e-9, power=0.995)
    assert read_record(output).fingerprint is None
    output.metadata[CHECK]["fingerprint"] = "abc"
    read = read_record(output, cell=3)
    assert (read.label, read.kind, read.false_alarm, read.power) == (
        "one-sum",
        "sampled",
        1e-9,
        0.995,
    )
    assert (read.fingerprint, read.cell) == ("abc", 3)
    assert read_record(picture()) is None


def test_records_keep_the_order_of_cells_and_outputs():
    outputs = [[record("b")], [], [picture(), record("a"), record("b")]]
    assert [(r.label, r.cell) for r in records(outputs)] == [("b", 0), ("a", 2), ("b", 2)]


@pytest.mark.parametrize(
    "changes", [{"format": 2}, {"kind": "guessed"}, {"wrong": 3}, {"false_alarm": "much"}]
)
def test_a_malformed_record_is_refused(changes):
    with pytest.raises(ValueError, match="unreadable record"):
        read_record(record("one-sum", **changes))


def test_an_incomplete_interactive_figure_is_refused():
    output = interactive()
    del output.data["application/vnd.derive.figure+json"]["alt"]
    with pytest.raises(ValueError, match=r"incomplete.*alt"):
        read_interactive(output)
