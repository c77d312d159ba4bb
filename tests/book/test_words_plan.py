"""The interactive figure of the chapter `wmd-wrd`, in a real browser."""

import pytest

pytest.importorskip("playwright.sync_api")
from axe_playwright_python.sync_playwright import Axe
from test_interactive import browser, readout, show  # noqa: F401 -- fixtures

pytestmark = pytest.mark.browser

DATA = {
    "sentences": ["a cat sleeps", "the dog barks loudly", "one tree"],
    "words": [["cat", "sleeps"], ["dog", "barks", "loudly"], ["tree"]],
    "start": [0, 1],
    "counts": [[0.5, 0.5], [0.333, 0.333, 0.333], [1]],
    "norms": [[0.8, 0.2], [0.5, 0.3, 0.2], [1]],
    "pairs": {
        "0-1": {
            "wmd": [[0, 0, 0.333], [0, 1, 0.167], [1, 1, 0.167], [1, 2, 0.333]],
            "wrd": [[0, 0, 0.5], [0, 1, 0.3], [1, 2, 0.2]],
            "costs": [0.75, 0.5, 0.9],
        },
        "0-2": {"wmd": [[0, 0, 0.5], [1, 0, 0.5]], "wrd": [[0, 0, 0.8], [1, 0, 0.2]],
                "costs": [1, 1, 1]},
        "1-2": {"wmd": [[0, 0, 0.333], [1, 0, 0.333], [2, 0, 0.333]],
                "wrd": [[0, 0, 0.5], [1, 0, 0.3], [2, 0, 0.2]], "costs": [1.2, 0.8, 0.8]},
    },
}  # fmt: skip


@pytest.fixture
def page(show):  # noqa: F811
    return show("words-plan", DATA)


def widths(page):
    """Widths of the flows, in pixels."""
    return page.evaluate(
        "[...document.querySelectorAll('path.line')].map((n) => parseFloat(n.style.strokeWidth))"
    )


def slide(page, to):
    page.locator("input[type=range]").fill(str(to))


def choose(page, side, sentence):
    page.get_by_role("group", name=side).get_by_label(sentence).check()


def test_the_plan_of_wmd_is_drawn_first(page):
    assert page.problems == []
    assert page.locator("figure.is-live").count() == 1
    words = page.evaluate("[...document.querySelectorAll('.stage text')].map((n) => n.textContent)")
    assert words == ["cat", "sleeps", "dog", "barks", "loudly"]
    assert widths(page) == pytest.approx([64 * m for m in (0.333, 0.167, 0.167, 0.333)], abs=0.01)
    assert "WMD 0.75; WRD 0.5, and with the independent coupling 0.9" in readout(page)
    assert "(WMD) is 33.3\u00a0% from cat to dog" in readout(page)


def test_the_slider_leads_over_wrd_to_independence(page):
    slide(page, 10)
    assert widths(page) == pytest.approx([32, 19.2, 12.8])
    assert "(WRD) is 50\u00a0% from cat to dog" in readout(page)
    slide(page, 20)
    assert len(widths(page)) == 6
    assert sum(widths(page)) == pytest.approx(64)
    slide(page, 2)  # four fifths of (333, 167, 167, 333), one of (500, 300, 0, 200)
    assert widths(page) == pytest.approx([64 * m for m in (0.3664, 0.1936, 0.1336, 0.3064)])
    slide(page, 5)
    assert "50\u00a0% WMD, 50\u00a0% WRD" in readout(page)
    assert sum(widths(page)) == pytest.approx(64, abs=0.1)


def test_sentences_are_chosen_on_either_side(page):
    choose(page, "left", "one tree")
    words = page.evaluate("[...document.querySelectorAll('.stage text')].map((n) => n.textContent)")
    assert words == ["tree", "dog", "barks", "loudly"]
    assert widths(page) == pytest.approx([64 * 0.333] * 3)  # the stored plan the other way round
    assert "WMD 1.2" in readout(page)
    choose(page, "right", "one tree")
    assert "distance 0 from itself" in readout(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_figure_is_accessible(show, scheme):  # noqa: F811
    page = show("words-plan", DATA, color_scheme=scheme)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [360, 760])
def test_many_long_sentences_fit_the_page(show, width):  # noqa: F811
    """Five and more become lists to choose from, whose entries must not widen the page."""
    sentences = DATA["sentences"] + ["a sentence that would not fit on a line of the page"] * 3
    more = {"words": [["one"]] * 3, "counts": [[1]] * 3, "norms": [[1]] * 3}
    data = {**DATA, **{key: DATA[key] + more[key] for key in more}, "sentences": sentences}
    page = show("words-plan", data, width=width)
    outside = page.evaluate(
        """() => { const edge = document.querySelector("figure").getBoundingClientRect();
          return [...document.querySelectorAll(".stage :is(text, select, input)")]
            .map((n) => n.getBoundingClientRect())
            .filter((box) => box.left < edge.left - 1 || box.right > edge.right + 1).length }"""
    )
    assert page.locator("select").count() == 2
    assert outside == 0
