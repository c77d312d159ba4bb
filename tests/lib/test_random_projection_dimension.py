"""Dimensions needed: against scipy, mpmath, scikit-learn and exact integers."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.random_projection import chi2_failure, lower_bound_dim, min_dim
from oracles import code_dimension_floor

KINDS = ["exact", "chernoff", "dasgupta-gupta", "seed"]


def test_chi2_failure_equals_the_two_tails_of_scipy():
    k, epsilon = np.arange(1, 400, 7)[:, None], np.linspace(0.01, 0.99, 30)[None, :]
    chi2 = scipy.stats.chi2(k)
    expected = chi2.sf(k * (1 + epsilon)) + chi2.cdf(k * (1 - epsilon))
    np.testing.assert_allclose(chi2_failure(k, epsilon), expected, rtol=1e-12)
    assert chi2_failure(1000, 0.2) == pytest.approx(1.3067e-5, rel=1e-4)
    assert chi2_failure(np.int64(1000), 0.2) == chi2_failure(1000, 0.2)


@pytest.mark.parametrize(("k", "epsilon"), [(3, 0.5), (283, 0.5), (10**4, 0.05), (10**6, 0.05)])
def test_chi2_failure_is_accurate_far_out_in_the_tail(k, epsilon):
    with mpmath.workdps(40):
        half, e = mpmath.mpf(k) / 2, mpmath.mpf(epsilon)
        exact = mpmath.gammainc(half, half * (1 + e), regularized=True)
        exact += mpmath.gammainc(half, 0, half * (1 - e), regularized=True)
    assert chi2_failure(k, epsilon) == pytest.approx(float(exact), rel=1e-8)


def test_chi2_failure_stays_below_the_seeds_bound_and_the_check_can_fail():
    k, epsilon = np.arange(1, 2000, 3)[:, None], np.arange(1, 20)[None, :] / 20
    exact = chi2_failure(k, epsilon)
    assert (exact <= 2 * np.exp(-k * epsilon**2 / 8)).all()
    assert not (exact <= 2 * np.exp(-k * epsilon**2 / 3)).all()


@pytest.mark.parametrize(
    ("n", "epsilon", "k"), [(1000, 0.5, 283), (1000, 0.2, 1524), (1000, 0.1, 5806)]
)
def test_min_dim_gives_the_published_exact_dimensions(n, epsilon, k):
    assert min_dim(n, epsilon) == k
    pairs = n * (n - 1) / 2
    assert pairs * chi2_failure(k, epsilon) <= 0.05 < pairs * chi2_failure(k - 1, epsilon)


@pytest.mark.parametrize("epsilon", [0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("n", [10, 1000, 10**6])
def test_min_dim_contains_the_textbook_formulas(n, epsilon):
    from sklearn.random_projection import johnson_lindenstrauss_min_dim

    sklearn = johnson_lindenstrauss_min_dim(n, eps=epsilon)  # rounds down, and by n^2 for n(n-1)
    ours = min_dim(n, epsilon, 1 - 1 / n, kind="dasgupta-gupta")
    assert ours == math.ceil(4 * math.log(n) / (epsilon**2 / 2 - epsilon**3 / 3) - 1e-9)
    assert ours - 1 <= sklearn <= ours
    assert min_dim(n, epsilon, 1 - 1 / n, kind="seed") == math.ceil(
        16 * math.log(n) / epsilon**2 - 1e-9
    )
    safe = 24 * math.log(n) / epsilon**2
    assert 0.97 * safe <= min_dim(n, epsilon, 1 / n, kind="seed") <= math.ceil(safe)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 10**9),
    epsilon=st.floats(0.02, 0.98),
    delta=st.floats(1e-9, 0.999),
)
def test_sharper_bounds_need_fewer_dimensions(n, epsilon, delta):
    exact, chernoff, _, seed = (min_dim(n, epsilon, delta, kind=kind) for kind in KINDS)
    assert exact <= chernoff <= seed
    assert exact <= min_dim(2 * n, epsilon, delta)
    assert exact >= min_dim(n, epsilon, min(2 * delta, 0.9999))
    log_pairs = math.log(n) + math.log((n - 1) / 2)
    assert log_pairs + math.log(chi2_failure(exact, epsilon)) <= math.log(delta) + 1e-9
    if exact > 1:
        assert log_pairs + math.log(chi2_failure(exact - 1, epsilon)) >= math.log(delta) - 1e-9


@pytest.mark.parametrize(
    ("n", "epsilon", "k"), [(1000, 0.5, 8), (1000, 0.2, 28), (1000, 0.1, 91), (10**6, 0.1, 144)]
)
def test_lower_bound_dim_gives_the_published_floors(n, epsilon, k):
    assert lower_bound_dim(n, epsilon) == k


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 10**5), epsilon=st.floats(0.05, 0.95))
def test_lower_bound_dim_equals_exact_integer_arithmetic(n, epsilon):
    assert lower_bound_dim(n, epsilon) == code_dimension_floor(n, epsilon)


@pytest.mark.parametrize("n", range(2, 13))
def test_lower_bound_dim_of_few_points_equals_exact_integer_arithmetic(n):
    for epsilon in np.linspace(0.03, 0.97, 48):
        assert lower_bound_dim(n, epsilon) == code_dimension_floor(n, epsilon), epsilon


def test_lower_bound_dim_takes_huge_and_extreme_arguments():
    assert lower_bound_dim(10**12, 0.1) > lower_bound_dim(10**6, 0.1)
    assert lower_bound_dim(2, 1 - 1e-12) == 2
    assert lower_bound_dim(10**12, 1e-9) >= 10**11


def test_the_floor_is_below_what_a_random_projection_needs():
    for n in (10, 1000, 10**6):
        for epsilon in (0.1, 0.3, 0.5):
            assert lower_bound_dim(n, epsilon) < min_dim(n, epsilon)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: chi2_failure(0, 0.5), ValueError, "got k=0"),
        (lambda: chi2_failure(np.array([3, 0]), 0.5), ValueError, "k must be at least 1"),
        (lambda: chi2_failure(5, 0.0), ValueError, "got 0.0"),
        (lambda: chi2_failure(5, 1.0), ValueError, "got 1.0"),
        (lambda: chi2_failure(5, float("nan")), ValueError, "got nan"),
        (lambda: chi2_failure(5.5, 0.5), TypeError, "k"),
        (lambda: min_dim(1, 0.5), ValueError, "got n=1"),
        (lambda: min_dim(10, 1.5), ValueError, r"epsilon must lie in \(0, 1\), got 1.5"),
        (lambda: min_dim(10, 0.5, 0.0), ValueError, r"delta must lie in \(0, 1\), got 0.0"),
        (lambda: min_dim(10, 0.5, 1.0), ValueError, "got 1.0"),
        (lambda: min_dim(10, 0.5, kind="best"), TypeError, "best"),
        (lambda: lower_bound_dim(1, 0.5), ValueError, "got n=1"),
        (lambda: lower_bound_dim(10, -0.1), ValueError, "got -0.1"),
        (lambda: lower_bound_dim(10, float("nan")), ValueError, "got nan"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()
