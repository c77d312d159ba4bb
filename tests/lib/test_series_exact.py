"""The exact integral, and the series that converges to it."""

import mpmath
import numpy as np
import pytest

from derive.series import (
    quartic_partition,
    quartic_partition_precise,
    quartic_ratio,
    strong_coupling_sum,
)
from oracles import quartic_integral

POINTS = [(10, 1), (1, 0.1), (1, 1), (0, 1), (0.3, 2), (-0.3, 2), (-1, 1), (-3, 0.5), (-6, 1)]


@pytest.mark.parametrize(("a", "epsilon"), POINTS)
def test_the_float_value_equals_quadrature(a, epsilon):
    assert quartic_partition(a, epsilon) == pytest.approx(
        float(quartic_integral(a, epsilon)), rel=1e-13
    )


@pytest.mark.parametrize(("a", "epsilon"), POINTS)
def test_the_precise_value_equals_quadrature(a, epsilon):
    with mpmath.workdps(40):
        error = quartic_partition_precise(a, epsilon, digits=30) / quartic_integral(a, epsilon) - 1
    assert abs(error) < 1e-29


@pytest.mark.parametrize("wrong", [(1, 1.0001), (1.0001, 1), (-1, 1)])
def test_quadrature_rejects_other_parameters(wrong):
    assert quartic_partition(*wrong) != pytest.approx(float(quartic_integral(1, 1)), rel=1e-5)


def test_scaling_x_rescales_the_integral():
    a, epsilon = np.meshgrid([-0.7, -0.1, 0.0, 0.4, 7.0], [1e-3, 0.5, 40.0])
    np.testing.assert_allclose(
        quartic_partition(4 * a, 16 * epsilon), quartic_partition(a, epsilon) / 2, rtol=4e-13
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_the_branches_join(sign):
    # t = 0.5 is where the strong-coupling series hands over to the Bessel functions
    below, above = quartic_partition(np.array([0.5 - 1e-14, 0.5 + 1e-14]) * sign, 1.0)
    assert below == pytest.approx(above, rel=1e-13)


def test_weak_coupling_approaches_the_gaussian_without_overflow():
    g = np.array([1e-30, 1e-12, 1e-9, 1e-8, 1e-6, 1e-4])
    expected = [float(quartic_ratio(x, digits=20) * mpmath.sqrt(mpmath.pi)) for x in g[1:]]
    np.testing.assert_allclose(quartic_partition(1.0, g)[1:], expected, rtol=1e-13)
    assert quartic_partition(1.0, 1e-30) == pytest.approx(np.sqrt(np.pi), rel=1e-15)
    assert quartic_partition(2.0, 0.0) == pytest.approx(np.sqrt(np.pi / 2), rel=1e-15)


def test_a_deep_double_well_is_finite_in_logarithms_only():
    u = 100.0**2 / 8
    # Laplace's method at both minima: exp(a^2/4 epsilon) sqrt(pi / 2|a|) * 2 (1 + 3/32 u / ...)
    assert quartic_partition(-100, 1, log=True) == pytest.approx(2 * u - 1.3836, abs=1e-4)
    with pytest.raises(OverflowError, match="log=True"):
        quartic_partition(-100, 1)


def test_the_logarithm_is_that_of_the_value():
    a = np.array([-5.0, 0.0, 5.0])
    np.testing.assert_allclose(
        quartic_partition(a, 1.0, log=True), np.log(quartic_partition(a, 1.0))
    )


def test_shapes_broadcast_and_numbers_stay_numbers():
    assert isinstance(quartic_partition(1, 1), float)
    assert quartic_partition(np.ones((3, 1)), np.ones(4)).shape == (3, 4)


@pytest.mark.parametrize(("a", "epsilon"), [(1, 1), (1, 10), (0, 2), (-2, 1), (-0.5, 3)])
def test_the_strong_coupling_series_converges_to_the_integral(a, epsilon):
    value = strong_coupling_sum(a, epsilon, terms=60, working_digits=30, wanted_digits=20).value
    assert float(value) == pytest.approx(quartic_partition(a, epsilon), rel=1e-13)


def test_ten_terms_are_not_enough_at_weak_coupling():
    value = strong_coupling_sum(3, 1, terms=10, working_digits=30).value
    assert float(value) != pytest.approx(quartic_partition(3, 1), rel=1e-2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: quartic_partition(1, -1), ValueError, "diverges unless epsilon > 0"),
        (lambda: quartic_partition(0, 0), ValueError, "diverges unless"),
        (lambda: quartic_partition(float("nan"), 1), ValueError, "finite"),
        (lambda: quartic_partition("1", 1), TypeError, "a"),
        (lambda: quartic_partition_precise(1, 0, digits=10), ValueError, "epsilon must be > 0"),
        (lambda: quartic_partition_precise(1, 1, digits=0), ValueError, "digits must be >= 1"),
        (lambda: quartic_ratio(-0.1, digits=10), ValueError, "must be > 0"),
        (lambda: strong_coupling_sum(10, 1, terms=200), ValueError, "Raise working_digits to"),
        (lambda: strong_coupling_sum(1, 0, terms=5), ValueError, "needs epsilon > 0"),
        (lambda: strong_coupling_sum(1, 1, terms=0), ValueError, "terms must be >= 1"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_advice_on_precision_works():
    with pytest.raises(ValueError, match=r"Raise working_digits to (\d+)") as refusal:
        strong_coupling_sum(10, 1, terms=250)
    assert "lost" in str(refusal.value)
    value = strong_coupling_sum(10, 1, terms=250, working_digits=60).value
    assert float(value) == pytest.approx(quartic_partition(10, 1), rel=1e-12)
