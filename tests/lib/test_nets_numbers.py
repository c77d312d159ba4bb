"""derive.nets: the network that is told the time, against its formula."""

import math

import pytest
import torch

from derive.nets import ConvNet, TimeMLP

F64 = torch.float64


def silu(z):
    return z / (1 + torch.exp(-z))


@pytest.mark.parametrize(("frequencies", "depth"), [(1, 1), (5, 3)])
def test_a_time_mlp_equals_its_formula(frequencies, depth):
    generator, scale = torch.Generator().manual_seed(0), 4.0
    net = TimeMLP(3, width=6, depth=depth, frequencies=frequencies, scale=scale).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=F64))
    x, u = (torch.randn(*s, generator=generator, dtype=F64) for s in ((7, 3), (7,)))
    # A quarter wave over [-4, 4] at the slow end, ten waves a unit at the fast one.
    low, high = 2 * math.pi / 4 / scale, 2 * math.pi * 10
    steps = max(frequencies - 1, 1)
    rates = [low * (high / low) ** (k / steps) for k in range(frequencies)]
    angles = torch.stack([u * rate for rate in rates], dim=1)
    maps = dict(net.named_modules())

    def affine(name, z):
        return z @ maps[name].weight.T + maps[name].bias

    time = silu(affine("time.0", torch.cat([torch.cos(angles), torch.sin(angles)], dim=1)))
    h = affine("enter", x)
    for k in range(depth):
        inner = affine(f"blocks.{k}.first", silu(h)) + affine(f"blocks.{k}.time", time)
        h = h + affine(f"blocks.{k}.second", silu(inner))
    expected = affine("leave", silu(h))
    # The rates are kept in float32.
    torch.testing.assert_close(net(x, u), expected, rtol=1e-3, atol=1e-3)


def test_a_convnet_doubles_its_channels_and_halves_the_image_twice():
    net = ConvNet(3, 10, image_size=12, width=5)
    shapes = [tuple(p.shape) for p in net.parameters() if p.ndim > 1]
    assert shapes == [(5, 3, 3, 3), (10, 5, 3, 3), (10, 10 * 3 * 3)]


def test_the_slowest_wave_stays_slower_than_the_fastest():
    slowest = TimeMLP(2, width=4, depth=1, scale=0.026).rates
    assert slowest[0] < slowest[-1]
    with pytest.raises(ValueError, match="scale between 1/40 and 1e30"):
        TimeMLP(2, width=4, depth=1, scale=0.024)
