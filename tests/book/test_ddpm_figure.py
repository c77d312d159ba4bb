"""The interactive figures of the chapter `ddpm-three-ways`, in a real browser."""

import math

import pytest

pytest.importorskip("playwright.sync_api")
from axe_playwright_python.sync_playwright import Axe
from test_interactive import browser, readout, show  # noqa: F401 -- fixtures

pytestmark = pytest.mark.browser

DARK, LIGHT = "z" * 64, "0" * 64
DIGITS = {
    "t": [1000, 400, 0],
    "start": 1,
    "noisy": [[LIGHT] * 16, [LIGHT] * 8 + [DARK] * 8, [DARK] * 16],
    "guess": [["i" * 64] * 16, [DARK] * 16, [DARK] * 16],
    "distance": [[8.0] * 16, [2.0] * 8 + [3.0] * 8, [1e-12] * 16],
    "apart": 2.02,
}


def bell(x, mean, width):
    return math.exp(-(((x - mean) / width) ** 2) / 2) / (width * math.sqrt(2 * math.pi))


def posterior():
    """Two levels; given the noisy value 0 the two components are equally likely."""
    x = [round(-2.4 + 0.3 * k, 2) for k in range(17)]
    shares = [1 / (1 + math.exp(3 * v)) for v in x]
    far = {"share": shares, "means": [[-1.0, 1.0]] * 17, "widths": [0.1, 0.1]}
    near = {"share": shares, "means": [[v, v] for v in x], "widths": [0.05, 0.05]}
    level = {"alpha": 0.8, "sigma": 0.6, "density": [bell(v, 0, 1) for v in x]}
    return {
        "t": [100, 400],
        "start": 1,
        "back": [10, 200, 1000],
        "x": x,
        "weights": [0.5, 0.5],
        "means": [-1.0, 1.0],
        "widths": [0.2, 0.2],
        "levels": [{**level, "jumps": [near, near, far]}] * 2,
    }


POSTERIOR = posterior()


def slide(page, to):
    page.locator("input[type=range]").fill(str(to))


def shades(page):
    """The different opacities of the pixels drawn."""
    found = page.evaluate(
        "[...document.querySelectorAll('.stage rect')].map((n) => +n.style.opacity)"
    )
    assert len(found) == 16 * 64
    return sorted({round(v, 2) for v in found})


def test_digits_form_as_the_slider_moves(show):  # noqa: F811
    page = show("ddpm-digits", DIGITS)
    assert page.problems == []
    assert page.locator("figure.is-live").count() == 1
    assert shades(page) == [0.06, 1]
    assert "t = 400 of 1000" in readout(page)
    assert "nearest training picture: 3" in readout(page)
    slide(page, 0)
    assert shades(page) == [0.06]
    slide(page, 2)
    assert shades(page) == [1]
    assert "pixel for pixel" in readout(page)


def test_what_the_denoiser_expects_can_be_seen(show):  # noqa: F811
    page = show("ddpm-digits", DIGITS)
    page.get_by_label("what the denoiser expects").check()
    assert shades(page) == [1]
    slide(page, 0)
    assert shades(page) == [pytest.approx(0.06 + 0.94 * 18 / 35, abs=0.01)]


def test_the_posterior_answers_at_the_cursor(show):  # noqa: F811
    page = show("ddpm-posterior", POSTERIOR)
    assert page.problems == []
    assert page.locator(".stage svg path.line").count() >= 4
    plot = page.locator(".plot").first
    plot.focus()
    page.keyboard.press("Home")
    assert "−2.4 at t = 400 came from the left peak with probability 99.9 %" in readout(page)
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    assert "probability 50 %; the perfect denoiser answers 0." in readout(page)


def test_a_small_step_is_gaussian_and_the_whole_way_is_not(show):  # noqa: F811
    page = show("ddpm-posterior", POSTERIOR)
    plot = page.locator(".plot").first
    plot.focus()
    page.keyboard.press("Home")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    second = page.locator(".readout").nth(1)
    page.get_by_label("10", exact=True).check()
    assert "misses the truth by less than 0.0001 nats" in second.text_content()
    page.get_by_label("all, to").check()
    # Two bells of width 0.1 at -1 and 1 against one of variance 1.01: log(1.005 / 0.1) - log 2.
    expected = math.log(math.sqrt(1.01) / 0.1) - math.log(2)
    assert f"by {expected:.3g} nats" in second.text_content()
    assert "Mean 0, deviation 1" in second.text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "data"), [("ddpm-digits", DIGITS), ("ddpm-posterior", POSTERIOR)])
def test_the_figures_are_accessible(show, name, data, scheme):  # noqa: F811
    found = Axe().run(show(name, data, color_scheme=scheme))
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [360, 760])
@pytest.mark.parametrize(("name", "data"), [("ddpm-digits", DIGITS), ("ddpm-posterior", POSTERIOR)])
def test_the_figures_fit_the_page(show, name, data, width):  # noqa: F811
    page = show(name, data, width=width)
    outside = page.evaluate(
        """() => { const edge = document.querySelector("figure").getBoundingClientRect();
          return [...document.querySelectorAll(".stage :is(rect, text, input, label)")]
            .filter((n) => !n.closest("clipPath"))
            .map((n) => n.getBoundingClientRect())
            .filter((box) => box.left < edge.left - 1 || box.right > edge.right + 1).length }"""
    )
    assert outside == 0
    assert page.problems == []
