"""derive.transport: what only a sharp number tells: rounding room, limits, the critic's steps."""

import itertools
import math

import pytest
import torch

from derive.transport import (
    ConvergenceError,
    bures_wasserstein,
    certificate_points,
    cost_matrix,
    emd,
    fit_critic_1d,
    gaussian_map,
    sinkhorn,
    sinkhorn_divergence,
    sinkhorn_points,
    wasserstein_1d,
)
from derive.transport._sweeps import _halvings
from derive.transport.critics import _between
from derive.transport.divergence import _self_transport

F64 = torch.float64
UNIT = 2.0**-23  # float32 has this much between 1 and the next number


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(12)


# --- the room that intervals leave for rounding


def test_the_room_of_a_dense_interval_is_sixteen_units_of_cost_and_entropy():
    one = torch.ones(1)
    found = sinkhorn(one, one, torch.tensor([[4.0]]), epsilon=3.0, num_sweeps=1)
    room = 16 * UNIT * (4 + 3 * math.log(2))
    assert found.marginal_error == 0
    assert (4 - found.lower).item() == pytest.approx(room, rel=1e-6)
    assert (found.upper - 4).item() == pytest.approx(room, rel=1e-6)


def test_the_room_of_a_streaming_interval_grows_with_dimension_cost_and_entropy():
    # Two points at distance 2: each is 1 from the centre, so no pair costs more than 4. The
    # potentials themselves are rounded, which is well below one part in a hundred of the room.
    x = torch.tensor([[0.0, 0.0, 0.0]])
    y = torch.tensor([[2.0, 0.0, 0.0]])
    found = sinkhorn_points(x, y, epsilon=3.0, num_sweeps=1)
    room = 2 * 8 * (3 + 4) * UNIT * 4 + 16 * UNIT * 3 * math.log(2)
    assert (4 - found.lower).item() == pytest.approx(room, rel=0.01)
    assert (found.upper - 4).item() == pytest.approx(room, rel=0.01)
    twice = sinkhorn_points(x, y, cost="euclidean", epsilon=3.0, num_sweeps=1)
    room = 2 * 8 * (3 + 4) * UNIT * 2 + 16 * UNIT * 3 * math.log(2)
    assert (2 - twice.lower).item() == pytest.approx(room, rel=0.01)


def test_a_certificate_of_points_is_widened_by_what_its_documentation_says():
    x, y, f = torch.tensor([[0.0]]), torch.tensor([[2.0]]), torch.tensor([1.0])
    bounds = certificate_points(x, y, f, 2 * f, epsilon=1.0)
    room = 8 * (1 + 4) * UNIT * (4 + 1 + 2)
    assert (4 - bounds.lower).item() == pytest.approx(room, rel=1e-6)
    assert (bounds.upper - 4).item() == pytest.approx(room, rel=1e-6)


# --- limits, from both sides


@pytest.mark.parametrize(("dtype", "size"), [(F64, 1.2e154), (torch.float32, 1.5e19)])
@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
def test_points_whose_squared_distance_overflows_are_refused(dtype, size, cost):
    x = torch.tensor([[size]], dtype=dtype)
    with pytest.raises(ValueError, match="the costs overflow"):
        sinkhorn_points(x, -x, epsilon=1.0, cost=cost, num_sweeps=1)
    nearer = sinkhorn_points(x / 4, -x / 4, epsilon=1.0, cost=cost, num_sweeps=1)
    assert nearer.lower.isfinite()


@pytest.mark.parametrize(("start", "end"), [(8.0, 1.0), (9.0, 1.0), (1.0, 0.3), (0.7, 0.69)])
def test_annealing_halves_from_the_start_until_one_more_would_reach_the_end(start, end):
    found = _halvings(start, end)
    assert found[0] == start
    assert all(b == a / 2 for a, b in itertools.pairwise(found))
    assert found[-1] / 2 <= end < found[-1]
    assert _halvings(end, start) == []


def test_totals_may_differ_by_a_hundred_millionth_and_not_by_twice_that():
    p = torch.tensor([0.5, 0.5], dtype=F64)
    C = 1 - torch.eye(2, dtype=F64)
    assert emd(p, p * (1 + 0.7e-8), C).cost == pytest.approx(0, abs=1e-7)
    with pytest.raises(ValueError, match="equal totals"):
        emd(p, p * (1 + 1.6e-8), C)


def test_the_last_quantile_of_the_lighter_sample_is_its_largest_value():
    x = torch.tensor([0.0, 1.0], dtype=F64)
    p = torch.tensor([0.5, 0.5], dtype=F64)
    lighter = torch.tensor([0.5, 0.5 - 4e-9], dtype=F64)
    assert wasserstein_1d(x, x + 3, p, lighter).item() == pytest.approx(3, abs=1e-7)
    assert wasserstein_1d(x, x + 3, lighter, p).item() == pytest.approx(3, abs=1e-7)


def test_a_covariance_is_flat_when_its_width_is_below_the_resolution():
    eps = torch.finfo(F64).eps
    narrow, flat = (torch.diag(torch.tensor([1.0, k * eps], dtype=F64)) for k in (1.5, 0.7))
    found = gaussian_map(narrow, torch.eye(2, dtype=F64))
    assert found[1, 1].item() == pytest.approx((1.5 * eps) ** -0.5, rel=1e-6)
    with pytest.raises(ValueError, match="no map spreads a flat law"):
        gaussian_map(flat, torch.eye(2, dtype=F64))


def test_a_covariance_may_be_negative_by_its_rounding_and_no_more():
    zero, one = torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64)
    less, more = (torch.diag(torch.tensor([1.0, -k * 1e-10], dtype=F64)) for k in (0.7, 1.4))
    assert bures_wasserstein(zero, less, zero, one).item() == pytest.approx(1, abs=1e-8)
    with pytest.raises(ValueError, match="positive semi-definite, got an eigenvalue"):
        bures_wasserstein(zero, more, zero, one)
    skew = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=F64)
    skew[0, 1] += 0.7e-10
    assert bures_wasserstein(zero, skew, zero, skew).item() == pytest.approx(0, abs=1e-8)
    skew[0, 1] += 0.7e-10
    with pytest.raises(ValueError, match="must be symmetric"):
        bures_wasserstein(zero, skew, zero, one)


def test_a_map_of_commuting_covariances_is_the_root_of_their_ratio(rng):
    turn = torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=F64)).Q
    a, b = torch.tensor([1.0, 4.0, 9.0], dtype=F64), torch.tensor([25.0, 0.0, 4.0], dtype=F64)
    S1, S2 = (turn @ torch.diag(values) @ turn.T for values in (a, b))
    expected = turn @ torch.diag((b / a).sqrt()) @ turn.T
    torch.testing.assert_close(gaussian_map(S1, S2), expected, atol=1e-7, rtol=0)
    zero = torch.zeros(3, dtype=F64)
    # Widths 1, 2, 3 become 5, 0, 2: 16 + 4 + 1.
    assert bures_wasserstein(zero, S1, zero, S2).item() == pytest.approx(
        21, rel=1e-7
    )  # the root of a zero


def test_the_last_sweep_that_is_allowed_may_be_the_one_that_converges(rng):
    x = torch.randn(10, 2, generator=rng, dtype=F64)
    even = torch.full((10,), 0.1, dtype=F64)
    options = ("sqeuclidean", 1.0, False)
    free = _self_transport(x, even, *options, tol=1e-9, max_iters=1000)
    last = free.num_iters
    assert 1 < last < 1000
    assert torch.equal(_self_transport(x, even, *options, tol=1e-9, max_iters=last).f, free.f)
    with pytest.raises(ConvergenceError, match=f"after {last - 1} sweeps"):
        _self_transport(x, even, *options, tol=1e-9, max_iters=last - 1)


def test_rounding_leaves_no_cost_between_a_point_and_itself(rng):
    x = 1000 * torch.randn(60, 7, generator=rng)
    assert cost_matrix(x, x.clone()).diagonal().max() > 0  # that is what is taken out
    assert cost_matrix(x, x).diagonal().abs().max() == 0


# --- gradients of the divergence with respect to both weights


def test_the_divergence_has_a_gradient_in_the_weights_of_the_second_cloud(rng):
    x, y = (torch.randn(5, 2, generator=rng, dtype=F64) for _ in range(2))
    q = torch.full((5,), 0.2, dtype=F64, requires_grad=True)
    step = 1e-4 * torch.tensor([1.0, 0.0, -1.0, 0.0, 0.0], dtype=F64)

    def value(q):
        return sinkhorn_divergence(x, y, q=q, epsilon=0.5, debias=False, tol=1e-11).value

    value(q).backward()
    with torch.no_grad():
        difference = (value(q + step) - value(q - step)) / 2
    assert (q.grad * step).sum().item() == pytest.approx(difference.item(), rel=1e-5)


# --- the trained critic, against torch's own layers and Adam


def critic_by_torch(x, y, kind, seed, width, steps, clip, rate=0.01, penalty=10.0):
    """The training as published, by modules: (gain before each step, final slopes' bound)."""
    generator = torch.Generator().manual_seed(seed)
    side, place, size = torch.rand(3, width, generator=generator, dtype=F64)
    low, high = torch.cat([x, y]).min(), torch.cat([x, y]).max()
    net = torch.nn.Sequential(
        torch.nn.Linear(1, width), torch.nn.ReLU(), torch.nn.Linear(width, 1, bias=False)
    ).double()
    sign = 1 - 2 * (side < 0.5).double()
    with torch.no_grad():
        net[0].weight.copy_(sign[:, None])
        net[0].bias.copy_(-sign * torch.lerp(low, high, place))  # kinks between low and high
        net[2].weight.copy_((2 * size - 1)[None] / width)
    adam = torch.optim.Adam(net.parameters(), lr=rate, betas=(0.9, 0.99))
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.0, total_iters=steps)

    def clamp():
        if kind == "clip":
            with torch.no_grad():
                for w in net.parameters():
                    w.clamp_(-clip, clip)

    def gain():
        return net(x[:, None]).mean() - net(y[:, None]).mean()

    clamp()
    gains = []
    for _ in range(steps):
        loss = -gain()
        gains.append(-loss.item())
        if kind != "clip":
            first, second, share = torch.rand(
                3, max(len(x), len(y)), generator=generator, dtype=F64
            )
            x_end, y_end = x[(first * len(x)).long()], y[(second * len(y)).long()]
            between = ((1 - share) * x_end + share * y_end).requires_grad_()
            [slope] = torch.autograd.grad(net(between[:, None]).sum(), between, create_graph=True)
            excess = slope.abs() - 1
            if kind == "one-sided":
                excess = excess.clamp(min=0)
            loss = loss + penalty * (excess**2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        falling.step()
        clamp()
    fine = torch.linspace(low.item(), high.item(), 20_001, dtype=F64).requires_grad_()
    [slopes] = torch.autograd.grad(net(fine[:, None]).sum(), fine)
    return torch.tensor(gains, dtype=F64), gain().detach(), slopes.abs().max()


@pytest.mark.parametrize("kind", ["clip", "two-sided", "one-sided"])
def test_the_training_of_a_critic_is_that_of_torchs_own_layers_and_adam(kind, rng):
    x = 2 * torch.randn(9, generator=rng, dtype=F64) + 3
    y = torch.randn(13, generator=rng, dtype=F64)
    options = {"kind": kind, "width": 8, "steps": 25, "clip": 0.3}
    found = fit_critic_1d(x, y, generator=torch.Generator().manual_seed(5), **options)
    history, estimate, lipschitz = critic_by_torch(x, y, seed=5, **options)
    torch.testing.assert_close(found.history, history, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.estimate, estimate, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.lipschitz, lipschitz, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.lower, estimate / lipschitz, rtol=1e-6, atol=1e-9)


def test_a_draw_that_float32_rounds_to_one_takes_the_last_member(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *s, **_: torch.full(s, 1 - 2.0**-40, dtype=F64))
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([5.0, 6.0, 7.0])
    assert _between(x, y, torch.Generator()).tolist() == [7.0, 7.0, 7.0]
