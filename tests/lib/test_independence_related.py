"""CKA, normalised HSIC, the bottleneck loss; and the libraries that others use."""

import math
import warnings

import numpy as np
import pytest
import torch

import oracles
from derive.independence import (
    Distance,
    Gaussian,
    cka,
    dcov2,
    hsic,
    hsic_bottleneck_loss,
    hsic_u,
    hsic_v,
    nhsic,
    rbf_gram,
)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(6)


# --- CKA -----------------------------------------------------------------------------------


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("p", [3, 30], ids=["few features", "many features"])
def test_cka_equals_hsic_of_linear_kernels(debiased, p, rng):
    X = torch.randn(12, p, generator=rng, dtype=torch.float64) + 2
    Y = X[:, :2] ** 2 + torch.randn(12, 2, generator=rng, dtype=torch.float64)
    estimate = oracles.hsic_u_from_definition if debiased else oracles.hsic_v_from_definition
    K, L = X @ X.T, Y @ Y.T
    expected = estimate(K, L) / math.sqrt(estimate(K, K) * estimate(L, L))
    assert cka(X, Y, debiased=debiased).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("debiased", [False, True])
def test_cka_ignores_rotation_scale_and_position(debiased, rng):
    X, Y = torch.randn(2, 40, 5, generator=rng, dtype=torch.float64)
    Y = Y + X
    Q = torch.linalg.qr(torch.randn(5, 5, generator=rng, dtype=torch.float64))[0]
    moved = cka(1e6 * X @ Q + 3, Y, debiased=debiased)
    torch.testing.assert_close(moved, cka(X, Y, debiased=debiased))
    torch.testing.assert_close(cka(X, X @ Q, debiased=debiased), torch.ones_like(moved))


def test_both_routes_of_cka_agree(rng):
    X, Y = torch.randn(2, 20, 19, generator=rng, dtype=torch.float64)
    padded = torch.cat([X, torch.zeros(20, 5, dtype=torch.float64)], dim=1)  # 24 > 20: Gram route
    for debiased in (False, True):
        torch.testing.assert_close(cka(X, Y, debiased=debiased), cka(padded, Y, debiased=debiased))


def test_biased_cka_finds_independent_features_alike(rng):
    X, Y = torch.randn(2, 256, 256, generator=rng, dtype=torch.float64)
    assert cka(X, Y, debiased=False).item() == pytest.approx(0.5, abs=0.01)
    assert cka(X, Y).item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda X: cka(X, torch.full((5, 2), 0.1)), ValueError, "Y is constant"),
        (lambda X: cka(X, torch.eye(5)), ValueError, "Y does not vary"),
        (lambda X: cka(X[:3], X[:3]), ValueError, "n=3"),
        (lambda X: cka(X, X[:4]), TypeError, "n="),
        (lambda X: cka(X * math.nan, X), ValueError, "X must be finite"),
        (lambda X: cka(X.long(), X), TypeError, "i64"),
    ],
    ids=["constant", "all inputs equally similar", "small", "lengths", "NaN", "integers"],
)
def test_cka_rejects(call, error, message):
    with pytest.raises(error, match=message):
        call(torch.arange(10.0).view(5, 2) ** 2)


# --- normalised HSIC -----------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [1e-1, 1e-3, 1e-8])
def test_nhsic_equals_its_definition(epsilon, rng):
    x, y = torch.randn(2, 15, 2, generator=rng, dtype=torch.float64)
    K, L = rbf_gram(x, 0.5), rbf_gram(y, 0.5)
    expected = oracles.whitened_trace(K, L, epsilon)
    torch.testing.assert_close(nhsic(K, L, epsilon=epsilon), expected, rtol=1e-6, atol=1e-9)
    with pytest.raises(AssertionError):  # without n beside epsilon
        torch.testing.assert_close(
            nhsic(K, L, epsilon=epsilon),
            oracles.whitened_trace(K, L, epsilon / 15),
            rtol=1e-6,
            atol=0,
        )


def test_nhsic_lies_between_zero_and_the_rank(rng):
    labels = torch.eye(3, dtype=torch.float64)[torch.arange(30) % 3]
    z = torch.randn(30, 4, generator=rng, dtype=torch.float64)
    value = nhsic(rbf_gram(z, 0.1), rbf_gram(labels, 1.0), epsilon=1e-5)
    assert 0 < value <= 2
    self_value = nhsic(rbf_gram(labels, 1.0), rbf_gram(labels, 1.0), epsilon=1e-9)
    torch.testing.assert_close(self_value.item(), 2.0, rtol=1e-6, atol=0)


def test_nhsic_in_single_precision_solves_small_ridges_in_double(rng):
    x, y = torch.randn(2, 40, 3, generator=rng, dtype=torch.float64)
    K, L = rbf_gram(x, 0.5), rbf_gram(y, 0.5)
    single = nhsic(K.float(), L.float(), epsilon=1e-7)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), nhsic(K, L, epsilon=1e-7), rtol=1e-3, atol=0)


def test_the_bottleneck_loss_is_its_two_terms(rng):
    z, x = torch.randn(2, 10, 4, generator=rng, dtype=torch.float64)
    y = torch.eye(2, dtype=torch.float64)[torch.arange(10) % 2]
    loss = hsic_bottleneck_loss(z, x, y, beta=3.0, sigma=2.0, epsilon=1e-3)
    # width 4: 1 / (2 * 4 * 4) = 1/32; one-hot labels of width 2: 1/16
    K_z, K_x, K_y = rbf_gram(z, 1 / 32), rbf_gram(x, 1 / 32), rbf_gram(y, 1 / 16)
    expected = oracles.whitened_trace(K_z, K_x, 1e-3) - 3 * oracles.whitened_trace(K_z, K_y, 1e-3)
    torch.testing.assert_close(loss, expected)


def test_the_bottleneck_loss_has_the_right_gradient(rng):
    z, x = torch.randn(2, 8, 3, generator=rng, dtype=torch.float64)
    y = torch.eye(2, dtype=torch.float64)[torch.arange(8) % 2]
    assert torch.autograd.gradcheck(
        lambda z: hsic_bottleneck_loss(z, x, y, beta=5.0, sigma=1.0, epsilon=1e-2),
        z.requires_grad_(),
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda K: nhsic(K, K, epsilon=0.0), ValueError, "got 0.0"),
        (lambda K: nhsic(K[:1, :1], K[:1, :1], epsilon=1.0), ValueError, "n=1"),
        (lambda K: nhsic(-K, K, epsilon=1e-3), ValueError, "not positive semi-definite"),
        (lambda K: nhsic(K, torch.eye(4), epsilon=1.0), TypeError, "n=3"),
        (lambda K: hsic_bottleneck_loss(K, K, K, beta=-1.0), ValueError, "beta"),
        (lambda K: hsic_bottleneck_loss(K, K, K, beta=1.0, sigma=0.0), ValueError, "sigma"),
        (lambda K: hsic_bottleneck_loss(K, K[:2], K, beta=1.0), TypeError, "n="),
    ],
    ids=["ridge", "n=1", "indefinite", "shapes", "beta", "sigma", "batches"],
)
def test_normalised_hsic_rejects(call, error, message):
    with pytest.raises(error, match=message):
        call(torch.eye(3))


# --- peers ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_hyppo_has_the_same_statistic_up_to_its_normalisation():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports, and its compiler, warn
        independence = pytest.importorskip("hyppo.independence")
        x, y = np.random.default_rng(1).normal(size=(2, 30, 2))
        y = y + x**2
        theirs = independence.Hsic(compute_kernel="rbf", bias=False, gamma=0.4).statistic(x, y)
        their_root = independence.Hsic(compute_kernel="rbf", bias=True, gamma=0.4).statistic(x, y)
    K, L = (rbf_gram(torch.from_numpy(a), 0.4) for a in (x, y))
    ours = [e(K, L) / (e(K, K) * e(L, L)).sqrt() for e in (hsic_u, hsic_v)]
    assert theirs == pytest.approx(ours[0].item(), rel=1e-12)
    assert their_root == pytest.approx(ours[1].sqrt().item(), rel=1e-12)  # a root, unannounced


@pytest.mark.slow
def test_dcor_has_the_same_distance_covariance():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcor = pytest.importorskip("dcor")
        x, y = np.random.default_rng(2).normal(size=(2, 40, 3))
        y = y + np.abs(x)
        biased, unbiased = dcor.distance_covariance_sqr(x, y), dcor.u_distance_covariance_sqr(x, y)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    assert dcov2(x, y, estimator="v").item() == pytest.approx(biased, rel=1e-12)
    assert dcov2(x, y).item() == pytest.approx(unbiased, rel=1e-12)
    assert hsic(x, y, Distance(), Gaussian(1.0)).item() != pytest.approx(unbiased, rel=0.1)
