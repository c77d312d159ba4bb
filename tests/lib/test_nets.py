"""derive.nets: small networks and where their weights come from."""

import math

import pytest
import torch
from torch import nn

from derive.nets import MLP, ConvNet, TimeMLP, seeded


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


BUILDERS = {
    "MLP": lambda g: MLP(3, 5, 2, generator=g),
    "ConvNet": lambda g: ConvNet(1, 10, image_size=8, width=2, generator=g),
    "TimeMLP": lambda g: TimeMLP(2, width=4, depth=1, generator=g),
}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_weights_depend_on_the_generator_alone(build):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = build(generator())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    same, other = build(generator()), build(generator(1))
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    assert any(
        not torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items()
    )


def test_a_generator_gives_different_weights_each_time():
    source = generator()
    with seeded(source):
        first = nn.Linear(3, 3)
    with seeded(source):
        second = nn.Linear(3, 3)
    assert not torch.equal(first.weight, second.weight)


def test_without_a_generator_torchs_own_is_used():
    torch.manual_seed(5)
    with seeded(None):
        ours = nn.Linear(3, 3)
    torch.manual_seed(5)
    assert torch.equal(ours.weight, nn.Linear(3, 3).weight)


def test_mlp_equals_its_formula():
    net = MLP(3, 5, 4, 2, activation="tanh", generator=generator())
    x = torch.randn(7, 3, generator=generator(1))
    h = x
    for linear in net.linears[:-1]:
        h = torch.tanh(h @ linear.weight.T + linear.bias)
    last = net.linears[-1]
    torch.testing.assert_close(net(x), h @ last.weight.T + last.bias)


def test_mlp_without_bias_is_homogeneous():
    net = MLP(3, 5, 2, bias=False, generator=generator())
    x = torch.randn(4, 3, generator=generator(1))
    torch.testing.assert_close(net(3 * x), 3 * net(x))
    biased = MLP(3, 5, 2, generator=generator())
    assert not torch.allclose(biased(3 * x), 3 * biased(x))


def test_a_deep_linear_network_is_one_matrix():
    net = MLP(3, 4, 5, 2, activation="identity", bias=False, generator=generator())
    one = net.linears[2].weight @ net.linears[1].weight @ net.linears[0].weight
    x = torch.randn(4, 3, generator=generator(1))
    torch.testing.assert_close(net(x), x @ one.T)


def test_convnet_sees_shapes_not_places():
    """Two convolutions and two halvings: a shift by four pixels moves the features by one."""
    net = ConvNet(1, 3, image_size=16, width=4, generator=generator())
    image = torch.zeros(1, 1, 16, 16)
    image[..., 5:8, 5:8] = 1.0
    features, shifted = net.features(image), net.features(image.roll(4, dims=3))
    # At the edges the zero padding is seen: they are left out.
    torch.testing.assert_close(shifted[..., 1:3, 2:3], features[..., 1:3, 1:2])
    assert net(image).shape == (1, 3)


def test_time_mlp_starts_at_zero_and_learns_to_tell_times_apart():
    net = TimeMLP(2, width=16, depth=2, generator=generator())
    x = torch.randn(5, 2, generator=generator(1))
    assert net(x, torch.zeros(5)).abs().max() == 0
    with torch.no_grad():
        net.leave.weight.normal_(generator=generator(2))
    near, far = net(x, torch.full((5,), -12.0)), net(x, torch.full((5,), 12.0))
    assert (near - far).abs().max() > 0.01
    moved = net(x, torch.full((5,), -12.0 + 1e-4))
    assert (near - moved).abs().max() < 0.01


def test_time_mlp_uses_frequencies_from_slow_to_fast():
    net = TimeMLP(2, frequencies=8, scale=20.0)
    assert math.isclose(net.rates[0].item() * 40, math.pi, rel_tol=1e-5)
    assert math.isclose(net.rates[-1].item() * 0.1, 2 * math.pi, rel_tol=1e-5)
    assert "rates" not in net.state_dict()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MLP(3), "at least two widths"),
        (lambda: MLP(3, 0, 2), r"all >= 1, got \(3, 0, 2\)"),
        (lambda: ConvNet(1, 10, image_size=10), "multiple of 4, got 1, 10, 16, 10"),
        (lambda: TimeMLP(0), "got 0, 256"),
        (lambda: TimeMLP(2, scale=-1.0), "scale between 1/40 and 1e30, got .* -1.0"),
    ],
)
def test_networks_refuse_sizes(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MLP(3, 2, activation="swish"), "activation"),
        (lambda: ConvNet(1, 10, image_size=8)(torch.zeros(1, 8, 8)), "images"),
        (lambda: ConvNet(1, 10, image_size=8)(torch.zeros(1, 1, 8, 4)), "images"),
        (lambda: ConvNet(1, 10, image_size=8)(torch.zeros(1, 3, 8, 8)), "images"),
        (lambda: TimeMLP(2)(torch.zeros(3, 1), torch.zeros(3)), "self.d"),
        (lambda: TimeMLP(2)(torch.zeros(3, 2), torch.zeros(4)), "b=3"),
    ],
)
def test_networks_refuse_types_and_shapes(call, message):
    with pytest.raises(TypeError, match=message):
        call()
