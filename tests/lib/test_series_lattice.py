"""The ring of coupled quartic variables."""

import numpy as np
import pytest

from derive.series import (
    draw_diagram,
    gaussian_bound,
    quartic_partition,
    ring_gaussian_bound,
    ring_log_partition,
    vacuum_diagrams,
)

RINGS = [(1, 1, 1), (-1, 1, 1), (0, 2, 0.1), (0.5, 0, 2)]


@pytest.mark.parametrize(("a", "kappa", "epsilon"), RINGS)
def test_one_variable_is_the_integral_of_the_chapter(a, kappa, epsilon):
    assert ring_log_partition(1, a, kappa, epsilon) == pytest.approx(
        quartic_partition(a, epsilon, log=True), abs=1e-13
    )
    assert ring_gaussian_bound(1, a, kappa, epsilon).log_bound == pytest.approx(
        gaussian_bound(a, epsilon, log=True), abs=1e-13
    )


def test_two_variables_equal_double_quadrature():
    from scipy.integrate import dblquad

    value, _ = dblquad(
        lambda x, y: np.exp(0.5 * (x**2 + y**2) - x**4 - y**4 - 2 * 0.7 * (x - y) ** 2),
        -4, 4, -4, 4, epsabs=1e-12,
    )  # fmt: skip
    assert ring_log_partition(2, -0.5, 0.7, 1) == pytest.approx(np.log(value), abs=1e-11)
    assert ring_log_partition(2, -0.5, 0.35, 1) != pytest.approx(np.log(value), abs=1e-3)


def test_uncoupled_variables_multiply():
    assert ring_log_partition(7, 1, 0, 2) == pytest.approx(
        7 * quartic_partition(1, 2, log=True), abs=1e-12
    )


def test_a_tiny_quartic_term_leaves_the_determinant():
    n, a, kappa = 6, 1.3, 0.8
    modes = a + 2 * kappa * (1 - np.cos(2 * np.pi * np.arange(n) / n))
    gaussian = 0.5 * np.log(np.pi / modes).sum()
    assert ring_log_partition(n, a, kappa, 1e-7) == pytest.approx(gaussian, abs=1e-5)
    assert ring_gaussian_bound(n, a, kappa, 1e-7).log_bound == pytest.approx(gaussian, abs=1e-5)


@pytest.mark.parametrize(("a", "kappa", "epsilon"), RINGS)
@pytest.mark.parametrize("n", [2, 5, 64])
def test_the_bound_holds_and_is_stationary(n, a, kappa, epsilon):
    bound = ring_gaussian_bound(n, a, kappa, epsilon)
    assert bound.log_bound < ring_log_partition(n, a, kappa, epsilon)
    modes = a + 2 * kappa * (1 - np.cos(2 * np.pi * np.arange(n) / n))

    def value(A):
        s = np.mean(0.5 / A)
        return (
            0.5 * np.log(np.pi / A).sum() - ((modes - A) / (2 * A)).sum() - 3 * n * epsilon * s**2
        )

    assert value(bound.precisions) == pytest.approx(bound.log_bound, rel=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert value(bound.precisions * np.exp(0.05 * rng.normal(size=n))) < bound.log_bound


def test_refining_the_rule_changes_nothing():
    coarse = ring_log_partition(64, 0, 2, 0.1)
    assert ring_log_partition(64, 0, 2, 0.1, points=401) == pytest.approx(coarse, abs=1e-11)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ring_log_partition(0, 1, 1, 1), "must be >= 1"),
        (lambda: ring_log_partition(4, 1, -1, 1), "kappa must be >= 0"),
        (lambda: ring_gaussian_bound(4, 1, 1, 0), "epsilon > 0"),
        (lambda: ring_gaussian_bound(4, float("nan"), 1, 1), "a must be finite"),
        (lambda: ring_log_partition(4, 1, 1e6, 1), "raise points to"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_every_diagram_can_be_drawn():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    for n in (1, 2, 3):
        for diagram in vacuum_diagrams(n):
            figure, ax = plt.subplots()
            draw_diagram(ax, diagram)
            lines = sum(row[i] + sum(row[i + 1 :]) for i, row in enumerate(diagram))
            assert lines == 2 * n  # four legs a vertex
            assert len(ax.lines) == lines + 1  # and the vertices
            plt.close(figure)
    with pytest.raises(ValueError, match="square"):
        draw_diagram(plt.figure().subplots(), ((1, 2),))
    plt.close("all")
