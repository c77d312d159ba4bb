"""Kernels and estimates of HSIC: against their definitions, and against laws they must obey."""

import math

import numpy as np
import pytest
import torch

import oracles
from derive.independence import (
    Distance,
    Gaussian,
    Linear,
    dcov2,
    hsic,
    hsic_gaussian_population,
    hsic_rff,
    hsic_u,
    hsic_v,
    median_gamma,
    rbf_gram,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
KERNELS = [Gaussian(0.7), Linear(), Distance(), lambda a, b: (1 + a @ b.T) ** 2]
NAMES = ["gaussian", "linear", "distance", "a function"]


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(3)


@pytest.fixture
def grams(rng):
    """Two dependent samples of six: 6 x 6 Gram matrices whose diagonals are not constant."""
    x = torch.randn(6, 2, generator=rng, dtype=torch.float64)
    y = x[:, :1] + 0.5 * torch.randn(6, 1, generator=rng, dtype=torch.float64)
    return rbf_gram(x, 0.5) + x @ x.T, rbf_gram(y, 1.0) + y @ y.T


def sample(n, d, p, rng, dtype=torch.float64, device="cpu"):
    x = torch.randn(n, d, generator=rng, dtype=torch.float64)
    y = x[:, :1] * torch.randn(n, p, generator=rng, dtype=torch.float64)
    return x.to(device, dtype), y.to(device, dtype)


# --- kernels -------------------------------------------------------------------------------


def test_the_gram_matrix_is_the_kernel_of_every_pair(rng):
    x = torch.randn(5, 3, generator=rng, dtype=torch.float64)
    expected = oracles.gram_from_definition(x, lambda a, b: math.exp(-0.3 * math.dist(a, b) ** 2))
    torch.testing.assert_close(rbf_gram(x, 0.3), expected, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(Gaussian(0.3)(x, x), expected, rtol=1e-13, atol=1e-15)


def test_the_gram_matrix_is_scikit_learns():
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    x = np.random.default_rng(0).normal(size=(30, 4)) + 100
    ours = rbf_gram(torch.from_numpy(x), 0.2).numpy()
    np.testing.assert_allclose(ours, pairwise.rbf_kernel(x, gamma=0.2), rtol=1e-9)


def test_far_from_the_origin_the_gram_matrix_keeps_its_digits(rng):
    x = torch.randn(20, 2, generator=rng)
    moved = x + 1024  # the sample loses bits, so compare with the same one moved back
    torch.testing.assert_close(rbf_gram(moved, 0.5), rbf_gram(moved - 1024, 0.5))


def test_a_gram_matrix_has_ones_on_its_diagonal_and_a_gradient(rng):
    x = torch.randn(7, 3, generator=rng, requires_grad=True)
    K = rbf_gram(x, 2.0)
    assert torch.equal(K.diagonal(), torch.ones(7))
    K.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().max() > 0


def test_the_median_heuristic_looks_at_positive_distances_only():
    x = torch.tensor([[0.0], [0.0], [0.0], [3.0]])  # distances: three 0, three 3
    assert median_gamma(x) == pytest.approx(1 / 18)


def test_the_median_heuristic_scales_and_thins():
    x = torch.linspace(0, 1, 5001, dtype=torch.float64)[:, None]
    assert median_gamma(3 * x) == pytest.approx(median_gamma(x) / 9)
    assert median_gamma(x, max_points=500) == pytest.approx(median_gamma(x, max_points=5001), 0.02)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rbf_gram(torch.zeros(3, 2), 0.0), ValueError, "got 0.0"),
        (lambda: rbf_gram(torch.zeros(3, 2), math.inf), ValueError, "got inf"),
        (lambda: rbf_gram(torch.zeros(3), 1.0), TypeError, "x"),
        (lambda: rbf_gram(torch.zeros(3, 2).long(), 1.0), TypeError, "i64"),
        (lambda: rbf_gram(torch.tensor([[0.0], [math.nan]]), 1.0), ValueError, r"nan at \(1, 0\)"),
        (lambda: Gaussian(-1.0), ValueError, "got -1.0"),
        (lambda: median_gamma(torch.ones(4, 1)), ValueError, "got 4 points that all coincide"),
        (lambda: median_gamma(torch.ones(1, 1)), ValueError, "n=1"),
        (lambda: median_gamma(torch.ones(4, 1), max_points=1), ValueError, "max_points >= 2"),
    ],
    ids=[
        "gamma zero",
        "gamma infinite",
        "vector",
        "integers",
        "NaN",
        "negative gamma",
        "constant",
        "one point",
        "too thin",
    ],
)
def test_kernels_reject(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- V- and U-statistics -------------------------------------------------------------------


def test_both_estimates_equal_their_definitions(grams):
    torch.testing.assert_close(
        hsic_v(*grams).item(), oracles.hsic_v_from_definition(*grams), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        hsic_u(*grams).item(), oracles.hsic_u_from_definition(*grams), rtol=1e-12, atol=0
    )


def test_the_oracles_reject_the_wrong_normalisation(grams):
    with pytest.raises(AssertionError):
        torch.testing.assert_close(
            hsic_v(*grams).item() * 6**2 / 5**2, oracles.hsic_v_from_definition(*grams)
        )
    with pytest.raises(AssertionError):
        torch.testing.assert_close(hsic_v(*grams).item(), oracles.hsic_u_from_definition(*grams))


@pytest.mark.parametrize("estimate", [hsic_v, hsic_u], ids=["v", "u"])
def test_estimates_ignore_order_exchange_and_constants(estimate, grams, rng):
    K, L = grams
    p = torch.randperm(6, generator=rng)
    torch.testing.assert_close(estimate(K[p][:, p], L[p][:, p]), estimate(K, L))
    torch.testing.assert_close(estimate(L, K), estimate(K, L))
    torch.testing.assert_close(estimate(K + 5, L - 2), estimate(K, L))
    torch.testing.assert_close(estimate(3 * K, L), 3 * estimate(K, L))


def test_the_unbiased_estimate_ignores_the_diagonals(grams):
    K, L = grams
    torch.testing.assert_close(hsic_u(K + torch.diag(torch.arange(6.0)), L), hsic_u(K, L))
    assert not torch.allclose(hsic_v(K + torch.diag(torch.arange(6.0)), L), hsic_v(K, L))


def test_estimates_have_gradients(rng):
    x = torch.randn(6, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    y = torch.randn(6, 2, generator=rng, dtype=torch.float64)
    L = rbf_gram(y, 1.0)
    assert torch.autograd.gradcheck(lambda x: hsic_v(rbf_gram(x, 0.5), L), x)
    assert torch.autograd.gradcheck(lambda x: hsic_u(rbf_gram(x, 0.5), L), x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hsic_v(torch.eye(3), torch.eye(4)), TypeError, "n=3"),
        (lambda: hsic_v(torch.ones(3, 4), torch.eye(3)), TypeError, "n=3"),
        (lambda: hsic_v(torch.eye(3).long(), torch.eye(3)), TypeError, "i64"),
        (lambda: hsic_v(torch.eye(1), torch.eye(1)), ValueError, "got n=1"),
        (lambda: hsic_u(torch.eye(3), torch.eye(3)), ValueError, "got n=3"),
    ],
    ids=["shapes disagree", "not square", "integers", "one observation", "three observations"],
)
def test_estimates_reject(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- streamed ------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS, ids=NAMES)
@pytest.mark.parametrize("d", [1, 6])
@pytest.mark.parametrize("block", [None, 7, 1000], ids=["default", "tiny tiles", "small tiles"])
@pytest.mark.parametrize("device", DEVICES)
def test_streaming_changes_nothing(kernel, d, block, device, rng):
    x, y = sample(67, d, 2, rng, device=device)
    K, L = kernel(x, x), kernel(y, y)
    for estimator, estimate in (("v", hsic_v), ("u", hsic_u)):
        torch.testing.assert_close(
            hsic(x, y, kernel, kernel, estimator=estimator, block=block),
            estimate(K, L),
            rtol=1e-12,
            atol=1e-14 * (K.max() * L.max()).item(),
        )


def test_single_precision_agrees_with_double_to_seven_digits_of_the_kernel(rng):
    x, y = sample(400, 10, 10, rng)
    kernel = Gaussian(0.05)
    double = hsic(x, y, kernel, kernel)
    single = hsic(x.float(), y.float(), kernel, kernel)
    assert single.dtype == torch.float32
    assert abs(single - double) < 1e-7


def test_single_precision_gives_way_where_its_exponent_would_be_wrong(rng):
    # Two clusters 2000 apart: |x|^2 in float32 cannot resolve distances of order 1.
    x, y = sample(200, 5, 5, rng)
    x = x + 2000 * (torch.arange(200) % 2)[:, None]
    single = hsic(x.float(), y.float(), Gaussian(0.5), Gaussian(0.5))
    double = hsic(x.float().double(), y.double(), Gaussian(0.5), Gaussian(0.5))
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-8)


def test_nothing_of_the_size_of_a_gram_matrix_is_allocated(rng):
    x, y = sample(1000, 2, 2, rng, dtype=torch.float32)
    with torch.profiler.profile(profile_memory=True) as profile:
        hsic(x, y, Gaussian(1.0), Gaussian(1.0), block=2**14)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert 0 < largest < 1000 * 1000 * 4 / 4


def test_distance_covariance_equals_its_definition(rng):
    x, y = sample(12, 3, 2, rng)
    A, B = (torch.cdist(a, a) for a in (x, y))
    torch.testing.assert_close(
        dcov2(x, y, estimator="v").item(), oracles.hsic_v_from_definition(A, B)
    )


def test_distance_covariance_is_zero_for_a_constant():
    x = torch.linspace(0, 1, 9)[:, None]
    assert abs(dcov2(x, torch.full((9, 1), 4.0))) < 1e-7


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: hsic(x, x[:3], Linear(), Linear()), TypeError, "n="),
        (lambda x: hsic(x, x.long(), Linear(), Linear()), TypeError, "i64"),
        (lambda x: hsic(x, x * math.nan, Linear(), Linear()), ValueError, "y must be finite"),
        (lambda x: hsic(x / 0, x, Linear(), Linear()), ValueError, "x must be finite"),
        (lambda x: hsic(x[:3], x[:3], Linear(), Linear()), ValueError, "n=3"),
        (lambda x: hsic(x[:1], x[:1], Linear(), Linear(), estimator="v"), ValueError, "n=1"),
        (lambda x: hsic(x, x, Linear(), Linear(), block=0), ValueError, "block"),
        (lambda x: hsic(x, x, Linear(), Linear(), estimator="b"), TypeError, "estimator"),
    ],
    ids=["lengths", "integers", "NaN", "infinity", "n=3", "n=1", "block", "estimator"],
)
def test_streaming_rejects(call, error, message):
    with pytest.raises(error, match=message):
        call(torch.arange(1.0, 6.0)[:, None])


# --- the Gaussian truth --------------------------------------------------------------------


@pytest.mark.parametrize(("rho", "gx", "gy"), [(0.5, 1.0, 1.0), (-0.9, 0.5, 0.2), (0.05, 2, 0.5)])
def test_the_population_value_equals_quadrature(rho, gx, gy):
    expected = oracles.hsic_of_two_normals(rho, gx, gy)
    assert hsic_gaussian_population(rho, gx, gy) == pytest.approx(expected, rel=1e-9)


def test_quadrature_rejects_a_factor_of_two_in_gamma():
    assert hsic_gaussian_population(0.5, 2.0, 2.0) != pytest.approx(
        oracles.hsic_of_two_normals(0.5, 1.0, 1.0), rel=0.1
    )


def test_the_population_value_knows_its_limits():
    assert hsic_gaussian_population(0, 1.0, 2.0) == pytest.approx(0, abs=1e-16)
    # y = x: E kl = E exp(-2 gamma d^2), and so on, all one-dimensional
    assert hsic_gaussian_population(1, 1.0, 1.0) == pytest.approx(1 / 3 + 1 / 5 - 2 / 21**0.5)
    scaled = hsic_gaussian_population(0.4, 1.0, 3.0, var_x=0.25, var_y=2.0)
    assert scaled == pytest.approx(hsic_gaussian_population(0.4, 0.25, 6.0))


def test_the_unbiased_estimate_has_the_population_value_as_its_mean(rng):
    xy = torch.randn(2, 3000, 12, generator=rng, dtype=torch.float64)
    x, y = xy[0], 0.6 * xy[0] + 0.8 * xy[1]
    values = torch.stack(
        [
            hsic_u(rbf_gram(a[:, None], 0.5), rbf_gram(b[:, None], 0.5))
            for a, b in zip(x, y, strict=True)
        ]
    )
    z = (values.mean() - hsic_gaussian_population(0.6, 0.5, 0.5)) / (values.std() / 3000**0.5)
    assert abs(z) < 4.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.1, 1.0, 1.0), "rho"),
        ((math.nan, 1.0, 1.0), "rho"),
        ((0.5, 0.0, 1.0), "gamma"),
        ((0.5, 1.0, -1.0), "gamma"),
    ],
)
def test_the_population_value_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        hsic_gaussian_population(*arguments)
    with pytest.raises(ValueError, match="var_y"):
        hsic_gaussian_population(0.5, 1.0, 1.0, var_y=0.0)


# --- random features -----------------------------------------------------------------------


def test_random_features_have_the_biased_estimate_as_their_mean(rng):
    x, y = sample(80, 2, 1, rng)
    draws = torch.stack(
        [
            hsic_rff(x, y, n_features=20, generator=rng, gamma_x=0.5, gamma_y=1.0)
            for _ in range(2000)
        ]
    )
    expected = hsic_v(rbf_gram(x, 0.5), rbf_gram(y, 1.0))
    error = draws.std() / 2000**0.5
    assert abs(draws.mean() - expected) < 4.9 * error
    assert abs(draws.mean() - 1.2 * expected) > 4.9 * error  # the check can fail


def test_random_features_converge_with_their_number(rng):
    x, y = sample(50, 1, 1, rng)
    expected = hsic_v(rbf_gram(x, 0.5), rbf_gram(y, 0.5))
    errors = []
    for count in (8, 32, 128):
        draws = [
            hsic_rff(x, y, n_features=count, generator=rng, gamma_x=0.5, gamma_y=0.5)
            for _ in range(200)
        ]
        errors.append((torch.stack(draws) - expected).square().mean().sqrt())
    slope = np.polyfit(np.log([8, 32, 128]), np.log(torch.stack(errors).numpy()), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.15)


def test_random_features_do_not_depend_on_the_blocks(rng):
    x, y = sample(101, 2, 2, rng)
    values = [
        hsic_rff(x, y, n_features=8, generator=torch.Generator().manual_seed(1), gamma_x=1, block=b)
        for b in (101, 10, 1)
    ]
    torch.testing.assert_close(values[1], values[0], rtol=1e-11, atol=0)
    torch.testing.assert_close(values[2], values[0], rtol=1e-11, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_features": 7}, "even"),
        ({"n_features": 0}, "at least 2"),
        ({"gamma_x": 0.0}, "gamma"),
        ({"block": 0}, "block"),
    ],
)
def test_random_features_reject(changes, message, rng):
    arguments = {"n_features": 8, "generator": rng, "gamma_x": 1.0, "gamma_y": 1.0} | changes
    x = torch.randn(10, 1, generator=rng)
    with pytest.raises(ValueError, match=message):
        hsic_rff(x, x, **arguments)
    with pytest.raises(ValueError, match="n=1"):
        hsic_rff(x[:1], x[:1], n_features=8, generator=rng, gamma_x=1.0, gamma_y=1.0)
