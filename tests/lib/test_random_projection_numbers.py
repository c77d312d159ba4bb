"""derive.random_projection: sharp cases of the bounds, and the optimiser's steps by autograd."""

import math

import pytest
import torch

from derive.random_projection import (
    attention_temperature,
    distortion,
    lower_bound_dim,
    optimise_code,
    random_map,
)
from derive.random_projection.codes import _smoothed_gradient
from derive.random_projection.structured import _smooth_length

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("d", [2, 3, 5, 8, 12])
def test_the_floor_admits_the_simplex_which_attains_it(d):
    # d + 1 vectors with inner products of size 1/d exist in d dimensions, and not in d - 1.
    assert lower_bound_dim(d + 1, 1 / d) == d


def test_the_histogram_runs_from_the_lowest_to_the_highest_error():
    x, y = (torch.randn(25, 4, generator=seeded(s), dtype=F64) for s in (0, 1))
    report = distortion(x, y, block=9)
    assert len(report.edges) == 65
    assert report.edges[0].item() == report.low
    assert report.edges[-1].item() == pytest.approx(report.high, rel=1e-12)
    assert report.counts[0] >= 1
    assert report.counts[-1] >= 1


def test_twice_the_size_of_a_tie_is_counted_twice_in_the_temperature():
    # Two best keys, two at distance 1: 2 exp(-b) + 1 = (1 - m) / m.
    found = attention_temperature(torch.tensor([2.0, 2.0, 1.0, 1.0]), 0.45)
    assert found.item() == pytest.approx(-math.log((0.55 / 0.45 - 1) / 2), rel=1e-9)


@pytest.mark.parametrize("d", [8, 64])
def test_a_length_that_is_a_power_of_two_is_not_padded(d):
    assert random_map(d, 3, kind="srht", generator=seeded()).p == d
    assert random_map(d + 1, 3, kind="srht", generator=seeded()).p == 2 * d


def test_a_length_for_the_fft_is_the_smallest_that_is_good():
    def good(n):
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        return rest == 1 and (n % 16 == 0 or n & (n - 1) == 0)

    for d in range(1, 700):
        assert _smooth_length(d) == next(n for n in range(d, 2 * d + 1) if good(n))


# --- codes


def tangent_gradient(v, sharpness):
    """Gradient along the sphere of the smoothed coherence, by automatic differentiation."""
    v = v.detach().requires_grad_()
    i, j = torch.triu_indices(len(v), len(v), offset=1)
    sizes = (v[i] * v[j]).sum(dim=1).abs()
    beta = sharpness / sizes.detach().max()
    [full] = torch.autograd.grad(torch.logsumexp(beta * sizes, dim=0) / beta, v)
    return full - (full * v).sum(dim=1, keepdim=True) * v.detach()


@pytest.mark.parametrize("sharpness", [5.0, 60.0])
def test_the_gradient_of_the_smoothed_coherence_is_autograds(sharpness):
    v = torch.nn.functional.normalize(torch.randn(9, 4, generator=seeded(), dtype=F64), dim=1)
    found, worst = _smoothed_gradient(v, sharpness)
    # Up to a common factor, which the optimiser takes out.
    expected = tangent_gradient(v, sharpness)
    torch.testing.assert_close(
        found / found.norm(), expected / expected.norm(), rtol=1e-9, atol=1e-12
    )
    assert worst == pytest.approx(((v @ v.T).abs() - torch.eye(9)).max().item(), rel=1e-12)


def test_codes_move_as_their_adam_says():
    """Averages over 10 and 100 steps, one scale for all entries, sharpness 5 to 500."""
    steps, d, seen = 6, 3, []
    optimise_code(
        7, d, steps=steps, generator=seeded(), dtype=F64, callback=lambda *s: seen.append(s[1])
    )
    for v in seen:
        torch.testing.assert_close(v.norm(dim=1), torch.ones(7, dtype=F64))
    mean, square = torch.zeros(7, d, dtype=F64), 0.0
    for number in range(steps):
        share = number / steps
        gradient = tangent_gradient(seen[number], 5 * 100**share)
        mean.lerp_(gradient, 0.1)
        square += 0.01 * ((gradient**2).mean().item() - square)
        unbiased = square / (1 - 0.99 ** (number + 1))
        length = 0.033 * (1 - share) / math.sqrt(d * unbiased)
        moved = torch.nn.functional.normalize(seen[number] - length * mean, dim=1)
        # The factor left out of the gradient varies by under one per cent from step to step.
        torch.testing.assert_close(seen[number + 1], moved, rtol=0, atol=2e-5)
