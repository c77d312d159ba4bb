"""derive.weight_scale: moves along the orbit, norms and penalties."""

import math
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn
from torch.nn.utils import parametrizations

from derive.weight_scale import (
    ConvergenceError,
    balance_,
    balance_attention,
    balance_neurons_,
    gauge_min_l2,
    intrinsic_norm,
    l2_penalty,
    layer_norms,
    path_norm,
    rescale_,
    spectral_norm,
    weissi,
)
from oracles import path_norm_by_listing, rescaled_by_hand

F64 = torch.float64


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(17)


def randomise(net, rng):
    """Weights and biases from a generator, all of them away from zero on average."""
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=p.dtype))
    return net


def dense(rng, *widths, bias=True, activation=nn.ReLU):
    parts = []
    for n, m in pairwise(widths):
        parts += [nn.Linear(n, m, bias=bias, dtype=F64), activation()]
    return randomise(nn.Sequential(*parts[:-1]), rng)


def convolutional(rng):
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.LeakyReLU(0.2), nn.MaxPool2d(2)),
        nn.Dropout(0.5),
        nn.ConvTranspose2d(3, 2, 2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    return randomise(net.double().eval(), rng)


# --- rescaling


def test_rescale_multiplies_the_output_by_the_product_of_the_factors(rng):
    for net, shape in ((dense(rng, 4, 7, 5, 2), (9, 4)), (convolutional(rng), (9, 1, 6, 6))):
        x = torch.randn(shape, generator=rng, dtype=F64)
        before = net(x)
        assert rescale_(net, [3.0, 0.25, 5]) is net
        torch.testing.assert_close(net(x), 3.75 * before)


def test_rescale_equals_the_rule_written_out(rng):
    net = dense(rng, 3, 6, 6, 2)
    gammas = [0.5, 3.0, 1.7]
    weights = [layer.weight.detach().clone() for layer in net if isinstance(layer, nn.Linear)]
    biases = [layer.bias.detach().clone() for layer in net if isinstance(layer, nn.Linear)]
    x = torch.randn(5, 3, generator=rng, dtype=F64)
    expected = rescaled_by_hand(weights, biases, gammas, x)
    torch.testing.assert_close(rescale_(net, torch.tensor(gammas))(x), expected)


@pytest.mark.parametrize("rule", [lambda gammas: gammas[-1], lambda gammas: 1.0])
def test_the_check_rejects_other_rules_for_the_biases(rng, rule):
    net = dense(rng, 3, 6, 6, 2)
    weights = [layer.weight.detach().clone() for layer in net if isinstance(layer, nn.Linear)]
    biases = [layer.bias.detach().clone() for layer in net if isinstance(layer, nn.Linear)]
    x = torch.randn(5, 3, generator=rng, dtype=F64)
    gammas = [2.0, 1.0, 0.5]
    wrong = rescaled_by_hand(weights, biases, gammas, x, bias_factor=rule)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(wrong, net(x))


def test_rescale_without_the_check_changes_the_function_of_a_smooth_network(rng):
    net = dense(rng, 3, 6, 2, activation=nn.GELU)
    x = torch.randn(5, 3, generator=rng, dtype=F64)
    before = net(x)
    after = rescale_(deepcopy(net), [2.0, 0.5], check=False)(x)
    assert (after - before).abs().max() > 1e-2


def test_balance_makes_the_norms_equal_and_keeps_the_function(rng):
    for net, shape in ((dense(rng, 4, 7, 5, 2), (9, 4)), (convolutional(rng), (9, 1, 6, 6))):
        x = torch.randn(shape, generator=rng, dtype=F64)
        before, smallest = net(x), gauge_min_l2(net).item()
        gammas = balance_(net)
        assert gammas.prod().item() == pytest.approx(1, rel=1e-12)
        torch.testing.assert_close(net(x), before, rtol=1e-10, atol=1e-10)
        norms = layer_norms(net)
        torch.testing.assert_close(norms, norms[:1].expand(3))
        assert l2_penalty(net).item() == pytest.approx(smallest, rel=1e-12)


def test_the_orbits_minimum_is_what_an_optimiser_finds(rng):
    squares = layer_norms(dense(rng, 4, 7, 5, 2)).square().detach().numpy()

    def cost(u):
        return (np.exp(2 * np.append(u, -u.sum())) * squares).sum()

    expected = minimize(cost, np.zeros(2), tol=1e-12).fun
    rng.manual_seed(17)
    assert gauge_min_l2(dense(rng, 4, 7, 5, 2)).item() == pytest.approx(expected, rel=1e-9)


def test_fifty_layers_of_float32_do_not_overflow(rng):
    net = nn.Sequential(*[nn.Linear(3, 3, bias=False) for _ in range(50)])
    rescale_(randomise(net, rng), [20.0] * 50)
    assert torch.isinf(layer_norms(net).prod())
    assert intrinsic_norm(net).item() == pytest.approx(
        sum(math.log(layer.weight.norm().item()) for layer in net), rel=1e-5
    )
    balance_(net)
    assert all(p.isfinite().all() for p in net.parameters())


# --- neurons and attention


@pytest.mark.parametrize("widths", [(4, 6, 3), (4, 8, 7, 6, 2)])
def test_balanced_neurons_have_equal_norms_on_both_sides(rng, widths):
    net = dense(rng, *widths)
    x = torch.randn(9, 4, generator=rng, dtype=F64)
    before, start = net(x), l2_penalty(net).item()
    done = balance_neurons_(net)
    torch.testing.assert_close(net(x), before, rtol=1e-9, atol=1e-9)
    linear = [layer.weight for layer in net if isinstance(layer, nn.Linear)]
    for W, after in pairwise(linear):
        torch.testing.assert_close(W.norm(dim=1), after.norm(dim=0), rtol=1e-6, atol=0)
    assert l2_penalty(net).item() < start
    assert [len(factor) for factor in done.factors] == list(widths[1:-1])
    assert (done.num_sweeps == 1) == (len(widths) == 3)


def test_two_layers_of_balanced_neurons_have_the_group_norm(rng):
    net = dense(rng, 5, 8, 1, bias=False)
    W, a = net[0].weight.detach().clone(), net[2].weight.detach()[0].clone()
    balance_neurons_(net)
    expected = (a.abs() * W.norm(dim=1)).sum().item()
    assert l2_penalty(net).item() / 2 == pytest.approx(expected, rel=1e-12)
    assert (a.norm() * W.norm()).item() > 1.05 * expected  # layers in place of neurons


def test_deep_neuron_balance_is_the_minimum_an_optimiser_finds(rng):
    net = dense(rng, 3, 4, 3, 2, bias=False)
    W1, W2, W3 = (layer.weight.detach().numpy().copy() for layer in net[::2])

    def cost(u):
        c, d = np.exp(u[:4]), np.exp(u[4:])
        moved = (c[:, None] * W1, d[:, None] * W2 / c, W3 / d)
        return sum((W**2).sum() for W in moved)

    balance_neurons_(net, tol=1e-12)
    assert l2_penalty(net).item() == pytest.approx(minimize(cost, np.zeros(7)).fun, rel=1e-8)


def test_balance_attention_reaches_the_nuclear_norm_with_the_same_product(rng):
    W_Q, W_K = torch.randn(2, 3, 7, generator=rng, dtype=F64)
    pair = balance_attention(W_Q, W_K)
    torch.testing.assert_close(pair.W_Q.mT @ pair.W_K, W_Q.mT @ W_K)
    nuclear = torch.linalg.matrix_norm(W_Q.mT @ W_K, ord="nuc")
    half = (pair.W_Q.square().sum() + pair.W_K.square().sum()) / 2
    torch.testing.assert_close(half, nuclear)
    assert half < (W_Q.square().sum() + W_K.square().sum()) / 2
    assert half < W_Q.norm() * W_K.norm()  # one factor for all dimensions is not enough


# --- norms and penalties


def test_layer_norms_equal_numpys(rng):
    net = dense(rng, 4, 7, 2)
    weights = [layer.weight.detach().numpy() for layer in net[::2]]
    expected = torch.tensor([np.linalg.norm(W) for W in weights], dtype=F64)
    torch.testing.assert_close(layer_norms(net).detach(), expected)
    expected = torch.tensor([np.linalg.norm(W, ord=2) for W in weights], dtype=F64)
    torch.testing.assert_close(layer_norms(net, kind="spec").detach(), expected)


def test_invariants_stay_on_the_orbit_and_l2_does_not(rng):
    net = dense(rng, 4, 7, 5, 2, bias=False)
    moved = rescale_(deepcopy(net), [4.0, 0.5, 0.5])
    for invariant in (
        intrinsic_norm,
        gauge_min_l2,
        path_norm,
        lambda net: path_norm(net, order=1),
        lambda net: intrinsic_norm(net, kind="spec"),
        lambda net: weissi(net, lambda_1=0.3, lambda_2=0.7),
    ):
        torch.testing.assert_close(invariant(moved), invariant(net))
    assert l2_penalty(moved).item() > 1.5 * l2_penalty(net).item()


def test_weissi_equals_its_formula_and_its_gradient(rng):
    net = dense(rng, 4, 7, 2)
    weights = [layer.weight for layer in net[::2]]
    expected = sum(0.3 * W.norm().log() + 0.7 * W.abs().sum() / W.norm() for W in weights)
    torch.testing.assert_close(weissi(net, lambda_1=0.3, lambda_2=0.7), expected)
    gradient = torch.autograd.grad(weissi(net, lambda_1=1), weights[0])[0]
    torch.testing.assert_close(gradient, weights[0] / weights[0].square().sum())
    with pytest.raises(AssertionError):
        torch.testing.assert_close(gradient, weights[0] / weights[0].norm())


def test_weissi_has_a_floor(rng):
    net = rescale_(dense(rng, 4, 7, 2), [1e-30, 1.0])
    value = weissi(net, lambda_1=1, floor=1e-12)
    expected = math.log(1e-12) + net[2].weight.norm().log().item()
    assert value.item() == pytest.approx(expected)
    assert torch.autograd.grad(value, net[0].weight)[0].abs().max() == 0


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_path_norm_equals_the_list_of_all_paths(rng, order, bias):
    net = dense(rng, 3, 4, 3, 2, bias=bias)
    weights = [layer.weight.tolist() for layer in net[::2]]
    biases = [layer.bias.tolist() if bias else None for layer in net[::2]]
    expected = path_norm_by_listing(weights, biases, order)
    assert path_norm(net, order=order).item() == pytest.approx(expected, rel=1e-12)


def test_path_norm_does_not_see_neurons_balanced(rng):
    net = dense(rng, 4, 7, 5, 2)
    before = path_norm(net).item()
    balance_neurons_(net)
    assert path_norm(net).item() == pytest.approx(before, rel=1e-9)


def test_path_norm_of_a_convolution_is_that_of_its_matrix(rng):
    conv = nn.Conv1d(1, 2, 3, dtype=F64)
    net = randomise(nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(8, 1, dtype=F64)), rng)
    same = nn.Sequential(nn.Linear(6, 8, dtype=F64), nn.ReLU(), nn.Linear(8, 1, dtype=F64))
    with torch.no_grad():
        zero = torch.zeros(1, 1, 6, dtype=F64)
        columns = conv(torch.eye(6, dtype=F64)[:, None]) - conv(zero)
        same[0].weight.copy_(columns.flatten(1).T)
        same[0].bias.copy_(conv(zero).flatten())
        same[2].load_state_dict(net[3].state_dict())
    torch.testing.assert_close(path_norm(net, shape=(1, 6)), path_norm(same))


def test_spectral_norm_equals_the_largest_singular_value_with_its_gradient(rng):
    for shape in ((20, 20), (7, 30), (30, 7), (1, 5)):
        W = torch.randn(shape, generator=rng, dtype=F64, requires_grad=True)
        found = spectral_norm(W, tol=1e-7, max_iters=20_000)
        expected = torch.linalg.matrix_norm(W, ord=2)
        torch.testing.assert_close(found.norm, expected)
        assert found.residual <= 1e-7
        (gradient,) = torch.autograd.grad(expected, W)
        torch.testing.assert_close(
            torch.autograd.grad(found.norm, W)[0], gradient, rtol=1e-5, atol=1e-5
        )


def test_spectral_norm_from_a_good_start_needs_one_step(rng):
    W = torch.randn(20, 30, generator=rng, dtype=F64)
    first = spectral_norm(W)
    assert spectral_norm(W, start=first.right).num_iters == 1 < first.num_iters


def test_the_residual_of_one_step_is_that_of_the_definition():
    W, v = torch.diag(torch.tensor([2.0, 1.0], dtype=F64)), torch.tensor([0.6, 0.8], dtype=F64)
    found = spectral_norm(W, start=5 * v, tol=10.0)
    size = math.hypot(1.2, 0.8)  # W v
    u = torch.tensor([1.2, 0.8], dtype=F64) / size
    assert found.residual == pytest.approx(((W @ u - size * v).norm() / size).item(), rel=1e-12)
    torch.testing.assert_close(found.left, u)
    assert size < found.norm.item() < 2  # a lower bound, better than the first quotient


# --- refusals


class Custom(nn.Module):
    def forward(self, x):
        return x


def tied():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    b.weight = a.weight
    return nn.Sequential(a, nn.ReLU(), b)


def twice():
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, nn.ReLU())
    net.append(layer)
    return net


NORM = parametrizations.weight_norm(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.GELU()), r"layer '1' \(GELU\).*homogeneous"),
        (nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Tanh())), r"layer '0.1' \(Tanh\)"),
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), r"'1' \(BatchNorm1d\) divides"),
        (nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), r"effective_lr"),
        (nn.Sequential(nn.Embedding(2, 2)), r"\(Embedding\) has parameters"),
        (nn.Sequential(nn.Linear(2, 2), Custom()), r"\(Custom\) is not known"),
        (nn.Sequential(NORM), "computes its weight"),
        (nn.Sequential(nn.ReLU()), "no layer with weights"),
        (nn.Sequential(), "no layer with weights"),
        (tied(), "layers '0' and '2' share one weight"),
        (twice(), "layers '0' and '2' share one weight"),
    ],
)
@pytest.mark.parametrize("function", [balance_, layer_norms, lambda net: rescale_(net, [1.0])])
def test_unsupported_networks_are_refused_by_the_name_of_the_layer(function, net, message):
    with pytest.raises(ValueError, match=message):
        function(net)


def test_a_refused_network_is_left_as_it_was(rng):
    net = dense(rng, 2, 3, 2, activation=nn.GELU)
    before = deepcopy(net.state_dict())
    with pytest.raises(ValueError, match="GELU"):
        balance_(net)
    assert all(torch.equal(net.state_dict()[key], value) for key, value in before.items())


def small(value=1.0):
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        net[2].weight.fill_(value)
    return net


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rescale_(small(), [1.0]), "one gamma for each of the 2 layers"),
        (lambda: rescale_(small(), [1.0, 0.0]), "got 0.0 for layer '2'"),
        (lambda: rescale_(small(), [-1.0, 1.0]), "got -1.0 for layer '0'"),
        (lambda: rescale_(small(), [math.nan, 1.0]), "got nan"),
        (lambda: balance_(small(0.0)), r"layer '2' \(Linear\) has a weight of norm 0"),
        (lambda: intrinsic_norm(small(math.inf)), "norm inf"),
        (lambda: gauge_min_l2(small(0.0)), "positive and finite"),
        (lambda: weissi(small(), lambda_1=-1), "lambda_1 >= 0"),
        (lambda: weissi(small(), lambda_1=1, floor=0.0), "floor > 0"),
        (lambda: path_norm(small(), order=0), "order >= 1, got 0"),
        (lambda: path_norm(nn.Sequential(nn.Conv1d(1, 1, 1))), "needs shape="),
        (
            lambda: path_norm(nn.Sequential(nn.Linear(2, 2), nn.MaxPool1d(2))),
            r"'1' \(MaxPool1d\) is no sum over paths",
        ),
        (
            lambda: layer_norms(nn.Sequential(nn.Conv2d(1, 1, 1)), kind="spec"),
            r"'0' \(Conv2d\): the spectral norm of a convolution",
        ),
        (lambda: balance_neurons_(small(0.0)), "neuron 0 of layer '0' has only zeros as outgoing"),
        (lambda: balance_neurons_(nn.Sequential(nn.Conv1d(1, 1, 1))), r"\(Conv1d\); bal"),
        (lambda: spectral_norm(torch.zeros(2, 2)), "not zero"),
        (lambda: spectral_norm(torch.eye(2), tol=0.0), "tol > 0"),
        (lambda: spectral_norm(torch.diag(torch.tensor([1.0, 0])), start=torch.tensor([0.0, 1])),
         "null space"),
        (lambda: balance_attention(torch.ones(3, 2), torch.ones(3, 2)), "k=3 and d=2"),
        (lambda: balance_attention(torch.ones(1, 2), torch.full((1, 2), math.nan)), "W_K must be"),
    ],
)  # fmt: skip
def test_bad_values_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_iterations_that_do_not_converge_raise(rng):
    with pytest.raises(ConvergenceError, match="factors still change"):
        balance_neurons_(dense(rng, 3, 9, 9, 9, 2), max_sweeps=1)
    with pytest.raises(ConvergenceError, match="residual"):
        spectral_norm(torch.diag(torch.tensor([1.0, 0.999])), tol=1e-6, max_iters=3)


@pytest.mark.parametrize(
    "call", [lambda: balance_(nn.Linear(2, 2)), lambda: spectral_norm([[1.0]])]
)
def test_other_types_are_refused(call):
    with pytest.raises(TypeError):
        call()
