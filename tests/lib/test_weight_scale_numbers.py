"""derive.weight_scale: limits from both sides, and rates of single steps."""

import math

import pytest
import torch
from torch import nn

from derive.weight_scale import (
    balance_attention,
    balance_neurons_,
    spectral_norm,
    weissi,
)

F64 = torch.float64
EPS = torch.finfo(F64).eps


def test_the_first_bad_entry_is_named():
    good, bad = torch.ones(2, 3), torch.ones(2, 3)
    bad[0, 2] = bad[1, 0] = math.nan
    with pytest.raises(ValueError, match=r"W_K must be finite, got nan at \(0, 2\)"):
        balance_attention(good, bad)
    with pytest.raises(ValueError, match=r"W_Q must be finite, got nan at \(0, 2\)"):
        balance_attention(bad, good)


def test_a_start_is_in_the_null_space_below_the_resolution_and_not_above():
    start = torch.tensor([0.0, 1.0], dtype=F64)
    above, below = (torch.diag(torch.tensor([1.0, k * EPS], dtype=F64)) for k in (1.5, 0.7))
    assert spectral_norm(above, start=start).norm.item() == pytest.approx(
        1.5 * EPS, rel=1e-9, abs=0
    )
    with pytest.raises(ValueError, match="null space"):
        spectral_norm(below, start=start)


def test_the_penalty_of_two_layers_by_hand():
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[3.0, -4.0]]))
        net[2].weight.fill_(2.0)
    # Norms 5 and 2, sums of sizes 7 and 2.
    expected = 0.3 * math.log(10) + 0.7 * (7 / 5 + 1)
    assert weissi(net, lambda_1=0.3, lambda_2=0.7).item() == pytest.approx(expected, rel=1e-6)


def test_two_layers_are_balanced_in_one_sweep_neuron_by_neuron():
    net = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[16.0], [2.0]]))
        net[2].weight.copy_(torch.tensor([[1.0, 8.0]]))
    found = balance_neurons_(net)
    assert found.num_sweeps == 1
    torch.testing.assert_close(found.factors[0], torch.tensor([0.25, 2.0], dtype=F64))
    torch.testing.assert_close(net[0].weight.detach(), torch.tensor([[4.0], [4.0]]))
    torch.testing.assert_close(net[2].weight.detach(), torch.tensor([[4.0, 4.0]]))
