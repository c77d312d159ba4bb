"""derive.transport: Sinkhorn in its dense, batched, streaming and debiased forms."""

import pytest
import torch

from derive.transport import (
    ConvergenceError,
    certificate,
    certificate_points,
    cost_matrix,
    emd,
    entropic_cost,
    gaussian_sinkhorn,
    gibbs_plan,
    pad,
    sinkhorn,
    sinkhorn_divergence,
    sinkhorn_points,
)
from oracles import entropic_transport_by_scaling

F64 = torch.float64
INF = float("inf")
COSTS = ["sqeuclidean", "euclidean"]


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(8)


def weights(n, rng):
    p = torch.rand(n, generator=rng, dtype=F64) + 0.1
    return p / p.sum()


def problem(rng, n=5, m=7):
    return weights(n, rng), weights(m, rng), torch.rand(n, m, generator=rng, dtype=F64)


def points(rng, n=30, m=25, d=3):
    x = torch.randn(n, d, generator=rng, dtype=F64)
    y = 0.7 * torch.randn(m, d, generator=rng, dtype=F64) + 0.4
    return x, y, weights(n, rng), weights(m, rng)


# --- dense


@pytest.mark.parametrize("epsilon", [1, 0.1, 0.03])
def test_the_interval_contains_the_value_in_high_precision(epsilon, rng):
    p, q, C = problem(rng)
    truth = entropic_transport_by_scaling(p.tolist(), q.tolist(), C.tolist(), epsilon)
    for sweeps in (1, 3, 10):
        rough = sinkhorn(p, q, C, epsilon=epsilon, num_sweeps=sweeps)
        assert rough.num_iters == sweeps
        assert rough.lower <= truth <= rough.upper
    found = sinkhorn(p, q, C, epsilon=epsilon, tol=1e-10)
    assert found.lower <= truth <= found.upper
    assert (found.upper - found.lower).item() < 2e-10


def test_the_oracle_rejects_the_other_entropy(rng):
    p, q, C = problem(rng)
    truth = entropic_transport_by_scaling(p.tolist(), q.tolist(), C.tolist(), 0.1)
    found = sinkhorn(p, q, C, epsilon=0.1)
    plain = found.lower + 0.1 * ((p * p.log()).sum() + (q * q.log()).sum())
    assert abs(plain.item() - truth) > 0.1


def test_the_plan_has_the_right_sums_and_the_potentials_are_soft_minima(rng):
    p, q, C = problem(rng)
    found = sinkhorn(p, q, C, epsilon=0.05, tol=1e-12)
    G = gibbs_plan(p, q, C, found.f, found.g, epsilon=0.05)
    torch.testing.assert_close(G.sum(dim=1), p)
    torch.testing.assert_close(G.sum(dim=0), q)
    f = -0.05 * torch.logsumexp(q.log() + (found.g - C) / 0.05, dim=1)
    torch.testing.assert_close(found.f, f)


def test_the_reported_error_is_that_of_the_row_sums(rng):
    p, q, C = problem(rng)
    rough = sinkhorn(p, q, C, epsilon=0.05, num_sweeps=3)
    G = gibbs_plan(p, q, C, rough.f, rough.g, epsilon=0.05)
    torch.testing.assert_close(rough.marginal_error, (G.sum(dim=1) - p).abs().sum())
    torch.testing.assert_close(G.sum(dim=0), q)


def test_pot_finds_the_same_plan(rng):
    ot = pytest.importorskip("ot")
    p, q, C = problem(rng)
    found = sinkhorn(p, q, C, epsilon=0.1, tol=1e-12)
    plan = ot.bregman.sinkhorn_log(p.numpy(), q.numpy(), C.numpy(), 0.1, stopThr=1e-14)
    torch.testing.assert_close(
        gibbs_plan(p, q, C, found.f, found.g, epsilon=0.1),
        torch.from_numpy(plan),
        atol=1e-10,
        rtol=0,
    )


def test_costs_that_underflow_an_exponential_are_no_trouble(rng):
    p, q, C = problem(rng)
    assert torch.exp(-1e4 * C / 0.1).max() == 0.0  # what the textbook loop would start from
    found = sinkhorn(p, q, 1e4 * C, epsilon=300, tol=1e-10)
    small = sinkhorn(p, q, C, epsilon=0.03, tol=1e-10)
    torch.testing.assert_close(found.lower, 1e4 * small.lower)


def test_annealing_and_a_good_start_change_the_way_not_the_end(rng):
    p, q, C = problem(rng)
    plain = sinkhorn(p, q, C, epsilon=0.02, tol=1e-11)
    annealed = sinkhorn(p, q, C, epsilon=0.02, tol=1e-11, anneal=True)
    again = sinkhorn(p, q, C, epsilon=0.02, tol=1e-11, start=plain.g)
    for found in (annealed, again):
        torch.testing.assert_close(found.lower, plain.lower, atol=1e-10, rtol=0)
    assert again.num_iters == 1
    assert annealed.num_iters < plain.num_iters
    assert sinkhorn(p, q, C, epsilon=50, anneal=True).num_iters < 10  # nothing to anneal


def test_a_padded_batch_equals_its_problems(rng):
    problems = [problem(rng, n, m) for n, m in ((2, 3), (5, 4), (3, 6))]
    P, Q, C = pad(problems)
    assert C.shape == (3, 5, 6)
    C[P == 0] = 99.0  # what stands in the padding is of no account
    batch = sinkhorn(P, Q, C, epsilon=0.1, tol=1e-12)
    plans = gibbs_plan(P, Q, C, batch.f, batch.g, epsilon=0.1)
    bounds = certificate(P, Q, C, batch.f, plans)
    for k, (p, q, cost) in enumerate(problems):
        alone = sinkhorn(p, q, cost, epsilon=0.1, tol=1e-12)
        torch.testing.assert_close(batch.lower[k], alone.lower, atol=1e-10, rtol=0)
        plan = gibbs_plan(p, q, cost, alone.f, alone.g, epsilon=0.1)
        torch.testing.assert_close(plans[k, : len(p), : len(q)], plan, atol=1e-10, rtol=0)
        assert bounds.lower[k] <= emd(p, q, cost).cost <= bounds.upper[k]
    assert torch.isfinite(batch.f).all()
    assert plans.sum() == pytest.approx(3)


def test_forbidden_routes_carry_nothing(rng):
    _, q, C = problem(rng, 4, 4)
    p = torch.tensor([0.1, 0.3, 0.3, 0.3], dtype=F64)  # what row 0 sends has other places to go
    C[0, 1:3] = INF
    found = sinkhorn(p, q, C, epsilon=0.1, tol=1e-10)
    G = gibbs_plan(p, q, C, found.f, found.g, epsilon=0.1)
    assert (G[0, 1:3] == 0).all()
    truth = entropic_transport_by_scaling(
        p.tolist(), q.tolist(), torch.where(torch.isinf(C), 1e3, C).tolist(), 0.1
    )
    assert found.lower.item() == pytest.approx(truth, abs=1e-8)
    assert found.upper == INF  # no bound is known without a largest cost


def test_float32_intervals_contain_the_value_in_float64(rng):
    P, Q, C = (torch.stack(part) for part in zip(*(problem(rng) for _ in range(200)), strict=True))
    truth = sinkhorn(P, Q, C, epsilon=0.05, tol=1e-12).lower
    single = sinkhorn(P.float(), Q.float(), C.float(), epsilon=0.05, tol=1e-5)
    assert single.f.dtype == torch.float32
    assert ((single.lower <= truth) & (truth <= single.upper)).all()
    assert (single.upper - single.lower).max() < 1e-4


def test_gradients_of_the_value_are_differences(rng):
    p, q, C = problem(rng, 3, 4)
    C.requires_grad_()
    p.requires_grad_()
    entropic_cost(p, q, C, epsilon=0.1, tol=1e-12).backward()
    h = 1e-5
    for i, j in ((0, 0), (2, 3)):
        step = torch.zeros_like(C)
        step[i, j] = h
        values = [entropic_cost(p, q, C + s * step, epsilon=0.1, tol=1e-12) for s in (1, -1)]
        difference = (values[0] - values[1]).item() / (2 * h)
        assert C.grad[i, j].item() == pytest.approx(difference, abs=1e-8)
    step = torch.tensor([h, -h, 0.0], dtype=F64)  # stays among the probabilities
    values = [entropic_cost(p + s * step, q, C, epsilon=0.1, tol=1e-12) for s in (1, -1)]
    difference = (values[0] - values[1]).item() / (2 * h)
    assert (p.grad[0] - p.grad[1]).item() == pytest.approx(difference, abs=1e-7)


HALF = torch.tensor([0.5, 0.5], dtype=F64)
ONE = torch.ones(2, 2, dtype=F64)
SKEW = torch.tensor([[0.0, 1.0], [0.7, 0.1]], dtype=F64)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((HALF, HALF, ONE), {"epsilon": 0.0}, ValueError, "epsilon must be positive"),
        ((HALF, HALF, ONE), {"epsilon": INF}, ValueError, "got inf"),
        ((2 * HALF, HALF, ONE), {"epsilon": 1.0}, ValueError, "p must sum to 1, got 2"),
        ((HALF, HALF, -INF * ONE), {"epsilon": 1.0}, ValueError, "no -inf"),
        ((HALF, HALF, INF * ONE), {"epsilon": 1.0}, ValueError, "infeasible"),
        ((HALF, HALF, ONE), {"epsilon": 1.0, "max_iters": 0}, ValueError, "at least one sweep"),
        ((HALF, HALF, ONE), {"epsilon": 1.0, "tol": 1e-17}, ValueError, "below what torch.float64"),
        ((HALF.float(), HALF.float(), ONE.float()), {"epsilon": 1.0}, ValueError, "torch.float32"),
        ((HALF, HALF, torch.ones(2, 3, dtype=F64)), {"epsilon": 1.0}, TypeError, "m=2"),
        (
            (HALF, torch.tensor([0.3, 0.7], dtype=F64), SKEW),
            {"epsilon": 0.01, "max_iters": 2},
            ConvergenceError,
            "after 2 sweeps at epsilon=0.01; raise epsilon",
        ),
    ],
    ids=[
        "no entropy",
        "infinite entropy",
        "no probability",
        "cost -inf",
        "no route",
        "no sweep",
        "unreachable tolerance",
        "float32 and the default tolerance",
        "shapes",
        "no convergence",
    ],
)
def test_sinkhorn_rejects(arguments, options, error, message):
    with pytest.raises(error, match=message):
        sinkhorn(*arguments, **options)


def test_pad_rejects_nothing_and_parts_that_do_not_fit():
    with pytest.raises(ValueError, match="at least one problem"):
        pad([])
    with pytest.raises(ValueError, match="problem 0 must have shapes"):
        pad([(HALF, HALF, torch.ones(2, 3))])


# --- streaming


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("block", [None, 1, 60, 10_000])
def test_streaming_equals_the_dense_sweeps(cost, block, rng):
    x, y, p, q = points(rng)
    dense = sinkhorn(p, q, cost_matrix(x, y, cost=cost), epsilon=0.5, num_sweeps=7)
    found = sinkhorn_points(x, y, p=p, q=q, cost=cost, epsilon=0.5, num_sweeps=7, block=block)
    torch.testing.assert_close(found.f, dense.f)
    torch.testing.assert_close(found.g, dense.g)
    torch.testing.assert_close(found.lower, dense.lower)
    torch.testing.assert_close(found.upper, dense.upper)
    torch.testing.assert_close(found.marginal_error, dense.marginal_error)


@pytest.mark.parametrize("cost", COSTS)
def test_the_streaming_certificate_equals_the_dense_one(cost, rng):
    x, y, p, q = points(rng)
    p[3] = 0.0
    p /= p.sum()
    C = cost_matrix(x, y, cost=cost)
    found = sinkhorn_points(x, y, p=p, q=q, cost=cost, epsilon=0.3, num_sweeps=4)
    plan = gibbs_plan(p, q, C, found.f, found.g, epsilon=0.3)
    dense = certificate(p, q, C, found.f, plan)
    before = p.clone()
    bounds = certificate_points(x, y, found.f, found.g, epsilon=0.3, p=p, q=q, cost=cost, block=70)
    torch.testing.assert_close(bounds.lower, dense.lower)
    torch.testing.assert_close(bounds.upper, dense.upper)
    assert bounds.lower <= emd(p, q, C).cost <= bounds.upper
    assert torch.equal(p, before)


@pytest.mark.parametrize("cost", COSTS)
def test_any_potentials_are_certified(cost, rng):
    x, y, p, q = points(rng, 9, 11)
    truth = emd(p, q, cost_matrix(x, y, cost=cost)).cost
    for _ in range(20):
        f, g = (torch.randn(n, generator=rng, dtype=F64) for n in (9, 11))
        bounds = certificate_points(x, y, f, g, epsilon=0.2, p=p, q=q, cost=cost)
        assert bounds.lower <= truth <= bounds.upper


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("far", [0.0, 100.0])
def test_streaming_intervals_in_float32_contain_the_truth(cost, far, rng):
    for _ in range(20):
        x, y, p, q = points(rng, 12, 14)
        # float32 points are the data; their exact distances are the truth
        x, y = (x + far).float(), (y + far).float()
        C = cost_matrix(x.double(), y.double(), cost=cost)
        entropic = sinkhorn(p, q, C, epsilon=0.3, tol=1e-12).lower
        single = {"p": p.float(), "q": q.float(), "cost": cost, "epsilon": 0.3}
        found = sinkhorn_points(x, y, tol=1e-5, **single)
        assert found.lower <= entropic <= found.upper
        bounds = certificate_points(x, y, found.f, found.g, **single)
        assert bounds.lower <= emd(p, q, C).cost <= bounds.upper


def test_uniform_weights_are_the_default_and_annealing_helps(rng):
    x, y, _, _ = points(rng, 20, 20)
    even = torch.full((20,), 0.05, dtype=F64)
    found = sinkhorn_points(x, y, epsilon=0.1, tol=1e-8, anneal=True)
    plain = sinkhorn_points(x, y, p=even, q=even, epsilon=0.1, tol=1e-8)
    torch.testing.assert_close(found.lower, plain.lower, atol=1e-6, rtol=0)
    assert found.num_iters < plain.num_iters


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": -1.0}, "epsilon must be positive"),
        (
            {"x": torch.full((30, 3), float("nan"), dtype=F64)},
            "x must be finite, got nan at .0, 0.",
        ),
        ({"y": torch.zeros(0, 3, dtype=F64), "q": None}, "the points of q must hold at least"),
        ({"p": torch.ones(30, dtype=F64)}, "p must sum to 1"),
        ({"block": 0}, "block must be at least 1"),
    ],
    ids=["epsilon", "NaN", "empty", "no probability", "block"],
)
def test_sinkhorn_points_rejects(change, message, rng):
    x, y, p, q = points(rng)
    arguments = {"x": x, "y": y, "p": p, "q": q, "epsilon": 0.3} | change
    with pytest.raises(ValueError, match=message):
        sinkhorn_points(arguments.pop("x"), arguments.pop("y"), **arguments)


def test_certificate_points_rejects_potentials_that_are_not_finite(rng):
    x, y, p, q = points(rng)
    with pytest.raises(ValueError, match="finite potentials"):
        certificate_points(x, y, p / 0, q, epsilon=1.0)


# --- divergence


@pytest.mark.parametrize("cost", COSTS)
def test_the_divergence_is_the_cross_term_less_the_self_terms(cost, rng):
    x, y, p, q = points(rng, 12, 9)
    terms = [
        sinkhorn(a, b, cost_matrix(u, v, cost=cost), epsilon=0.5, tol=1e-12).lower
        for a, b, u, v in ((p, q, x, y), (p, p, x, x), (q, q, y, y))
    ]
    expected = terms[0] - (terms[1] + terms[2]) / 2
    found = sinkhorn_divergence(x, y, p=p, q=q, cost=cost, epsilon=0.5)
    torch.testing.assert_close(found.value, expected, atol=1e-8, rtol=0)
    assert found.lower <= expected <= found.upper
    assert (found.upper - found.lower).item() < 1e-6
    assert min(terms) > 0


@pytest.mark.parametrize("cost", COSTS)
def test_the_divergence_of_a_cloud_from_itself_is_zero_and_else_positive(cost, rng):
    x, y, p, _ = points(rng, 15, 15)
    for epsilon in (2, 10):  # below, far points keep to themselves and sweeps are slow
        options = {"cost": cost, "epsilon": epsilon, "tol": 1e-7}
        own = sinkhorn_divergence(x, x.clone(), p=p, q=p, **options)
        assert own.value.item() == pytest.approx(0, abs=1e-5)
        assert sinkhorn_divergence(x, y, **options).lower > 0


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("debias", [True, False])
def test_gradients_of_the_divergence_are_differences(cost, debias, rng):
    x, y, p, q = points(rng, 6, 5, d=2)
    options = {"q": q, "cost": cost, "epsilon": 0.5, "debias": debias, "tol": 1e-12}
    x.requires_grad_()
    y.requires_grad_()
    p.requires_grad_()
    sinkhorn_divergence(x, y, p=p, **options).value.backward()
    h = 1e-5
    for tensor, place in ((x, (1, 0)), (y, (3, 1))):
        step = torch.zeros_like(tensor)
        step[place] = h
        values = [
            sinkhorn_divergence(
                x + (s * step if tensor is x else 0),
                y + (s * step if tensor is y else 0),
                p=p,
                **options,
            ).value.item()
            for s in (1, -1)
        ]
        assert tensor.grad[place].item() == pytest.approx(
            (values[0] - values[1]) / (2 * h), abs=1e-7
        )
    step = torch.tensor([h, -h, 0, 0, 0, 0], dtype=F64)
    values = [sinkhorn_divergence(x, y, p=p + s * step, **options).value.item() for s in (1, -1)]
    difference = (values[0] - values[1]) / (2 * h)
    assert (p.grad[0] - p.grad[1]).item() == pytest.approx(difference, abs=1e-7)


def test_the_divergence_follows_the_normal_law(rng):
    x = torch.randn(4000, 1, generator=rng)
    x = (x - x.mean()) / x.std()
    one = torch.eye(1, dtype=F64)
    found = sinkhorn_divergence(x, 2 * x + 1, epsilon=1.0, tol=1e-4)
    terms = [
        gaussian_sinkhorn(m * one[0], s * one, n * one[0], t * one, epsilon=1.0)
        for m, s, n, t in ((0, 1, 1, 4), (0, 1, 0, 1), (0, 4, 0, 4))
    ]
    # 4000 points represent the law to about 1 / sqrt(4000), times a spread of about 4
    assert found.value.item() == pytest.approx(
        (terms[0] - (terms[1] + terms[2]) / 2).item(), abs=0.2
    )


def test_float32_and_annealing_in_the_divergence(rng):
    x, y, _, _ = points(rng, 20, 30)
    exact = sinkhorn_divergence(x, y, epsilon=0.2, tol=1e-11)
    single = sinkhorn_divergence(x.float(), y.float(), epsilon=0.2, anneal=True)
    assert single.value.dtype == torch.float32
    assert single.lower <= exact.value <= single.upper


def test_a_self_term_that_does_not_converge_is_an_error(rng):
    x, y, _, _ = points(rng)
    with pytest.raises(ConvergenceError, match="after 2 sweeps"):
        sinkhorn_divergence(x, y, epsilon=0.01, max_iters=2)
    from derive.transport.divergence import _self_transport

    even = torch.full((30,), 1 / 30, dtype=F64)
    with pytest.raises(ConvergenceError, match="after 2 sweeps"):
        _self_transport(x, even, "sqeuclidean", 1.0, False, tol=1e-9, max_iters=2)
