"""Pairings, moments and vacuum diagrams."""

import math
from fractions import Fraction as Q

import numpy as np
import pytest

from derive.series import (
    is_connected,
    log_series,
    loop_polynomial,
    pairings,
    quartic_coefficients,
    vacuum_diagrams,
    wick_moment,
)
from oracles import diagram_weights, pairings_by_permuting


@pytest.mark.parametrize("points", [0, 2, 4, 6, 8])
def test_pairings_are_all_the_matchings(points):
    found = [frozenset(map(frozenset, p)) for p in pairings(points)]
    assert len(found) == len(set(found))
    assert set(found) == pairings_by_permuting(points)


def test_an_odd_number_of_points_has_no_pairing():
    assert list(pairings(5)) == []


def test_moments_of_one_variable_are_double_factorials():
    for m in range(8):
        assert wick_moment([[Q(1, 2)]], [0] * (2 * m)) == Q(math.prod(range(1, 2 * m, 2)), 2**m)


def test_a_moment_equals_gauss_hermite_quadrature():
    covariance = np.array([[1.0, 0.6, -0.2], [0.6, 2.0, 0.5], [-0.2, 0.5, 1.5]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    grid = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), -1).reshape(-1, 3)
    w = np.einsum("i,j,k->ijk", weights, weights, weights).ravel() / (2 * np.pi) ** 1.5
    x = grid @ np.linalg.cholesky(covariance).T
    for indices in ([0, 1], [0, 0, 1, 2], [0, 1, 1, 2, 2, 2], [2, 2, 1, 1, 0, 0, 1, 2], [0, 1, 2]):
        expected = (w * np.prod(x[:, indices], axis=1)).sum()
        value = float(wick_moment(covariance.tolist(), indices))
        assert value == pytest.approx(expected, abs=1e-10)
        if len(indices) == 4:  # and it can tell the covariances from their squares
            assert float(wick_moment((covariance**2).tolist(), indices)) != pytest.approx(expected)


@pytest.mark.parametrize(
    ("vertices", "degree"), [(0, 4), (1, 4), (2, 4), (3, 4), (2, 3), (4, 3), (2, 6)]
)
def test_diagrams_equal_the_listed_pairings(vertices, degree):
    assert vacuum_diagrams(vertices, degree=degree) == diagram_weights(vertices, degree)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5])
def test_diagrams_sum_to_the_series_and_connected_ones_to_its_logarithm(n):
    # lambda = 24 epsilon at variance 1: g = epsilon / a^2 = 4 lambda / 24
    c = [x * Q(-1, 6) ** k for k, x in enumerate(quartic_coefficients(5))]
    diagrams = vacuum_diagrams(n)
    assert sum(diagrams.values()) == abs(c[n])
    if n:
        connected = sum(w for d, w in diagrams.items() if is_connected(d))
        assert (-1) ** n * connected == log_series(c)[n]


def test_the_numbers_of_four_regular_multigraphs():
    assert [len(vacuum_diagrams(n)) for n in range(6)] == [1, 1, 3, 7, 20, 56]


def test_every_row_has_its_degree_and_every_weight_is_one_over_an_integer():
    for diagram, weight in vacuum_diagrams(4).items():
        for i, row in enumerate(diagram):
            assert sum(row) + row[i] == 4
        assert weight.numerator == 1


def test_log_series_inverts_the_exponential():
    logs = [Q(0), Q(1), Q(-2), Q(3, 7)]
    power, series = [Q(1), 0, 0, 0], [Q(1), 0, 0, 0]
    for k in range(1, 4):
        power = [sum(power[i] * logs[n - i] for i in range(n + 1)) for n in range(4)]
        series = [s + p / math.factorial(k) for s, p in zip(series, power, strict=True)]
    assert log_series(series) == logs
    assert log_series([1, 1, 1, 1]) != logs


@pytest.mark.parametrize("factors", [0, 1, 2, 3, 4, 5])
def test_loops_count_the_moments_of_the_radius(factors):
    for N in (1, 2, 5):
        expected = Q(1)
        for k in range(factors):
            expected *= Q(N, 2) + k
        counted = Q(
            sum(x * N**power for power, x in enumerate(loop_polynomial(factors))), 2**factors
        )
        assert counted == expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pairings(-2), ValueError, "points must be >= 0"),
        (lambda: vacuum_diagrams(-1), ValueError, "vertices must be >= 0"),
        (lambda: vacuum_diagrams(2, degree=0), ValueError, "degree must be >= 1"),
        (lambda: wick_moment([[1, 2], [3, 4]], [0]), ValueError, "symmetric"),
        (lambda: wick_moment([[1, 2]], [0]), ValueError, "square"),
        (lambda: wick_moment([[1]], [1]), ValueError, r"indices must lie in 0\.\.0"),
        (lambda: log_series([2, 1]), ValueError, "start with 1"),
        (lambda: loop_polynomial(-1), ValueError, "factors must be >= 0"),
        (lambda: is_connected([[1]]), TypeError, "diagram"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
