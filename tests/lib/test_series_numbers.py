"""derive.series: what only sharp numbers tell: room for rounding, precision, places on paper."""

import math
from fractions import Fraction as Q

import mpmath
import numpy as np
import pytest

from derive.series import (
    borel_enclosure,
    draw_diagram,
    laplace,
    optimal_truncation,
    pade_enclosure,
    quartic_coefficients,
    quartic_partition,
    quartic_ratio,
    ring_gaussian_bound,
    ring_log_partition,
    stationary_ratio,
)
from derive.series.drawing import _arc, _bends, _ear

C = quartic_coefficients(12)


# --- enclosures are as wide as their rounding, and no narrower


def test_a_float_enclosure_holds_the_exact_one_with_three_roundings_a_level():
    exact = pade_enclosure(C, Q(0.1))
    found = pade_enclosure(C, 0.1)
    room = 3 * len(C) * 2.0**-52
    below = float(1 - Q(found.lower) / exact.lower) / room
    above = float(Q(found.upper) / exact.upper - 1) / room
    # Widened by the room, off by no more than the room itself allows.
    assert 0 <= below <= 2
    assert 0 <= above <= 2
    assert below + above == pytest.approx(2, abs=0.5)


def test_a_borel_enclosure_is_widened_for_the_quadrature_alone_where_it_is_sharp():
    low, high = borel_enclosure(C, 1e-6)
    truth = float(quartic_ratio(Q(1e-6), digits=30))
    assert low < truth < high
    assert (high - low) / truth == pytest.approx(2e-13, rel=0.2, abs=0)


# --- ends of loops


def test_a_series_whose_terms_only_fall_is_cut_before_its_last_term():
    found = optimal_truncation([1, 1, 1], Q(1, 10))
    assert (found.order, found.value, found.bound) == (1, Q(9, 10), Q(1, 100))
    assert found.enclosure == (Q(90, 100), Q(91, 100))
    assert not found.at_smallest_term
    grows = optimal_truncation([1, 1, 1, 100], Q(1, 10))
    assert (grows.order, grows.at_smallest_term) == (1, True)


# --- precision


def test_fifty_digits_are_fifty_digits():
    with mpmath.workdps(90):
        u = mpmath.mpf(10) / 8  # g = 1/10
        exact = mpmath.sqrt(2 * u / mpmath.pi) * mpmath.exp(u) * mpmath.besselk(0.25, u)
        error = abs(quartic_ratio(Q(1, 10), digits=50) / exact - 1)
        assert error < mpmath.mpf(10) ** -50


def test_forty_digits_of_a_laplace_integral_are_forty_digits():
    with mpmath.workdps(60):
        seventh = mpmath.mpf(1) / 7  # the integral of exp(-s) exp(-6 s)
        found = laplace(lambda x: mpmath.exp(-x), 6, digits=40)
        assert abs(found / seventh - 1) < mpmath.mpf(10) ** -40


@pytest.mark.parametrize("order", [1, 15, 41])
def test_more_digits_of_the_stationary_ratio_change_none_of_the_first(order):
    few, many = stationary_ratio(order, digits=20), stationary_ratio(order, digits=60)
    with mpmath.workdps(60):
        assert abs(few / many - 1) < mpmath.mpf(10) ** -20
        if order == 1:
            assert abs(many - mpmath.mpf(5) / 2) < mpmath.mpf(10) ** -58


# --- rings with deep wells


def test_a_ring_of_one_deep_double_well_is_the_integral():
    # The minimum, -2500, is taken out before anything is exponentiated.
    found = ring_log_partition(1, -100, 0, 1, points=401)
    assert found == pytest.approx(quartic_partition(-100, 1, log=True), abs=1e-8)


@pytest.mark.parametrize(("a", "epsilon"), [(1e-6, 1e4), (-30.0, 0.5), (5.0, 1e-6)])
def test_the_variance_of_the_best_gaussian_solves_its_equation(a, epsilon):
    bound = ring_gaussian_bound(5, a, 0.4, epsilon)
    modes = a + 0.8 * (1 - np.cos(2 * np.pi * np.arange(5) / 5))
    np.testing.assert_allclose(bound.precisions, modes + 6 * epsilon * bound.variance, rtol=1e-9)
    assert bound.variance == pytest.approx(np.mean(0.5 / bound.precisions), rel=1e-9)


def test_a_ring_may_be_as_stiff_as_the_root_of_its_quartic_term_allows():
    # At epsilon = 1e-20 the limit is 1e140 times 1e-10; up to there the Gaussian is all there is.
    found = ring_gaussian_bound(2, 1e125, 0, 1e-20).log_bound
    assert found == pytest.approx(math.log(math.pi) - 125 * math.log(10), rel=1e-12)
    with pytest.raises(ValueError, match="too far apart"):
        ring_gaussian_bound(2, 1e131, 0, 1e-20)


# --- diagrams on paper


class Paper:
    """Keeps what is drawn."""

    def __init__(self):
        self.drawn = []

    def plot(self, x, y, *_, **__):
        self.drawn.append(np.stack([x, y], axis=1))

    def set(self, **limits):
        self.limits = limits

    def axis(self, _):
        pass


def places(diagram):
    paper = Paper()
    draw_diagram(paper, diagram)
    return paper.drawn[-1]


def test_vertices_stand_in_the_middle_side_by_side_and_then_clockwise_from_the_top():
    np.testing.assert_allclose(places(((2,),)), [[0, 0]], atol=1e-12)
    np.testing.assert_allclose(places(((0, 4), (4, 0))), [[-0.62, 0], [0.62, 0]], atol=1e-12)
    ring = tuple(tuple(2 * ((i - j) % 4 in (1, 3)) for j in range(4)) for i in range(4))
    square = 0.75 * np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])
    np.testing.assert_allclose(places(ring), square, atol=1e-12)


@pytest.mark.parametrize("lines", [1, 2, 3, 4])
def test_lines_between_two_vertices_fan_out_evenly_about_the_straight_one(lines):
    bends = _bends(lines)
    np.testing.assert_allclose(bends, -bends[::-1], atol=1e-12)
    np.testing.assert_allclose(np.diff(bends), 0.42)


def test_an_arc_joins_its_ends_and_stands_off_by_its_bend():
    paper, start, end = Paper(), np.array([1.0, 1.0]), np.array([1.0, 3.0])
    _arc(paper, start, end, 0.42)
    [curve] = paper.drawn
    np.testing.assert_allclose(curve[[0, -1]], [start, end], atol=1e-12)
    off = curve[:, 0] - 1
    # Against the clockwise side by 0.42 / 1.4 of the distance of 2, and symmetrically.
    assert off.min() == pytest.approx(-0.6, rel=1e-3)
    np.testing.assert_allclose(off, off[::-1], atol=1e-12)
    np.testing.assert_allclose(curve[:, 1], np.linspace(1, 3, 40))


def centre_and_radius(circle):
    centre = circle[:-1].mean(axis=0)
    return centre, np.linalg.norm(circle - centre, axis=1)


def test_a_single_loop_is_a_circle_on_the_outer_side_and_two_stand_across():
    place = np.array([0.6, 0.8])
    for loops, directions in (
        (1, [(0.6, 0.8)]),
        (2, [(0.8, -0.6), (-0.8, 0.6)]),
    ):
        paper = Paper()
        for k in range(loops):
            _ear(paper, place, 5 * place, k, loops)
        for circle, direction in zip(paper.drawn, directions, strict=True):
            centre, radius = centre_and_radius(circle)
            np.testing.assert_allclose(radius, 0.34, atol=1e-12)
            np.testing.assert_allclose(centre, place + 0.34 * np.array(direction), atol=1e-12)


def test_a_lone_vertex_has_its_two_loops_above_and_below():
    paper = Paper()
    draw_diagram(paper, ((2,),))
    centres = [centre_and_radius(circle)[0] for circle in paper.drawn[:2]]
    np.testing.assert_allclose(centres, [[0, -0.34], [0, 0.34]], atol=1e-12)
    assert math.isclose(paper.limits["xlim"][1], 1.55)
