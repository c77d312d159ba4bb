"""derive.weight_scale: balance under gradient flow, and weights before a normalisation."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from derive.weight_scale import (
    ScaleInvariantQuadratic,
    angular_updates,
    balance_gap,
    corrected_decay,
    effective_lr,
    equilibrium,
    euler_products,
    exp_lr_schedule,
)

F64 = torch.float64


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(23)


def dense(rng, *widths, bias=False):
    parts = []
    for n, m in pairwise(widths):
        parts += [nn.Linear(n, m, bias=bias, dtype=F64), nn.ReLU()]
    net = nn.Sequential(*parts[:-1])
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=F64) / 2)
    return net


def problem(rng, n=20, d=3):
    x = torch.randn(n, d, generator=rng, dtype=F64)
    return x, x[:, :1].abs() - x[:, 1:2]


# --- along the orbit


def test_euler_products_are_the_derivative_in_the_outputs_scale(rng):
    net, (x, y) = dense(rng, 3, 6, 5, 1), problem(rng)
    found = euler_products(F.mse_loss(net(x), y), net)
    h = 1e-6
    with torch.no_grad():
        up, down = (F.mse_loss(c * net(x), y) for c in (1 + h, 1 - h))
    expected = ((up - down) / (2 * h)).expand(3)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


def test_euler_products_differ_when_there_are_biases(rng):
    net, (x, y) = dense(rng, 3, 6, 5, 1, bias=True), problem(rng)
    found = euler_products(F.mse_loss(net(x), y), net)
    assert (found.max() - found.min()).item() > 1e-3


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.4])
def test_the_gap_obeys_its_law_to_first_order_in_the_step(rng, bias, decay):
    """One explicit step changes it by -2 lambda h gap + O(h^2); the wrong rate is caught."""
    net, (x, y) = dense(rng, 3, 6, 5, 1, bias=bias), problem(rng)
    before, h = balance_gap(net).detach(), 1e-5
    squares = sum(p.square().sum() for p in net.parameters())
    loss = F.mse_loss(net(x), y) + decay / 2 * squares
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    with torch.no_grad():
        for p, g in zip(net.parameters(), gradients, strict=True):
            p -= h * g
    rate = (balance_gap(net).detach() - before) / h
    torch.testing.assert_close(rate, -2 * decay * before, rtol=1e-3, atol=1e-3)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(rate, -(decay + 0.1) * before, rtol=1e-3, atol=1e-3)


def test_balance_gap_counts_each_bias_with_its_own_layer(rng):
    net = dense(rng, 2, 3, 2, bias=True)
    a, b = net[0], net[2]
    expected = a.weight.square().sum() + a.bias.square().sum() - b.weight.square().sum()
    torch.testing.assert_close(balance_gap(net), expected[None])


# --- on the sphere


def test_the_quadratic_has_the_gradient_of_autograd_and_no_scale(rng):
    B = torch.randn(6, 6, generator=rng, dtype=F64)
    loss = ScaleInvariantQuadratic(B + B.T)
    w = torch.randn(4, 6, generator=rng, dtype=F64, requires_grad=True)
    (expected,) = torch.autograd.grad(loss(w).sum(), w)
    torch.testing.assert_close(loss.gradient(w.detach()), expected)
    torch.testing.assert_close(loss(3 * w), loss(w))
    torch.testing.assert_close(loss.gradient(3 * w.detach()), expected / 3)
    assert (loss.gradient(w.detach()) * w).sum(dim=1).abs().max() < 1e-12
    torch.testing.assert_close(loss(w)[0], 0.5 * w[0] @ loss.A @ w[0] / w[0].square().sum())


def test_effective_lr_is_what_turns_the_direction(rng):
    loss = ScaleInvariantQuadratic(torch.diag(torch.arange(1.0, 6, dtype=F64)))
    w = torch.randn(5, generator=rng, dtype=F64)
    unit = w / w.norm()
    large = w - 1e-4 * loss.gradient(w)
    small = unit - effective_lr(w, 1e-4) * loss.gradient(unit)
    torch.testing.assert_close(large / large.norm(), small / small.norm(), rtol=0, atol=1e-15)


def test_exponential_rates_replace_weight_decay(rng):
    loss = ScaleInvariantQuadratic(torch.diag(torch.arange(1.0, 6, dtype=F64)))
    eta, decay, steps = 0.3, 0.05, 100
    w = v = torch.randn(5, generator=rng, dtype=F64)
    for rate in exp_lr_schedule(eta, decay, steps):
        w = (1 - eta * decay) * w - eta * loss.gradient(w)
        v = v - rate * loss.gradient(v)
    torch.testing.assert_close(w, (1 - eta * decay) ** steps * v, rtol=1e-11, atol=1e-12)


def test_the_check_rejects_a_shifted_exponent(rng):
    loss = ScaleInvariantQuadratic(torch.diag(torch.arange(1.0, 6, dtype=F64)))
    eta, decay, steps = 0.3, 0.05, 100
    w = v = torch.randn(5, generator=rng, dtype=F64)
    for rate in exp_lr_schedule(eta, decay, steps) * (1 - eta * decay):
        w = (1 - eta * decay) * w - eta * loss.gradient(w)
        v = v - rate * loss.gradient(v)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(w / w.norm(), v / v.norm(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("eta", "decay", "size"), [(0.1, 0.5, 1.0), (1.0, 0.1, 3.0)])
def test_norms_settle_where_equilibrium_says(rng, eta, decay, size):
    square, turned = 4.0, 0.0
    for _ in range(500):  # the recursion of orthogonal steps, in the norm alone
        gradient = size / math.sqrt(square)
        new = (1 - eta * decay) ** 2 * square + (eta * gradient) ** 2
        turned = math.acos((1 - eta * decay) * math.sqrt(square / new))
        ratio = gradient / math.sqrt(square)
        square = new
    found = equilibrium(eta, decay, size)
    assert found.norm == pytest.approx(math.sqrt(square), rel=1e-9)
    assert found.angle == pytest.approx(turned, rel=1e-7)
    assert found.ratio == pytest.approx(ratio, rel=1e-9)
    assert found.norm != pytest.approx((eta * size**2 / (2 * decay)) ** 0.25, rel=1e-3)


def test_corrected_decay_holds_the_ratio_at_any_rate():
    for eta in (0.1, 0.05, 0.001):
        found = equilibrium(eta, corrected_decay(eta, 0.1, 0.01))
        assert found.ratio == pytest.approx(equilibrium(0.1, 0.01).ratio, rel=1e-3)
    assert equilibrium(0.001, 0.01).ratio == pytest.approx(math.sqrt(20), rel=1e-3)
    assert corrected_decay(0.0, 0.1, 0.01) == 0  # the end of a schedule


@pytest.mark.parametrize("angle", [1e-7, 1e-3, 1.0, 3.0])
def test_angular_updates_are_accurate_for_small_angles(angle):
    history = torch.tensor([[2.0, 0.0], [math.cos(angle), math.sin(angle)]], dtype=F64)
    assert angular_updates(history).item() == pytest.approx(angle, rel=1e-9)


def test_angular_updates_equal_the_arc_cosine(rng):
    history = torch.randn(9, 4, generator=rng, dtype=F64)
    H = history.numpy()
    cosines = (H[1:] * H[:-1]).sum(1) / np.linalg.norm(H[1:], axis=1)
    expected = np.arccos(cosines / np.linalg.norm(H[:-1], axis=1))
    np.testing.assert_allclose(angular_updates(history).numpy(), expected, rtol=1e-12)


# --- refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: effective_lr(torch.zeros(3), 0.1), "got 0"),
        (lambda: effective_lr(torch.ones(3), 0.0), "eta=0.0"),
        (lambda: exp_lr_schedule(0.1, -1.0, 3), "weight_decay must be >= 0, got -1.0"),
        (lambda: exp_lr_schedule(0.5, 2.0, 3), "must be below 1, got 1"),
        (lambda: exp_lr_schedule(0.5, 0.1, 0), "num_steps >= 1"),
        (lambda: exp_lr_schedule(0.5, 1.0, 10_000), "overflows"),
        (lambda: equilibrium(0.1, 0.0), "weight_decay > 0"),
        (lambda: equilibrium(0.1, 0.1, 0.0), "0 < gradient"),
        (lambda: equilibrium(math.inf, 0.1), "eta=inf"),
        (lambda: corrected_decay(0.2, 0.1, 0.1), "0.2 > 0.1"),
        (lambda: corrected_decay(-0.2, 0.1, 0.1), "eta=-0.2"),
        (lambda: angular_updates(torch.ones(1, 3)), "at least 2 weight vectors, got 1"),
        (lambda: angular_updates(torch.zeros(2, 3)), "got one of norm 0 at step 0"),
        (lambda: ScaleInvariantQuadratic(torch.ones(2, 3)), r"symmetric matrix, got shape \(2, 3"),
        (lambda: ScaleInvariantQuadratic(torch.tensor([[1.0, 2], [0, 1]])), "symmetric"),
        (lambda: balance_gap(nn.Sequential(nn.Linear(2, 2))), "only one"),
        (lambda: balance_gap(nn.Sequential(nn.Linear(2, 2), nn.SiLU(), nn.Linear(2, 2))),
         r"layer '1' \(SiLU\)"),
    ],
)  # fmt: skip
def test_bad_values_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_loss_of_another_network_is_refused(rng):
    net, other = dense(rng, 3, 4, 1), dense(rng, 3, 4, 1)
    x, _ = problem(rng)
    with pytest.raises(ValueError, match="does not depend on layer '0'"):
        euler_products(net(x).sum(), other)
    with pytest.raises(ValueError, match="depends on no weight"):
        euler_products(torch.ones(()), net)


def test_other_types_are_refused():
    with pytest.raises(TypeError):
        angular_updates(torch.ones(3, 2).long())
    with pytest.raises(TypeError):
        exp_lr_schedule(0.1, 0.1, 2.5)
