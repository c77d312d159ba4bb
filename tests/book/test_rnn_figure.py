"""The interactive figure of chapter `rnn-gradients`: how long a gradient lives."""

import math

import pytest

pytest.importorskip("playwright.sync_api")
from axe_playwright_python.sync_playwright import Axe
from test_interactive import browser, readout, show  # noqa: F401 -- fixtures

pytestmark = pytest.mark.browser

LAGS = list(range(41))


def entry(rate, **more):
    middle = [math.exp(rate * k) for k in LAGS]
    return {
        "low": [0.5 * v for v in middle],
        "middle": middle,
        "high": [2 * v for v in middle],
        "rate": rate,
        **more,
    }


DATA = {
    "lag": LAGS,
    "start": 20,
    "starts": [1, 0],
    "gain": [0.5, 1, 1.5],
    "bias": [0, 1],
    "tanh": [entry(-1.5), entry(-0.1), entry(0.02)],
    "lstm": [entry(-0.5, mean=-0.7), entry(-0.125, mean=-0.3)],
}


@pytest.fixture
def page(show):  # noqa: F811
    return show("rnn-lag", DATA)


def slide(page, which, to):
    page.locator("input[type=range]").nth(which).fill(str(to))


def test_both_networks_and_their_predictions_are_drawn(page):
    assert page.problems == []
    assert page.locator("figure.is-live").count() == 1
    assert page.locator("g[clip-path] path.line").count() == 5
    assert page.locator("g[clip-path] path.area").count() == 2


def test_the_readout_says_what_is_left_and_what_was_predicted(page):
    said = readout(page)
    assert said.startswith("20 steps back the tanh network (g = 1) has kept 0.135 of a gradient")
    assert "the LSTM (b = 0) 4.54 × 10⁻⁵" in said
    assert "the first falls by a factor of e in 10 steps, the second falls" in said
    assert "in 2 steps; by its forget gate alone it falls by a factor of e in 1.43 steps" in said


def test_each_slider_moves_one_network(page):
    slide(page, 0, 2)
    assert "(g = 1.5) has kept 1.49" in readout(page)
    assert "the first grows by a factor of e in 50 steps" in readout(page)
    assert "(b = 0) 4.54 × 10⁻⁵" in readout(page)
    slide(page, 1, 1)
    assert "(g = 1.5) has kept 1.49" in readout(page)
    assert "(b = 1) 0.0821" in readout(page)


def test_the_crosshair_follows_the_keyboard(page):
    plot = page.locator("[role=slider], svg[tabindex='0']").first
    plot.focus()
    page.keyboard.press("ArrowRight")
    assert readout(page).startswith("21 steps back")


def test_what_leaves_the_axes_becomes_a_gap(page):
    """At gain 0.5 the norm is below 1e-16 from lag 25 on: no line along the frame."""
    slide(page, 0, 0)
    assert page.problems == []
    widths = page.evaluate(
        """() => [...document.querySelectorAll("g[clip-path] path.line")]
          .map((n) => n.getBBox().width)"""
    )
    assert min(widths) / max(widths) == pytest.approx(24 / 40, abs=0.02)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_figure_is_accessible(show, scheme):  # noqa: F811
    page = show("rnn-lag", DATA, color_scheme=scheme)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_it_fits_a_phone(show):  # noqa: F811
    page = show("rnn-lag", DATA, width=360)
    assert page.problems == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
