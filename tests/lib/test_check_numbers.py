"""`derive.check`: critical values, p-values, power and advice, against SciPy's laws."""

import numpy as np
import pytest
import sympy as sp
from scipy import stats

from derive import check
from derive.check import CheckFailed, CheckRefused
from derive.check._chance import POWER, _Mean, _Proportion
from derive.check._formula import _random_point

SIDES = {"=": 2, "<=": 1, ">=": 1}
BALANCED = np.tile([1.0, -1.0], 200)  # mean 0, no skewness
LOPSIDED = np.tile([0.0, 0.0, 0.0, 1.0], 500)


def tosses(hits, num):
    return np.arange(num) < hits


# ---- means


@pytest.mark.parametrize("relation", SIDES)
@pytest.mark.parametrize("share", [1e-9, 1e-6])
def test_the_critical_value_is_the_normal_quantile_plus_the_skewness_term(relation, share):
    z = stats.norm.isf(share / SIDES[relation])
    assert _Mean("a", BALANCED, relation, share).critical == pytest.approx(z, rel=1e-9)
    num = len(LOPSIDED)
    # SciPy's skewness divides by the standard deviation of n, ours by that of n - 1.
    skewness = stats.skew(LOPSIDED) * ((num - 1) / num) ** 1.5
    assert skewness > 1
    widened = z + (2 * z**2 + 1) * skewness / (6 * num**0.5)
    assert _Mean("a", LOPSIDED, relation, share).critical == pytest.approx(widened, rel=1e-9)
    assert _Mean("a", -LOPSIDED, relation, share).critical == pytest.approx(widened, rel=1e-9)


@pytest.mark.parametrize("value", [-0.2, 0.1, 0.31])
def test_the_p_value_of_a_mean_is_that_of_the_normal_law(value):
    error = BALANCED.std(ddof=1) / len(BALANCED) ** 0.5
    z = (0 - value) / error
    expected = {"=": 2 * stats.norm.sf(abs(z)), "<=": stats.norm.sf(z), ">=": stats.norm.cdf(z)}
    distance = {"=": abs(z), "<=": z, ">=": -z}
    for relation in SIDES:
        column = _Mean("a", BALANCED, relation, 1e-6)
        found = column.test(value)
        assert found.p == pytest.approx(expected[relation], rel=1e-9, abs=0)
        assert found.excess == pytest.approx(distance[relation] - column.critical, rel=1e-9)
        assert found.holds == (distance[relation] <= column.critical)
        assert found.used == pytest.approx(max(distance[relation], 0) / column.critical, rel=1e-9)
        assert f"z = {z:.2f}, critical {column.critical:.2f}" == found.statistic


@pytest.mark.parametrize("draws", [BALANCED, LOPSIDED], ids=["balanced", "lopsided"])
def test_as_many_draws_as_advised_have_the_power_and_two_fewer_do_not(draws):
    column = _Mean("a", draws, "=", 1e-9)
    mean = draws.mean()
    wrong = mean + 3 * column.error
    needed = column.draws_needed(mean, wrong)
    # So many draws shrink the error by the root of their number; the rest stays as it is.
    powers = [
        stats.norm.sf(column.critical - 3 * (num / len(draws)) ** 0.5)
        for num in (needed - 2, needed)
    ]
    assert powers[0] < POWER <= powers[1]
    near = mean + 7 * column.error
    assert column.power(mean, near) == pytest.approx(stats.norm.sf(column.critical - 7), rel=1e-9)


def test_one_sided_power_knows_which_side_is_wrong():
    low, high = (_Mean("a", BALANCED, relation, 1e-6) for relation in (">=", "<="))
    step = 12 * low.error
    assert high.power(0, -step) == pytest.approx(1) == low.power(0, step)
    assert high.power(0, step) == pytest.approx(0) == low.power(0, -step)


def test_draws_are_constant_below_a_trillionth_of_their_mean_and_not_above():
    for spread, constant in ((0.7e-12, True), (1.5e-12, False)):
        draws = 1 + spread * BALANCED
        if constant:
            with pytest.raises(CheckRefused, match="nothing is random"):
                _Mean("a", draws, "=", 1e-9)
        else:
            assert _Mean("a", draws, "=", 1e-9).error == pytest.approx(spread / 20, rel=0.01, abs=0)


# ---- proportions


@pytest.mark.parametrize("relation", SIDES)
@pytest.mark.parametrize("value", [0.0, 0.03, 0.5, 1.0])
def test_the_accepted_numbers_of_hits_are_those_of_the_binomial_law(relation, value):
    num, share = 60, 1e-3
    law = stats.binom(num, value)
    tail = share / SIDES[relation]
    # A number is rejected where it, or something further out, has less than the tail's chance.
    low = [k for k in range(num + 1) if relation != "<=" and law.cdf(k) < tail]
    high = [k for k in range(num + 1) if relation != ">=" and law.sf(k - 1) < tail]
    accepted = set(range(num + 1)) - set(low) - set(high)
    column = _Proportion("a", tosses(30, num), relation, share)
    assert column._accepted(value) == (min(accepted), max(accepted))
    for truth in (0.2, value):
        rejected = 1 - sum(stats.binom.pmf(k, num, truth) for k in accepted)
        assert column.power(truth, value) == pytest.approx(rejected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("hits", [0, 13, 30, 47, 60])
def test_the_p_value_of_hits_is_that_of_the_binomial_law(hits):
    law = stats.binom(60, 0.5)
    low, high = law.cdf(hits), law.sf(hits - 1)
    expected = {"=": min(1, 2 * min(low, high)), "<=": high, ">=": low}
    for relation in SIDES:
        column = _Proportion("a", tosses(hits, 60), relation, 1e-3)
        found = column.test(0.5)
        assert found.p == pytest.approx(expected[relation], rel=1e-9, abs=0)
        lowest, highest = column._accepted(0.5)
        assert found.holds == (lowest <= hits <= highest)
        assert (found.excess <= 0) == found.holds


def test_hits_use_up_their_room_in_equal_steps():
    column = _Proportion("a", tosses(36, 60), "=", 1e-3)
    _, highest = column._accepted(0.5)
    assert column.test(0.5).used == pytest.approx((36 - 30) / (highest - 30))


def test_the_shown_error_of_hits_is_smoothed_by_one_of_each_kind():
    assert _Proportion("a", tosses(0, 98), "=", 1e-9).error == pytest.approx(
        (0.01 * 0.99 / 98) ** 0.5
    )
    assert _Proportion("a", tosses(49, 98), "=", 1e-9).error == pytest.approx((0.25 / 98) ** 0.5)


@pytest.mark.parametrize("relation", SIDES)
@pytest.mark.parametrize(("truth", "wrong"), [(0.5, 0.49), (0.1, 0.3), (0.3, 0.1)])
def test_the_advice_on_tosses_is_the_normal_laws(relation, truth, wrong):
    column = _Proportion("a", tosses(50, 100), relation, 1e-9)
    needed = column.draws_needed(truth, wrong)
    spread = max(np.sqrt(p * (1 - p)) for p in (truth, wrong))
    reach = stats.norm.isf(1e-9 / SIDES[relation]) + stats.norm.isf(1 - POWER)
    distances = [abs(truth - wrong) / spread * num**0.5 for num in (needed - 1, needed)]
    assert distances[0] <= reach <= distances[1]


def test_a_share_is_split_evenly_over_the_quantities():
    draws = np.stack([BALANCED, BALANCED[::-1]], axis=1)
    with pytest.raises(CheckFailed) as failure:
        check.sampled("two", draws, [0, 0.5], wrong={"a": [1, 1], "b": [-1, -1]})
    critical = stats.norm.isf(1e-9 / 2 / 2)
    assert f"critical {critical:.2f}" in str(failure.value)


# ---- the others


def test_observed_shows_the_quartiles_of_the_effects():
    with pytest.raises(CheckFailed, match="median 3, quartiles 2 to 4"):
        check.observed("a", [1, 2, 3, 4, 100], low=50, wrong={"a": [0, 0, 0], "b": [1, 1, 1]})


@pytest.mark.parametrize(("slack", "holds"), [(1.1e-3, True), (0.9e-3, False)])
@pytest.mark.parametrize(("low", "high"), [(4.004, 4.0), (-4.0, -4.004)])
def test_the_slack_of_a_bound_is_relative_to_the_larger_side(slack, holds, low, high):
    call = {"slack": slack, "because": "test", "wrong": {"a": high - 1, "b": high - 2}}
    if holds:
        assert check.bound("a", [low, 1.0], [high, 2.0], **call).figure.startswith("no violation")
    else:
        with pytest.raises(CheckFailed, match="violated in 1 of 2 cases"):
            check.bound("a", [low, 1.0], [high, 2.0], **call)


def test_the_share_used_of_a_tolerance_is_that_of_the_gap():
    record = check.equal(
        "a", [2.0, 4.001], [2.0, 4.0], tolerance=1e-3, because="test", relative_to="each",
        wrong={"a": [1.0, 1.0], "b": [3.0, 3.0]},
    )  # fmt: skip
    assert record.measured["used"] == pytest.approx(0.25, rel=1e-6)


def test_many_equal_numbers_against_a_single_one_are_constant():
    with pytest.raises(CheckRefused, match="constant over all 3 cases"):
        check.equal("a", [2, 2, 2], 2, wrong={"a": 3, "b": 4})


def test_a_broken_bound_shows_its_worst_case_and_not_one_that_is_infinite_on_both_sides():
    with pytest.raises(CheckFailed, match="violated in 1 of 3 cases") as failure:
        check.bound("a", [np.inf, 3, 1], [np.inf, 2, 5], wrong={"a": [0, 0, 0], "b": [1, 1, 0]})
    assert "left: 3 (case 1)" in str(failure.value)
    assert "difference: 1" in str(failure.value)


class Ends:
    """A source of randomness that gives the first or the last of what it is asked for."""

    def __init__(self, last):
        self.last = last

    def randint(self, low, high):
        return high if self.last else low


def test_random_points_lie_strictly_inside_and_integers_reach_the_ends():
    x, n = sp.Symbol("x"), sp.Symbol("n", integer=True)
    domain = {x: (1, 3), n: (2, 5)}
    first, last = (_random_point(domain, Ends(last), 30) for last in (False, True))
    assert (first[n], last[n]) == (2, 5)
    assert 1 < first[x] < 1 + 3e-9
    assert 3 - 3e-9 < last[x] < 3
