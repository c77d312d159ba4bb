"""The prose of a notebook: every row of the conversion table, and refusal of everything else."""

import pytest
from small_books import CHAPTER, FRONT, pair_up, picture, record, write_book

from derive_book.book import Book
from derive_book.errors import BookError
from derive_book.pair import assemble
from derive_book.plain import CONVERSIONS

OTHER = """\
(two)=
# Chapter two

(two-part)=
## A part

$$ c = d $$ (two-claim)

```{code-cell} python3
---
mystnb: {image: {alt: "Dot."}, figure: {name: fig-two, caption: "A dot."}}
---
show()
```
"""
SITE = "https://someone.github.io/small/book"
RAW = "https://raw.githubusercontent.com/someone/small/main/book"

# One entry a row of the table, in its order: MyST, and what the notebook must show for it.
ROWS = [
    [("```{math}\n:label: a-b\na = b\n```", "$$\na = b \\tag{1.2}\n$$"),
     ("$$ a = b $$ (a-b)", "$$\na = b \\tag{1.2}\n$$"),
     ("$$ a \\\\ b $$ (a-b)", "$$\n\\begin{gathered}\na \\\\ b\n\\end{gathered} \\tag{1.2}\n$$")],
    [("```{math}\na = b\n```", "$$\na = b\n$$")],
    [("By {eq}`one-sum`.", "By (1.1)."),
     ("By {eq}`two-claim`.", f"By [(2.1)]({SITE}/part/two.html#claim-two-claim).")],
    [("See {ref}`one`.", "See Chapter one."),
     ("See {ref}`two-part`.", f"See [A part]({SITE}/part/two.html#two-part)."),
     ("See {ref}`there <two-part>`.", f"See [there]({SITE}/part/two.html#two-part).")],
    [("See {numref}`fig-one`.", "See Fig. 1.1."),
     ("See {numref}`picture %s <fig-one>`.", "See picture 1.1."),
     ("See {numref}`fig-two`.", f"See [Fig. 2.1]({SITE}/part/two.html#fig-two).")],
    [("See {doc}`../index`.", f"See [Home]({SITE}/index.html)."),
     ("See [this](two.md#two-part).", f"See [this]({SITE}/part/two.html#two-part)."),
     ("See [that](https://x.org/a_b).", "See [that](https://x.org/a_b).")],
    [("{cite:t}`dasgupta2003` say.", "Dasgupta and Gupta (2003) say."),
     ("{cite:t}`gretton2005` say.", "Gretton et al. (2005) say.")],
    [("So {cite:p}`dasgupta2003,gretton2005`.",
      "So (Dasgupta and Gupta 2003; Gretton et al. 2005).")],
    [("```{note}\nBy {eq}`one-sum`.\n\nMore.\n```", "> **Note.**\n>\n> By (1.1).\n>\n> More.")],
    [("```{admonition} Is $x$ so?\n:class: tip\nYes.\n```", "> **Is $x$ so?**\n>\n> Yes.")],
    [("```{dropdown} Why\nBy {eq}`one-sum`.\n```",
      "<details>\n<summary>Why</summary>\n\nBy (1.1).\n\n</details>")],
    [("```{image} dot.png\n:alt: A dot.\n```", f"![A dot.]({RAW}/part/dot.png)"),
     ("![A dot.](../dot.png)", f"![A dot.]({RAW}/dot.png)")],
    [("```{figure} dot.png\n:alt: A dot.\n:name: fig-dot\nBy {eq}`one-sum`.\n```",
      f"![A dot.]({RAW}/part/dot.png)\n\n**Figure 1.2.** By (1.1).")],
    [],  # tested below: it makes a cell of its own
    [("{claims}`count`.", "1 of 1 claims checked.")],
    [("% a comment", ""), ("(target)=\n### Title", "### Title")],
    [],  # tested below: metadata, not prose
]  # fmt: skip


def notebook(root, text, *outputs):
    """The notebook of chapter one, whose last prose is `text`, and a second chapter beside it."""
    figure = (
        '```{code-cell} python3\n---\nmystnb: {image: {alt: "A."}, figure: {name: fig-one, '
        'caption: "By {eq}`one-sum`."}}\ntags: [hide-input]\n---\nplot()\n```\n\n'
    )
    chapters = {"one": f"{CHAPTER}\n{figure}{text}\n", "two": OTHER}
    write_book(root, chapters)
    pair_up(root, "two", [picture()])
    book = Book(root)
    chapter = book.chapter("one")
    outputs = [record("one-sum")], [picture()]
    outputs[0][0].metadata["application/vnd.derive.check+json"]["fingerprint"] = chapter.claims[
        0
    ].fingerprint
    return assemble(book, chapter, outputs)


def converted(root, text):
    cells = [c for c in notebook(root, text).cells if c.metadata.get("derive") != "references"]
    return cells[-1].source if "derive" not in cells[-1].metadata else ""


def test_every_row_of_the_table_is_tested():
    assert len(ROWS) == len(CONVERSIONS)


@pytest.mark.parametrize(("myst", "plain"), [case for row in ROWS for case in row])
def test_row(tmp_path, myst, plain):
    assert converted(tmp_path, myst) == plain


def test_a_computed_figure_gets_its_caption_under_the_output_and_its_code_folded(tmp_path):
    cells = notebook(tmp_path, "End.").cells
    index = next(i for i, cell in enumerate(cells) if cell.source == "plot()")
    assert cells[index + 1].source == "**Figure 1.1.** By (1.1)."
    assert cells[index].metadata["cellView"] == "form"
    assert cells[index].metadata["jupyter"] == {"source_hidden": True}
    assert cells[index].metadata["tags"] == ["hide-input"]
    assert cells[index].outputs[0].metadata["image/png"]["alt"] == "A."


def test_what_is_cited_is_listed_at_the_end(tmp_path):
    cells = notebook(tmp_path, "{cite:t}`gretton2005` and {cite:p}`dasgupta2003`.").cells
    title, blank, first, second = cells[-1].source.splitlines()
    assert (title, blank) == ("## References", "")
    assert first.startswith("- Sanjoy Dasgupta and Anupam Gupta. An elementary proof.")
    assert "*Random Structures & Algorithms*" in first
    assert second.startswith(
        "- Arthur Gretton, Olivier Bousquet, Alex Smola, and Bernhard Schölkopf"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Code `` {eq}`one-sum` `` and `{eq}` stay.",
        "```text\n{eq}`one-sum`\n(x)=\n```",
        "````md\n```{note}\nQuoted.\n```\n````",
        "Escaped \\$ 5 and $x_1$, a *word*, **bold**.",
        "| a | b |\n|---|---|\n| `{x}` | $y$ |",
        "- one\n  - two\n\n1. three",
    ],
)
def test_code_and_plain_markdown_stay_as_they_are(tmp_path, text):
    assert converted(tmp_path, text) == text


def test_conversion_reaches_lists_quotes_and_tables(tmp_path):
    text = (
        "- item\n\n  ```{note}\n  In $x$.\n  ```\n\n> Quoted {eq}`one-sum`.\n\n"
        "| a |\n|---|\n| {eq}`one-sum` |"
    )
    assert converted(tmp_path, text) == (
        "- item\n\n  > **Note.**\n  >\n  > In $x$.\n\n> Quoted (1.1).\n\n| a |\n|---|\n| (1.1) |"
    )


def test_a_directive_right_after_words_is_set_off(tmp_path):
    assert converted(tmp_path, "Words\n```{math}\na\n```\nmore.") == "Words\n\n$$\na\n$$\n\nmore."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```{mermaid}\nx\n```", "unknown directive {mermaid}"),
        (":::{margin}\nx\n:::", "unknown directive {margin}"),
        ("A {kbd}`x`.", "unknown role {kbd}"),
        ("```{note}\n\nA {term}`x`.\n```", "unknown role {term}"),
        ("{{ name }}", "not converted"),
        ("A note[^1].\n\n[^1]: Said below.", "not converted"),
        ("\\begin{align*} a \\end{align*}", "amsmath is not converted"),
        ("By {eq}`nothing`.", "no equation nothing"),
        ("By {ref}`nothing`.", "no target nothing"),
        ("By {numref}`one`.", "no figure one"),
        ("By {doc}`nothing`.", "no page nothing"),
        ("By {cite:t}`nothing`.", "no reference nothing"),
        ("By [words](nothing.md).", "nothing.md leads nowhere"),
    ],
)
def test_what_the_table_does_not_know_is_an_error_with_its_line(tmp_path, text, message):
    with pytest.raises(BookError) as caught:
        notebook(tmp_path, f"Words.\n\n{text}")
    said = str(caught.value)
    lines = (tmp_path / "book/part/one.md").read_text().splitlines()
    start = lines.index("Words.") + 3
    offset = 2 if text.startswith("```{note}") else 0
    assert f"book/part/one.md:{start + offset}: " in said
    assert message in said


def test_a_chapter_needs_a_title_and_a_python_kernel(tmp_path):
    write_book(tmp_path, {"one": "No title.\n"})
    book = Book(tmp_path)
    with pytest.raises(BookError, match=r"one\.md:1: the chapter has no title"):
        assemble(book, book.chapter("one"), [])
    (tmp_path / "book/part/one.md").write_text(FRONT.replace("python3", "julia") + "# T\n")
    book = Book(tmp_path)
    with pytest.raises(BookError, match="names no python3 kernel"):
        assemble(book, book.chapter("one"), [])
