"""The interactive figure of the chapter `weight-scale`, in a real browser."""

import re

import pytest

pytest.importorskip("playwright.sync_api")
from axe_playwright_python.sync_playwright import Axe
from test_interactive import browser, show  # noqa: F401 -- fixtures

pytestmark = pytest.mark.browser

NAME = "weight-shift"
# f(x) = relu(relu(2x + 1)) - 1 before any move
DATA = {
    "x": [-1, -0.5, 0, 0.5, 1],
    "y": [0.5, 0, 0, 1, 1],
    "weights": [[[2]], [[1]], [[1]]],
    "biases": [[1], [0], [-1]],
}
SAME = "the output moves by at most 0. At"


def readout(page):
    """What is said under both plots."""
    return " ".join(page.locator(".readout").all_inner_texts())


@pytest.fixture
def page(show):  # noqa: F811
    return show(NAME, DATA)


def slide(page, name, to):
    page.get_by_role("slider", name=name).fill(str(to))


def choose(page, group, option):
    page.get_by_role("group", name=group).get_by_label(option, exact=True).check()


def quantity(page, words):
    return float(re.search(rf"{words} (\d+\.?\d*)", readout(page))[1])


def test_it_starts_with_the_network_as_trained(page):
    assert page.problems == []
    assert page.locator("figure.is-live").count() == 1
    assert page.locator(".plot svg").count() == 2
    assert f"Layers times 1, 1, 1: {SAME}" in readout(page)
    assert "Squared norms 4 + 1 + 1 = 6; the smallest sum by rescaling is 4.76" in readout(page)
    assert quantity(page, "Product of norms") == 2


def test_a_move_keeps_the_function_and_the_product_and_changes_the_sum(page):
    before = quantity(page, "norm of the gradient")
    slide(page, "layer 1 times", 12)
    slide(page, "layer 2 times", 6)
    assert f"Layers times 4, 1/2, 1/2: {SAME}" in readout(page)
    assert (
        "Squared norms 64 + 0.25 + 0.25 = 64.5; the smallest sum by rescaling is 4.76"
        in readout(page)
    )
    assert quantity(page, "Product of norms") == 2
    assert quantity(page, "norm of the gradient") != before


def test_the_gradient_is_that_of_autograd(page):
    import torch

    weights = [torch.tensor(W, dtype=torch.float64, requires_grad=True) for W in DATA["weights"]]
    x = torch.tensor(DATA["x"], dtype=torch.float64)[:, None]
    h = torch.relu(x @ weights[0].T + 1)
    out = torch.relu(h @ weights[1].T) @ weights[2].T - 1
    loss = (out[:, 0] - torch.tensor(DATA["y"])).square().mean()
    gradients = torch.autograd.grad(loss, weights)
    expected = torch.stack([g.square().sum() for g in gradients]).sum().sqrt().item()
    assert quantity(page, "norm of the gradient") == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(
    ("group", "option"),
    [("biases times", "own factor"), ("biases times", "1"), ("activation", "tanh")],
)
def test_a_wrong_rule_and_another_activation_move_the_function(page, group, option):
    choose(page, group, option)
    assert SAME in readout(page)  # nothing is scaled yet
    slide(page, "layer 1 times", 12)
    assert SAME not in readout(page)
    assert quantity(page, "moves by at most") > 0.05
    slide(page, "layer 1 times", 8)
    assert SAME in readout(page)


def test_the_keyboard_walks_along_the_curve(page):
    plot = page.locator(".plot.has-cursor")
    plot.focus()
    page.keyboard.press("Home")
    assert "At x = −1 it is −1." in readout(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "At x = 0 it is 0." in readout(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_figure_is_accessible(show, scheme):  # noqa: F811
    page = show(NAME, DATA, color_scheme=scheme)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_narrow_page_does_not_scroll_sideways(show):  # noqa: F811
    page = show(NAME, DATA, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
