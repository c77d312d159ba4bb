"""derive.transport: closed forms on the line and for normal laws, and WGAN critics."""

import math

import numpy as np
import pytest
import torch

from derive.transport import (
    bures_wasserstein,
    cost_matrix,
    critic_1d_exact,
    emd,
    fit_critic_1d,
    gaussian_map,
    gaussian_sinkhorn,
    gelbrich,
    wasserstein_1d,
)
from oracles import entropic_transport_by_scaling, wasserstein_by_quantiles

F64 = torch.float64


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(15)


def weights(n, rng):
    p = torch.rand(n, generator=rng, dtype=F64) + 0.1
    return p / p.sum()


def line(rng, n=7, m=9):
    x = torch.randn(n, generator=rng, dtype=F64)
    y = torch.randn(m, generator=rng, dtype=F64) + 0.5
    return x, y, weights(n, rng), weights(m, rng)


def covariance(d, rng):
    A = torch.randn(d, d, generator=rng, dtype=F64)
    return A @ A.T / d + 0.1 * torch.eye(d, dtype=F64)


# --- the line


@pytest.mark.parametrize("order", [1, 1.5, 2, 3])
def test_wasserstein_1d_equals_the_linear_programme(order, rng):
    for _ in range(5):
        x, y, p, q = line(rng)
        y[:3] = x[0]  # ties
        C = (x[:, None] - y).abs() ** order
        expected = emd(p, q, C, solver="highs").cost.item() ** (1 / order)
        found = wasserstein_1d(x, y, p, q, order=order)
        assert found.item() == pytest.approx(expected, abs=1e-12)


def test_wasserstein_1d_equals_its_integral_and_scipy(rng):
    from scipy.stats import wasserstein_distance

    x, y, p, q = line(rng)
    found = wasserstein_1d(x, y, p, q, order=2).item()
    expected = wasserstein_by_quantiles(x.tolist(), y.tolist(), p.tolist(), q.tolist(), 2)
    assert found == pytest.approx(expected, rel=1e-4)
    assert wasserstein_1d(x, y, p, q).item() == pytest.approx(wasserstein_distance(x, y, p, q))
    assert wasserstein_1d(x, y).item() == pytest.approx(wasserstein_distance(x, y))


def test_the_integral_rejects_a_forgotten_root_and_the_wrong_order(rng):
    x, y, p, q = line(rng)
    expected = wasserstein_by_quantiles(x.tolist(), y.tolist(), p.tolist(), q.tolist(), 2)
    assert wasserstein_1d(x, y, p, q, order=2).item() ** 2 != pytest.approx(expected, rel=1e-2)
    assert wasserstein_1d(x, y, p, q, order=1).item() != pytest.approx(expected, rel=1e-2)


def test_wasserstein_1d_obeys_shift_scale_and_symmetry(rng):
    x, y, p, q = line(rng)
    W = wasserstein_1d(x, y, p, q, order=3)
    torch.testing.assert_close(wasserstein_1d(-5 * x + 1, -5 * y + 1, p, q, order=3), 5 * W)
    torch.testing.assert_close(wasserstein_1d(y, x, q, p, order=3), W)
    assert wasserstein_1d(x, x, p, p, order=3) == 0
    assert wasserstein_1d(x, x + 2, p, p, order=3).item() == pytest.approx(2)
    tiny = wasserstein_1d(1e-180 * x, 1e-180 * y, p, q, order=3)
    torch.testing.assert_close(tiny * 1e180, W)


def test_wasserstein_1d_has_a_gradient(rng):
    x, y, p, q = line(rng)
    x.requires_grad_()
    for order in (1, 2):
        torch.autograd.gradcheck(lambda x, k=order: wasserstein_1d(x, y, p, q, order=k), (x,))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((torch.zeros(2), torch.ones(2)), {"order": 0.5}, "eq-ot-concave"),
        ((torch.zeros(2), torch.ones(2)), {"order": float("inf")}, "finite order"),
        ((torch.tensor([float("nan")]), torch.ones(2)), {}, "x must be finite, got nan"),
        ((torch.zeros(2), torch.ones(2), torch.ones(2)), {}, "equal totals"),
    ],
    ids=["concave", "infinite order", "NaN", "totals"],
)
def test_wasserstein_1d_rejects(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        wasserstein_1d(*arguments, **options)


# --- normal laws


def test_the_map_transports_and_its_cost_is_the_distance(rng):
    A, B = covariance(4, rng), covariance(4, rng)
    m, n = torch.randn(2, 4, generator=rng, dtype=F64)
    T = gaussian_map(A, B)
    torch.testing.assert_close(T @ A @ T, B)
    assert torch.linalg.eigvalsh(T).min() > 0
    by_map = (m - n).square().sum() + torch.trace(A + B - 2 * T @ A)
    torch.testing.assert_close(bures_wasserstein(m, A, n, B), by_map)


def test_in_two_dimensions_a_trace_and_a_determinant_are_enough(rng):
    A, B = covariance(2, rng), covariance(2, rng)
    zero = torch.zeros(2, dtype=F64)
    cross = (torch.trace(A @ B) + 2 * torch.det(A @ B).sqrt()).sqrt()
    expected = torch.trace(A + B) - 2 * cross
    torch.testing.assert_close(bures_wasserstein(zero, A, zero, B), expected)


def test_the_formula_for_commuting_covariances_is_another_one(rng):
    A, B = covariance(3, rng), covariance(3, rng)
    zero = torch.zeros(3, dtype=F64)

    def root(S):
        values, vectors = torch.linalg.eigh(S)
        return vectors * values.sqrt() @ vectors.T

    commuting = (root(A) - root(B)).square().sum()
    assert commuting > 1.01 * bures_wasserstein(zero, A, zero, B)


def test_flat_laws_and_batches_are_fine(rng):
    flat = torch.diag(torch.tensor([1.0, 0.0], dtype=F64))
    other = torch.diag(torch.tensor([0.0, 4.0], dtype=F64))
    zero = torch.zeros(2, dtype=F64)
    assert bures_wasserstein(zero, flat, zero, other).item() == pytest.approx(5)
    assert bures_wasserstein(zero, flat, zero, flat).item() == pytest.approx(0, abs=1e-15)
    assert bures_wasserstein(zero, 0 * flat, zero, 0 * flat) == 0
    S = torch.stack([covariance(3, rng) for _ in range(4)])
    m = torch.randn(4, 3, generator=rng, dtype=F64)
    batch = bures_wasserstein(m, S, m.flip(0), S.flip(0))
    torch.testing.assert_close(batch, batch.flip(0))
    torch.testing.assert_close(batch[0], bures_wasserstein(m[0], S[0], m[3], S[3]))
    single = bures_wasserstein(*(x.float() for x in (m, S, m.flip(0), S.flip(0))))
    torch.testing.assert_close(single, batch.float(), rtol=1e-4, atol=1e-5)


def test_entropic_transport_of_normal_laws_equals_that_of_a_fine_grid():
    t = np.linspace(-5, 5, 41)
    p, q = (np.exp(-((t - m) ** 2) / (2 * s)) for m, s in ((0.5, 1.0), (-0.3, 0.6)))
    C = (t[:, None] - t) ** 2
    on_grid = entropic_transport_by_scaling(
        (p / p.sum()).tolist(), (q / q.sum()).tolist(), C.tolist(), 1.0, digits=20
    )
    found = gaussian_sinkhorn(
        *(torch.tensor(v, dtype=F64) for v in ([0.5], [[1.0]], [-0.3], [[0.6]])), epsilon=1.0
    )
    # The trapezoidal rule is exponentially good for Gaussians; what is left is the cut at 5 sd.
    assert found.item() == pytest.approx(on_grid, abs=1e-4)


def test_entropic_transport_of_normal_laws_has_the_two_limits(rng):
    A, B = covariance(3, rng), covariance(3, rng)
    m, n = torch.randn(2, 3, generator=rng, dtype=F64)
    exact = bures_wasserstein(m, A, n, B)
    gaps = [(gaussian_sinkhorn(m, A, n, B, epsilon=e) - exact).item() for e in (1e-2, 1e-5, 1e-8)]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < 1e-6
    independent = (m - n).square().sum() + torch.trace(A + B)
    torch.testing.assert_close(
        gaussian_sinkhorn(m, A, n, B, epsilon=1e9), independent, rtol=1e-6, atol=0
    )


@pytest.mark.parametrize(("n", "m", "d"), [(20, 15, 2), (6, 8, 5), (4, 5, 30)])
def test_gelbrich_equals_the_formula_of_the_moments_and_stays_below_transport(n, m, d, rng):
    x = torch.randn(n, d, generator=rng, dtype=F64).exp()
    y = torch.rand(m, d, generator=rng, dtype=F64) + 0.3
    p, q = weights(n, rng), weights(m, rng)

    def moments(points, w):
        mean = w @ points
        return mean, (points - mean).T @ (w[:, None] * (points - mean))

    bound = gelbrich(x, y, p, q)
    torch.testing.assert_close(bound, bures_wasserstein(*moments(x, p), *moments(y, q)))
    assert bound < emd(p, q, cost_matrix(x, y)).cost
    assert bound >= (p @ x - q @ y).square().sum()
    torch.testing.assert_close(
        gelbrich(x, y), gelbrich(x, y, torch.full_like(p, 1 / n), torch.full_like(q, 1 / m))
    )


def test_gelbrich_is_exact_for_a_linear_image(rng):
    x = torch.randn(10, 3, generator=rng, dtype=F64).exp()
    T = covariance(3, rng)
    even = torch.full((10,), 0.1, dtype=F64)
    torch.testing.assert_close(gelbrich(x, x @ T), emd(even, even, cost_matrix(x, x @ T)).cost)


ZERO, EYE = torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64)
BENT = torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=F64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: bures_wasserstein(ZERO, BENT, ZERO, EYE),
            "S1 must be symmetric; it is off by 0.5",
        ),
        (lambda: bures_wasserstein(ZERO, EYE, ZERO, -EYE), "S2 must be positive semi-definite"),
        (lambda: bures_wasserstein(ZERO, EYE, ZERO, EYE * math.nan), "S2 must be finite"),
        (lambda: gaussian_map(torch.diag(ZERO), EYE), "positive definite S1"),
        (lambda: gaussian_map(EYE, -EYE), "S2 must be positive"),
        (lambda: gaussian_sinkhorn(ZERO, EYE, ZERO, EYE, epsilon=0), "epsilon must be positive"),
        (lambda: gelbrich(EYE, EYE, ZERO), "total weight 0"),
    ],
    ids=["not symmetric", "negative", "NaN", "flat", "map to nothing", "epsilon", "weights"],
)
def test_normal_laws_reject(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- critics


def test_the_exact_critic_attains_the_distance_with_slope_one(rng):
    for _ in range(10):
        x, y, p, q = line(rng)
        knots, values = critic_1d_exact(x, y, p, q)
        at = [torch.from_numpy(np.interp(t, knots, values)) for t in (x, y)]
        torch.testing.assert_close(p @ at[0] - q @ at[1], wasserstein_1d(x, y, p, q))
        slopes = (values.diff() / knots.diff()).abs()
        assert slopes.max() <= 1 + 1e-9
    even = critic_1d_exact(x, x + 1)
    assert (even.values.diff() <= 1e-12).all()


@pytest.mark.parametrize("kind", ["one-sided", "two-sided", "clip"])
def test_a_trained_critic_never_exceeds_the_distance_by_its_own_constant(kind, rng):
    x = torch.randn(200, generator=rng, dtype=F64)
    y = torch.cat([x[:100] - 2, x[100:] + 2])
    critic = fit_critic_1d(x, y, kind=kind, generator=rng, steps=60)
    grid = torch.linspace(x.min(), y.max(), 2001, dtype=F64)
    grid = grid[(grid >= min(x.min(), y.min())) & (grid <= max(x.max(), y.max()))]
    torch.testing.assert_close(critic.estimate, critic(x).mean() - critic(y).mean())
    assert critic.slope(grid).abs().max() <= critic.lipschitz + 1e-12
    assert ((critic(grid).diff() / grid.diff()).abs() <= critic.lipschitz * (1 + 1e-9)).all()
    assert critic.lower <= wasserstein_1d(x, y) + 1e-12
    assert len(critic.history) == 60


def test_the_one_sided_critic_learns_a_kink_and_the_clipped_one_stays_small(rng):
    x = torch.randn(300, generator=rng, dtype=F64)
    y = torch.cat([x[:150] - 2, x[150:] + 2])
    W = wasserstein_1d(x, y).item()
    good = fit_critic_1d(x, y, kind="one-sided", generator=rng)
    assert 0.9 * W < good.lower.item() <= W
    small = fit_critic_1d(x, y, kind="clip", generator=rng, clip=0.01, width=32)
    assert max(w.abs().max() for w in (small.weight, small.bias, small.out)) <= 0.01
    assert small.estimate.item() < 0.01 * W


def test_the_same_seed_gives_the_same_critic():
    x = torch.linspace(0, 1, 20)
    twice = [
        fit_critic_1d(
            x, x + 1, kind="one-sided", generator=torch.Generator().manual_seed(3), steps=5
        )
        for _ in range(2)
    ]
    assert torch.equal(twice[0].history, twice[1].history)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps > 0"),
        ({"rate": -1.0}, "rate > 0"),
        ({"penalty": -1.0}, "penalty >= 0"),
        ({"x": torch.zeros(3), "y": torch.zeros(2)}, "nothing to tell apart"),
        ({"x": torch.full((3,), float("inf"))}, "x must be finite, got inf"),
    ],
    ids=["no steps", "rate", "penalty", "one point", "infinite"],
)
def test_fit_critic_1d_rejects(options, message, rng):
    arguments = {"x": torch.zeros(3), "y": torch.ones(2), "kind": "clip", "generator": rng}
    arguments |= options
    with pytest.raises(ValueError, match=message):
        fit_critic_1d(arguments.pop("x"), arguments.pop("y"), **arguments)
