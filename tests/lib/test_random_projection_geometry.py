"""Distortion, codes, hashes and attention: against literal definitions and closed forms."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from derive.random_projection import (
    attention_temperature,
    coherence,
    distortion,
    gaussian_matrix,
    hamming,
    hamming_to_cosine,
    optimise_code,
    project,
    simhash,
)
from oracles import bits_that_differ, squared_distance_errors


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def points(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=seeded(seed), dtype=dtype)


# --- distortion -------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [3, 7, 30, 64])
def test_distortion_equals_a_loop_over_pairs(block):
    x, y = points(30, 6), points(30, 4, seed=1)
    x[7] = x[3]
    report = distortion(x, y, block=block)
    errors, skipped = squared_distance_errors(x, y)
    errors = np.array(errors)
    assert (report.pairs, report.skipped) == (434, 1) == (len(errors), skipped)
    assert report.max == pytest.approx(np.abs(errors).max(), rel=1e-12)
    assert report.low == pytest.approx(errors.min(), rel=1e-9)
    assert report.high == pytest.approx(errors.max(), rel=1e-12)
    assert report.mean == pytest.approx(errors.mean(), rel=1e-12)
    assert report.std == pytest.approx(errors.std(), rel=1e-12)
    for level, value in report.quantiles.items():
        expected = np.quantile(np.abs(errors), level, method="inverted_cdf")
        assert value == pytest.approx(expected, rel=1e-3)
    counts, _ = np.histogram(errors, bins=report.edges.numpy())
    assert report.counts.sum() == 434
    # Errors are known to 1 part in 2000: a few may fall on the other side of an edge.
    assert np.abs(np.cumsum(report.counts.numpy()) - np.cumsum(counts)).max() <= 3


def test_the_oracle_rejects_distances_that_are_not_squared():
    x, y = points(10, 5), points(10, 5, seed=1)
    errors, _ = squared_distance_errors(x, y)
    unsquared = np.sqrt(np.array(errors) + 1) - 1
    assert distortion(x, y).max != pytest.approx(np.abs(unsquared).max(), rel=0.1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6), shift=st.floats(-1e3, 1e3))
def test_distortion_obeys_scale_and_ignores_shifts(seed, scale, shift):
    x, y = points(12, 5, seed), points(12, 3, seed + 1)
    plain, moved = distortion(x, y), distortion(x + shift, scale * y)
    assert moved.high + 1 == pytest.approx(scale**2 * (plain.high + 1), rel=1e-7)
    assert moved.low + 1 == pytest.approx(scale**2 * (plain.low + 1), rel=1e-7)
    assert moved.mean + 1 == pytest.approx(scale**2 * (plain.mean + 1), rel=1e-7)


def test_near_duplicates_in_float32_are_measured_right():
    x = points(40, 300, dtype=torch.float32)
    x = x / x.norm(dim=1, keepdim=True)
    x[1] = x[0]
    x[1, :2] += 1e-4  # a squared distance of 2e-8 beside distances of 2
    y = x.clone()
    y[1, 0] = x[0, 0]  # half of the small difference is gone, all else (nearly) stays
    report = distortion(x, y)
    difference = (x[1] - x[0]).double()
    expected = -(difference[0] ** 2 / difference.square().sum()).item()
    assert report.low == pytest.approx(expected, rel=1e-9)
    assert report.skipped == 0


def test_duplicates_are_skipped_and_counted_far_from_the_origin():
    x = 1e4 + points(6, 4, dtype=torch.float32)
    x = x.repeat(3, 1)
    report = distortion(x, x)
    assert (report.pairs, report.skipped) == (6 * 5 // 2 * 9, 6 * 3)
    assert report.max == 0
    assert report.counts.sum() == report.pairs
    assert set(report.quantiles.values()) == {0.0}


def test_equal_errors_fill_one_bin():
    x = points(20, 3)
    report = distortion(x, 3 * x)
    assert report.low == pytest.approx(8)
    assert report.std == pytest.approx(0, abs=1e-12)
    assert report.quantiles[0.5] == pytest.approx(8, rel=1e-3)
    assert report.counts.sum() == report.pairs


def test_a_gaussian_projection_has_the_spread_of_its_dimension():
    x = torch.eye(300)
    report = distortion(x, project(x, 500, kind="gaussian", generator=seeded()))
    assert report.std == pytest.approx((2 / 500) ** 0.5, rel=0.05)


# --- codes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [3, 100])
def test_coherence_equals_the_largest_cosine(block):
    v = points(40, 7)
    unit = v.numpy() / np.linalg.norm(v.numpy(), axis=1, keepdims=True)
    cosines = np.abs(unit @ unit.T) - np.eye(40)
    assert coherence(v, block=block).item() == pytest.approx(cosines.max(), rel=1e-12)
    lengths = torch.logspace(-250, 250, 40, dtype=torch.float64)
    assert coherence(v * lengths[:, None]).item() == pytest.approx(cosines.max(), rel=1e-12)
    assert coherence(torch.cat([v, -2 * v[:1]])) == pytest.approx(1)


def test_optimised_codes_are_far_better_than_random_ones_and_respect_welch():
    n, d = 200, 32
    v = optimise_code(n, d, generator=seeded())
    torch.testing.assert_close(v.norm(dim=1), torch.ones(n))
    welch = math.sqrt((n - d) / (d * (n - 1)))
    start = coherence(gaussian_matrix(n, d, generator=seeded())).item()
    assert welch < coherence(v).item() < 0.24 < 0.6 < start


@pytest.mark.parametrize(("n", "d", "best"), [(3, 2, 0.5), (4, 3, 1 / 3), (6, 3, 5**-0.5)])
def test_small_codes_reach_the_known_optimum(n, d, best):
    v = optimise_code(n, d, steps=1000, generator=seeded(1), dtype=torch.float64)
    assert coherence(v).item() == pytest.approx(best, abs=2e-3)


def test_few_vectors_are_orthonormal_at_once():
    seen = []
    v = optimise_code(5, 8, generator=seeded(), callback=lambda *step: seen.append(step))
    torch.testing.assert_close(v @ v.T, torch.eye(5))
    assert [step for step, _ in seen] == [0]
    assert optimise_code(2, 1).abs().tolist() == [[1.0], [1.0]]  # nowhere to go


def test_optimisation_reports_every_step_and_repeats_itself():
    seen = []
    v = optimise_code(12, 4, steps=30, generator=seeded(), callback=lambda *s: seen.append(s))
    assert [step for step, _ in seen] == list(range(31))
    assert coherence(v) <= min(coherence(frame) for _, frame in seen) + 1e-6
    for _, frame in seen:
        torch.testing.assert_close(frame.norm(dim=1), torch.ones(12))
    assert torch.equal(v, optimise_code(12, 4, steps=30, generator=seeded()))


# --- hashes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 8, 13, 256, 300])
def test_simhash_packs_the_signs_of_gaussian_projections(bits):
    x, g = points(9, 20), seeded(1)
    A = torch.cat(
        [
            gaussian_matrix(min(256, bits - start), 20, generator=g, dtype=torch.float64)
            for start in range(0, bits, 256)
        ]
    )
    packed = simhash(x, bits, generator=seeded(1))
    assert packed.tolist() == np.packbits((x @ A.T >= 0).numpy(), axis=1).tolist()
    assert torch.equal(packed, simhash(1000 * x, bits, generator=seeded(1)))


@pytest.mark.parametrize("size", [1, 3, 32, 75])
def test_hamming_counts_the_bits_that_differ(size):
    draw = torch.randint(256, (7, size), generator=seeded(), dtype=torch.uint8)
    expected = [[bits_that_differ(a, b) for b in draw[2:]] for a in draw[:5]]
    assert hamming(draw[:5], draw[2:]).tolist() == expected


def test_hashes_follow_the_arcsine_law_and_not_the_cosine():
    bits = 2**17
    angles = torch.tensor([0.3, 0.69, 1.2, 2.5], dtype=torch.float64)
    x = torch.stack([torch.cos(angles), torch.sin(angles)], dim=1)
    x = torch.cat([torch.tensor([[1.0, 0.0]], dtype=torch.float64), x])
    packed = simhash(x, bits, generator=seeded())
    share = hamming(packed[:1], packed[1:])[0].double() / bits
    error = (share * (1 - share) / bits).sqrt()
    assert ((share - angles / torch.pi).abs() < 4.9 * error).all()
    assert ((share - (1 - angles.cos()) / 2).abs() > 4.9 * error).all()
    estimate = hamming_to_cosine(share * bits, bits)
    assert ((estimate - angles.cos()).abs() < 4.9 * torch.pi * error).all()


# --- attention --------------------------------------------------------------------------------


@pytest.mark.parametrize("mass", [0.03, 0.5, 0.99, 1 - 1e-9])
@pytest.mark.parametrize("rho", [-0.01, 0.0, 0.9])
def test_equiangular_keys_have_the_closed_form(mass, rho):
    scores = torch.full((50,), rho, dtype=torch.float64)
    scores[17] = 1.0
    expected = math.log(mass * 49 / (1 - mass)) / (1 - rho)
    assert attention_temperature(scores, mass).item() == pytest.approx(expected, rel=1e-12)
    assert expected != pytest.approx(math.log(mass * 50 / (1 - mass)) / (1 - rho), rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), keys=st.integers(2, 40), mass=st.floats(0.01, 0.999))
def test_the_scale_gives_the_mass_and_agrees_with_brentq(seed, keys, mass):
    assume(abs(mass * keys - 1) > 1e-3)
    scores = points(3, keys, seed)
    beta = attention_temperature(scores, mass)
    top = torch.softmax(beta[:, None] * scores, dim=1).max(dim=1).values
    if mass < 1 / keys:
        assert beta.tolist() == [0, 0, 0]
        return
    torch.testing.assert_close(top, torch.full((3,), mass, dtype=torch.float64), rtol=1e-9, atol=0)
    torch.testing.assert_close(attention_temperature(8 * scores, mass), beta / 8)
    gaps = (scores[0].max() - scores[0]).numpy()

    def excess(log_beta):
        return np.log(np.exp(-np.exp(log_beta) * gaps).sum()) + np.log(mass)

    root = scipy.optimize.brentq(excess, -30, 30, xtol=1e-13)
    assert beta[0].item() == pytest.approx(math.exp(root), rel=1e-6)


def test_shared_best_scores_are_counted():
    scores = torch.tensor([1.0, 1.0, 0.0])
    assert attention_temperature(scores, 0.49).item() == pytest.approx(math.log(24.5), rel=1e-12)
    assert attention_temperature(torch.ones(4), 0.25).item() == 0
    with pytest.raises(ValueError, match=r"shared by 2 keys: .* less than 0.5, never mass=0.5"):
        attention_temperature(scores, 0.5)
    with pytest.raises(ValueError, match="shared by 2 keys"):
        attention_temperature(torch.tensor([1e-310, 0.0], dtype=torch.float64), 0.6)


# --- refusals ---------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    bad=st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    row=st.integers(0, 4),
    column=st.integers(0, 5),
)
def test_nothing_that_is_not_finite_is_taken(bad, row, column):
    x, good = torch.ones(5, 6), points(5, 6)
    x[row, column] = bad
    calls = [
        lambda: distortion(x.double(), good),
        lambda: distortion(good, x.double()),
        lambda: coherence(x),
        lambda: simhash(x, 8),
        lambda: attention_temperature(x, 0.5),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=rf"must be finite, got {bad} at \({row}, {column}\)"):
            call()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: distortion(torch.ones(1, 2), torch.ones(1, 2)), ValueError, "got n=1"),
        (lambda: distortion(torch.ones(3, 2), torch.ones(3, 2)), ValueError, "3 pairs at dist"),
        (lambda: distortion(torch.ones(3, 0), torch.ones(3, 2)), ValueError, "got d=0"),
        (lambda: distortion(torch.ones(3, 2), torch.ones(4, 2)), TypeError, "y"),
        (lambda: distortion(torch.ones(3), torch.ones(3)), TypeError, "x"),
        (lambda: distortion(points(3, 2), points(3, 2), block=0), ValueError, "got block=0"),
        (
            lambda: distortion(1e-160 * points(3, 2), 1e160 * points(3, 2)),
            ValueError,
            "overflow; rescale",
        ),
        (lambda: coherence(torch.ones(1, 2)), ValueError, "got n=1"),
        (lambda: coherence(torch.eye(3)[:, :2]), ValueError, "row 2 is zero"),
        (lambda: coherence(torch.eye(3), block=0), ValueError, "got block=0"),
        (lambda: coherence(torch.eye(3).long()), TypeError, "v"),
        (lambda: optimise_code(1, 2), ValueError, "got n=1"),
        (lambda: optimise_code(3, 0), ValueError, "got d=0"),
        (lambda: optimise_code(3, 2, steps=0), ValueError, "got steps=0"),
        (lambda: simhash(torch.ones(2, 3), 0), ValueError, "got bits=0"),
        (lambda: simhash(torch.ones(2, 0), 3), ValueError, "got d=0"),
        (lambda: simhash(torch.ones(2, 3).int(), 3), TypeError, "x"),
        (lambda: hamming(torch.ones(2, 3), torch.ones(2, 3)), TypeError, "a"),
        (lambda: hamming_to_cosine(torch.tensor([9]), 8), ValueError, r"\[0, 8\], got 9 to 9"),
        (lambda: hamming_to_cosine(torch.tensor([float("nan")]), 8), ValueError, "nan"),
        (lambda: hamming_to_cosine(torch.tensor([1]), 0), ValueError, "got bits=0"),
        (lambda: attention_temperature(torch.ones(2), 0.0), ValueError, "got 0.0"),
        (lambda: attention_temperature(torch.ones(2), 1.0), ValueError, "got 1.0"),
        (lambda: attention_temperature(torch.ones(2, 0), 0.5), ValueError, r"shape \(2, 0\)"),
        (lambda: attention_temperature(torch.ones(2).long(), 0.5), TypeError, "scores"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()
