"""A chapter's page: ticks and checks linked both ways, outputs from the pair, nothing executed."""

import json
import re
from html.parser import HTMLParser

import pytest
from small_books import (
    CHAPTER,
    build,
    good_book,
    interactive,
    page,
    pair_up,
    picture,
    record,
    write_book,
)

TWO = """\
(two)=
# Chapter two

By {eq}`one-sum`, and by {eq}`two-sum`:

```{math}
:label: two-sum
a = b
```

```{code-cell} python3
check("two-sum")
```
"""
FIGURES = """
```{code-cell} python3
---
mystnb: {image: {alt: "A dot."}, figure: {name: fig-dot, caption: "By {eq}`one-sum`."}}
---
plot()
```

```{code-cell} python3
play()
```

See {numref}`fig-dot` and {numref}`fig-one-play`.
"""


class Ids(HTMLParser):
    """Ids and targets of links, and that every element is closed."""

    void = frozenset({"br", "hr", "img", "input", "link", "meta"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids, self.links, self.stack = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if attributes.get("href", "").startswith("#"):
            self.links.append(attributes["href"][1:])
        if tag not in self.void:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.stack.pop() == tag


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """Two chapters; the first with two checks of one claim and two figures."""
    root = tmp_path_factory.mktemp("page")
    write_book(root, {"one": CHAPTER + FIGURES, "two": TWO})
    (root / "book" / "_interactive").mkdir()
    (root / "book" / "_interactive" / "one-play.js").write_text("// draws\n")
    sampled = record(
        "one-sum", kind="sampled", figure="z = 0.4 < 6.1", false_alarm=1e-9, power=0.998
    )
    play = interactive(caption="As $n$ grows.", data={"html": "</script><b>", "n": [1, 2]})
    pair_up(root, "one", [record("one-sum"), sampled], [picture()], [play])
    pair_up(root, "two", [record("two-sum")])
    assert build(root) == ""
    return root


def test_a_claim_is_the_equation_with_its_number_and_tick(book):
    html = page(book)
    claim = re.search(r'<div class="claim[^>]*>.*?</a>\n</div>', html, re.DOTALL)[0]
    assert claim.startswith('<div class="claim claim-bound claim-sampled" id="claim-one-sum">')
    assert '<span class="eqno">(1.1)' in claim
    assert (
        '<a class="tick" href="#check-one-sum" aria-label="Checked: bound + sampled, '
        '0 violations in 2000 cases; z = 0.4 &lt; 6.1. Go to the check.">'
        '<span class="tick-mark" aria-hidden="true">✓</span>'
        '<span class="tick-kind">bound + sampled</span>'
        '<span class="tick-figure">0 violations in 2000 cases; z = 0.4 &lt; 6.1</span></a>'
    ) in claim


def test_checks_that_found_the_same_say_it_once(tmp_path):
    write_book(tmp_path)
    pair_up(tmp_path, "one", [record("one-sum"), record("one-sum")])
    assert build(tmp_path) == ""
    assert '<span class="tick-figure">0 violations in 2000 cases</span></a>' in page(tmp_path)
    assert 'id="check-one-sum-2"' in page(tmp_path)


def test_a_check_leads_back_folds_its_wrong_versions_and_reports(book):
    html = page(book)
    check = re.search(r'<div class="check check-bound" id="check-one-sum">.*?</div>', html)[0]
    assert 'href="#claim-one-sum"' in check
    assert "✓ (1.1)</a>" in check
    assert '<span class="check-kind">bound</span>' in check
    assert '<span class="check-figure">0 violations in 2000 cases</span>' in check
    assert (
        '<details class="check-wrong"><summary>rejects 2 wrong versions</summary>'
        "<ul><li><b>n for n + 1</b> 3 violations</li>"
        "<li><b>no half</b> &lt;all&gt; violated</li></ul></details>"
    ) in check
    assert (
        'class="report" href="https://github.com/someone/small/issues/new?'
        "title=Equation%20one-sum%20%281.1%29&amp;body=Page%3A%20book%2Fpart%2Fone.md"
    ) in check
    assert '<div class="check check-sampled" id="check-one-sum-2">' in html
    # The line for notebooks is not shown a second time.
    assert "<b>quiet</b>" not in html
    assert "· bound:" not in re.sub(r'href="[^"]*"', "", html)


def test_every_id_is_there_once_and_every_link_within_the_page_leads_somewhere(book):
    for name in ("part/one", "part/two"):
        found = Ids(page(book, name))
        assert len(found.ids) == len(set(found.ids))
        assert {link for link in found.links if link} <= set(found.ids)
        assert found.stack == []


def test_references_to_an_equation_lead_to_its_claim(book):
    assert '<a class="reference internal" href="#claim-one-sum">(1.1)</a>' in page(book)
    two = page(book, "part/two")
    assert '<a class="reference internal" href="one.html#claim-one-sum">(1.1)</a>' in two
    assert '<a class="reference internal" href="#claim-two-sum">(2.1)</a>' in two


def test_figures_have_alt_text_caption_and_the_notebooks_number(book):
    html = page(book)
    assert 'alt="A dot."' in html
    assert '<span class="caption-number">Fig. 1.1 </span>' in html
    assert 'href="#fig-dot"><span class="std std-numref">Fig. 1.1</span>' in html
    assert 'href="#fig-one-play"><span class="std std-numref">Fig. 1.2</span>' in html
    notebook = (book / "book/part/one.ipynb").read_text()
    assert "**Figure 1.2.** As $n$ grows." in notebook


def test_an_interactive_figure_has_a_stage_a_fallback_and_its_data(book):
    figure = re.search(r'<figure class="interactive".*?</figure>', page(book), re.DOTALL)[0]
    opening, stage, image, script, caption = (
        figure.index(part)
        for part in (
            'data-figure="one-play"',
            '<div class="stage"></div>',
            '<img alt="A line."',
            '<script type="application/json">',
            "<figcaption>",
        )
    )
    assert opening < stage < image < script < caption
    data = re.search(r"json\">(.*?)</script>", figure, re.DOTALL)[1]
    assert json.loads(data) == {"html": "</script><b>", "n": [1, 2]}
    assert "<" not in data
    assert 'id="fig-one-play"' in figure


def test_nothing_is_executed(book):
    # The cells call functions that do not exist: running them would have failed the build.
    assert "NameError" not in page(book)
    assert "plot" in page(book)


def test_a_check_in_a_cell_without_other_outputs_still_has_its_line(tmp_path):
    chapter = CHAPTER.replace("{code-cell} python3\n", "{code-cell} python3\n:tags: [hide-cell]\n")
    write_book(tmp_path, {"one": chapter})
    pair_up(tmp_path, "one", [record("one-sum")])
    assert build(tmp_path) == ""
    folded = re.search(
        r"<details class=\"admonition hide.*?</details>\n</div>", page(tmp_path), re.S
    )
    assert 'id="check-one-sum"' in folded[0]


def test_plain_pages_stay_plain(tmp_path):
    text = "# Plain\n\n```python\ncheck()\n```\n\n$$ a = b $$\n"
    write_book(tmp_path, pages={"plain": text})
    pair_up(tmp_path, "one", [record("one-sum")])
    assert build(tmp_path) == ""
    html = page(tmp_path, "plain")
    assert "claim" not in html
    assert "cell_input" not in html


def test_a_new_notebook_is_noticed(tmp_path):
    good_book(tmp_path)
    build(tmp_path)
    assert "in 2000 cases" in page(tmp_path)
    pair_up(tmp_path, "one", [record("one-sum", figure="0 violations in 3000 cases")])
    assert build(tmp_path) == ""
    assert "in 3000 cases" in page(tmp_path)
    assert "in 2000 cases</span>" not in page(tmp_path)


@pytest.mark.parametrize("builder", ["text", "latex"])
def test_other_builders_show_equation_check_and_figures(tmp_path, builder):
    write_book(tmp_path, {"one": CHAPTER + FIGURES.split("```{code-cell} python3\nplay")[0]})
    pair_up(tmp_path, "one", [record("one-sum")], [picture()])
    told = build(tmp_path, builder, nb_mime_priority_overrides=[["text", "image/png", 1]])
    assert [line for line in told.splitlines() if "derive" in line] == []
    out = tmp_path / "_build" / builder
    text = "".join(p.read_text() for p in [*out.rglob("*.txt"), *out.rglob("*.tex")])
    assert "0 violations in 2000 cases" in text
