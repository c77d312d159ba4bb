"""Bounds from a Gaussian, the optimised expansion and the closed formula."""

from fractions import Fraction as Q

import mpmath
import numpy as np
import pytest

from derive.series import (
    delta_expansion,
    gaussian_bound,
    quartic_partition,
    quartic_partition_precise,
    stationary_ratio,
    two_point_approximant,
)
from oracles import reexpanded_integral


def deficit(order, a, epsilon, digits=40):
    with mpmath.workdps(digits):
        value = delta_expansion(order, a, epsilon, digits=digits).value
        return 1 - value / quartic_partition_precise(a, epsilon, digits=digits)


@pytest.mark.parametrize("a", [-3.0, -1.0, 0.0, 0.5, 4.0])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 7.0])
def test_the_gibbs_bound_is_the_best_gaussian(a, epsilon):
    from scipy.optimize import minimize_scalar

    def bound(log_A):  # E[log p - log q] under N(0, 1/2A), by its moments
        A = np.exp(log_A)
        return 0.5 * np.log(np.pi / A) - (a - A) / (2 * A) - 3 * epsilon / (4 * A**2)

    best = minimize_scalar(
        lambda s: -bound(s), bounds=(-6, 8), method="bounded", options={"xatol": 1e-10}
    )
    assert gaussian_bound(a, epsilon, log=True) == pytest.approx(-best.fun, rel=1e-9, abs=1e-12)


def test_the_bounds_are_ordered_everywhere():
    a = np.linspace(-4, 4, 81)[:, None]
    epsilon = np.logspace(-3, 4, 60)
    first, best = (
        gaussian_bound(a, epsilon, best=False, log=True),
        gaussian_bound(a, epsilon, log=True),
    )
    assert (first <= best + 1e-14).all()
    assert (best <= quartic_partition(a, epsilon, log=True)).all()


def test_the_worst_cases_at_infinite_coupling():
    exact = quartic_partition(0, 1)
    assert 1 - gaussian_bound(0, 1, best=False) / exact == pytest.approx(0.1165, abs=1e-4)
    assert 1 - gaussian_bound(0, 1) / exact == pytest.approx(0.0461, abs=1e-4)


def test_a_deep_double_well_does_not_cancel():
    # A -> 6 epsilon / (2 |a|): the textbook root of the quadratic would be 0 in float64
    assert gaussian_bound(-1e9, 1.0, log=True) == pytest.approx(
        0.5 * np.log(np.pi / 3e-9) + 0.75 / 9e-18, rel=1e-9
    )


def test_the_closed_formula_is_exact_at_both_ends():
    assert two_point_approximant(0, 2.0) == pytest.approx(quartic_partition(0, 2.0), rel=1e-14)
    slope = (two_point_approximant(1, 1e-6) / np.sqrt(np.pi) - 1) / 1e-6
    assert slope == pytest.approx(-0.75, rel=1e-4)


def test_the_closed_formula_keeps_to_its_error_and_no_better():
    g = np.logspace(-6, 8, 3001)
    error = two_point_approximant(1.0, g) / quartic_partition(1.0, g) - 1
    assert error.max() <= 1e-13
    assert -0.00654 < error.min() < -0.0065


@pytest.mark.parametrize("order", [0, 1, 2, 3, 6])
@pytest.mark.parametrize(("a", "epsilon", "A"), [(1, 1, 2), (0, 1, 1.5), (-1, 1, 1.2), (1, 2, 1)])
def test_the_expansion_equals_quadrature_of_its_definition(order, a, epsilon, A):
    expected = reexpanded_integral(order, mpmath.mpf(A), a, epsilon)
    assert float(delta_expansion(order, a, epsilon, A=A).value) == pytest.approx(
        float(expected), rel=1e-13
    )


def test_quadrature_rejects_another_order():
    assert float(delta_expansion(2, 1, 1, A=2).value) != pytest.approx(
        float(reexpanded_integral(3, mpmath.mpf(2), 1, 1)), rel=1e-3
    )


def test_expanding_around_a_is_the_weak_coupling_series():
    from derive.series import partial_sums, quartic_coefficients

    expected = partial_sums(quartic_coefficients(6), Q(1, 10))[-1]
    value = delta_expansion(6, 1, Q(1, 10), A=1).value / mpmath.sqrt(mpmath.pi)
    assert float(value) == pytest.approx(float(expected), rel=1e-14)


def test_odd_orders_are_lower_bounds_for_every_gaussian():
    rng = np.random.default_rng(0)
    for _ in range(60):
        a, epsilon, A = rng.uniform(-2, 3), rng.uniform(0.05, 4), rng.uniform(0.3, 6)
        order = 2 * int(rng.integers(0, 6)) + 1
        result = delta_expansion(order, float(a), float(epsilon), A=float(A))
        assert result.is_lower_bound
        assert float(result.value) < quartic_partition(a, epsilon)


def test_even_orders_are_not():
    even = delta_expansion(2, 1, 1, A=1)
    assert not even.is_lower_bound
    assert float(even.value) > quartic_partition(1, 1)


@pytest.mark.parametrize("order", [1, 3, 9, 21])
@pytest.mark.parametrize(("a", "epsilon"), [(1, 1), (0, 1), (-2, 1)])
def test_the_chosen_gaussian_is_the_best(order, a, epsilon):
    best = delta_expansion(order, a, epsilon, digits=25)
    for factor in (0.98, 1.02):
        assert delta_expansion(order, a, epsilon, A=best.A * factor, digits=25).value < best.value


@pytest.mark.parametrize("order", [1, 5, 21, 71])
def test_the_stationary_ratio_makes_the_moment_vanish(order):
    # integral of x^(2K+2) (x^2 - r)^K e^(-x^2)... rescaled: a zero of its Gamma-function form
    with mpmath.workdps(120):
        r = stationary_ratio(order, digits=50)
        terms = [
            mpmath.binomial(order, j)
            * (-r) ** (order - j)
            * mpmath.rf(order + mpmath.mpf(3) / 2, j)
            for j in range(order + 1)
        ]
        slope = sum(t * (order - j) / r for j, t in enumerate(terms))
        assert abs(mpmath.fsum(terms) / slope) < mpmath.mpf(10) ** -45


def test_the_deficits_of_the_source():
    expected = {
        (1, 1): [2.37e-2, 3.4e-4, 9.2e-6, 5.0e-10],
        (0, 1): [6.7e-2, 2.4e-3, 1.2e-4, 2.4e-8],
        (-2, 1): [0.41, 7.6e-2, 1.2e-2, 3.2e-5],
    }
    for (a, epsilon), values in expected.items():
        found = [float(deficit(order, a, epsilon)) for order in (1, 5, 9, 21)]
        np.testing.assert_allclose(found, values, rtol=0.03)  # the source prints two digits


def test_convergence_is_geometric_at_the_rate_of_the_saddle_points():
    # equal heights of f = -alpha s + log s + log|s - alpha| at its two saddles: -(f + 1) = 0.66274
    orders = [41, 61, 91]
    with mpmath.workdps(60):
        logs = [mpmath.log(deficit(order, 0, 1, digits=50)) for order in orders]
        rates = [
            (logs[i] - logs[i + 1]) / (orders[i + 1] - orders[i]) for i in range(len(orders) - 1)
        ]
    assert float(rates[-1]) == pytest.approx(0.66274, rel=0.02)
    assert 0.66274 < rates[1] < rates[0]
    assert float(stationary_ratio(201) / 201) == pytest.approx(1.32549, rel=0.006)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gaussian_bound(1, 0), ValueError, "finite and > 0"),
        (lambda: two_point_approximant(-1, 1), ValueError, "holds for a >= 0"),
        (lambda: delta_expansion(-1, 1, 1), ValueError, "order must be >= 0"),
        (lambda: delta_expansion(4, 1, 1), ValueError, "order 4 is even.*take order 5"),
        (lambda: delta_expansion(3, 1, 0), ValueError, "epsilon must be > 0"),
        (lambda: delta_expansion(3, 1, 1, A=0), ValueError, "needs A > 0"),
        (lambda: delta_expansion(61, 1, 1, working_digits=15), ValueError, "raise working_digits"),
        (lambda: delta_expansion(3, float("inf"), 1), ValueError, "a must be finite"),
        (lambda: delta_expansion(1.5, 1, 1), TypeError, "order"),
        (lambda: stationary_ratio(4), ValueError, "never vanishes"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_advice_on_working_digits_works():
    with pytest.raises(ValueError, match=r"raise working_digits to (\d+)") as refusal:
        delta_expansion(31, 1, 1, working_digits=15)
    advised = int(str(refusal.value).split("raise working_digits to ")[1].split(",")[0])
    value = delta_expansion(31, 1, 1, working_digits=advised).value
    assert float(value) == pytest.approx(quartic_partition(1, 1), rel=1e-11)
