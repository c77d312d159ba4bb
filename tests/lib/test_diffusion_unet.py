"""derive.diffusion.unet: the network that predicts noise in images."""

import math

import pytest
import torch
from torch.nn import functional as F

from derive.diffusion.unet import UNet, _Attention, _waves


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def lively(net, seed=1):
    """The same network with no weight at zero, so that every part of it is seen."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator(seed)))
    return net


@pytest.fixture(scope="module")
def net():
    return lively(UNet(1, widths=(16, 32), blocks=1, generator=generator())).double().eval()


def images(n=2, size=8, channels=1, seed=3):
    shape = (n, channels, size, size)
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def test_attention_equals_torchs_own():
    layer = lively(_Attention(32)).double()
    h = torch.randn(2, 32, 3, 5, generator=generator(), dtype=torch.float64)
    q, k, v = layer.project(layer.norm(h)).flatten(2).mT.chunk(3, dim=2)
    mixed = F.scaled_dot_product_attention(q, k, v)
    expected = h + layer.out(mixed.mT.reshape(2, 32, 3, 5))
    torch.testing.assert_close(layer(h), expected)
    with pytest.raises(AssertionError):  # the root of the width is not forgotten
        torch.testing.assert_close(
            h + layer.out(F.scaled_dot_product_attention(q, k, v, scale=1).mT.reshape(h.shape)),
            expected,
        )


def test_both_ways_of_attending_agree(monkeypatch):
    layer = lively(_Attention(16)).double()
    h = torch.randn(2, 16, 4, 4, generator=generator(), dtype=torch.float64)
    plain = layer(h)
    monkeypatch.setattr("derive.diffusion.unet.DENSE_TOKENS", 15)
    torch.testing.assert_close(layer(h), plain)


def test_attention_does_not_know_the_order_of_the_pixels():
    layer = lively(_Attention(16)).double()
    h = torch.randn(1, 16, 2, 6, generator=generator(), dtype=torch.float64)
    order = torch.randperm(12, generator=generator())
    shuffled = h.flatten(2)[..., order].view(1, 16, 2, 6)
    expected = layer(h).flatten(2)[..., order].view(1, 16, 2, 6)
    torch.testing.assert_close(layer(shuffled), expected)


def test_time_becomes_waves_from_fast_to_slow():
    found = _waves(torch.tensor([0, 3]), 8)
    rates = [1.0, 1e-1, 1e-2, 1e-3]
    expected = [math.cos(3 * r) for r in rates] + [math.sin(3 * r) for r in rates]
    torch.testing.assert_close(found[1], torch.tensor(expected))
    assert found[0].tolist() == [1.0] * 4 + [0.0] * 4


def test_images_of_a_batch_do_not_see_each_other(net):
    x, t = images(3), torch.tensor([1, 500, 1000])
    together = net(x, t)
    for index in range(3):
        torch.testing.assert_close(
            net(x[index : index + 1], t[index : index + 1])[0], together[index]
        )


def test_every_pixel_and_the_time_matter(net):
    x, t = images(1).requires_grad_(), torch.tensor([300])
    net(x, t)[0, 0, 0, 0].backward()
    assert (x.grad.abs() > 0).all()
    assert not torch.allclose(net(x, t), net(x, t + 1))


def test_every_weight_learns(net):
    net.zero_grad()
    net(images(), torch.tensor([10, 700])).square().sum().backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    # A constant added to all keys moves every pixel's weights alike: softmax does not see it.
    assert silent == []
    key_bias = net.middle[1].project.bias.grad[32:64]
    assert key_bias.abs().max() < 1e-10


def test_an_untrained_network_answers_zero():
    assert UNet(3, widths=(16,), blocks=1)(torch.ones(1, 3, 4, 4), torch.tensor([1])).eq(0).all()


def test_weights_and_images_are_channels_last():
    net = UNet(1, widths=(16, 32), blocks=1, generator=generator())
    seen = []
    for block in net.up:
        block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    answer = net(images().float(), torch.tensor([1, 2]))
    assert all(h.is_contiguous(memory_format=torch.channels_last) for h in seen)
    assert net.down[0].blocks[0].first.weight.is_contiguous(memory_format=torch.channels_last)
    assert answer.is_contiguous()


def test_norms_have_groups_of_sixteen_channels():
    norms = [m for m in UNet(1, widths=(16, 48)).modules() if isinstance(m, torch.nn.GroupNorm)]
    assert len(norms) > 10
    assert all(norm.num_channels == 16 * norm.num_groups for norm in norms)


def test_sizes_follow_the_choices():
    def count(**choices):
        return sum(p.numel() for p in UNet(1, **choices).parameters())

    assert count(widths=(16, 32), blocks=1) < count(widths=(16, 32), blocks=(1, 2))
    assert count(widths=(16, 32), blocks=(2, 2)) == count(widths=(16, 32), blocks=2)
    for size in (4, 12, 20):
        assert UNet(3, widths=(16, 16, 16), blocks=1)(
            torch.zeros(1, 3, size, 2 * size), torch.tensor([1])
        ).shape == (1, 3, size, 2 * size)


@pytest.mark.parametrize("way", ["autocast", "weights"])
def test_bfloat16_changes_little(net, way):
    exact = net(images(), torch.tensor([5, 800]))
    x, t = images().float(), torch.tensor([5, 800])
    rough = UNet(1, widths=(16, 32), blocks=1)
    rough.load_state_dict(net.state_dict())
    if way == "weights":
        answer = rough.bfloat16()(x, t)
        assert answer.dtype is torch.float32
    else:
        with torch.autocast("cpu", torch.bfloat16):
            answer = rough(x, t)
    error = (answer.double() - exact).norm() / exact.norm()
    assert 1e-4 < error < 0.05


def test_weights_depend_on_the_generator_alone():
    torch.manual_seed(0)
    one = UNet(1, widths=(16,), generator=generator())
    torch.manual_seed(1)
    same = UNet(1, widths=(16,), generator=generator())
    other = UNet(1, widths=(16,), generator=generator(1))
    assert torch.equal(one.enter.weight, same.enter.weight)
    assert not torch.equal(one.enter.weight, other.enter.weight)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: UNet(0), "channels=0"),
        (lambda: UNet(1, widths=(16, 24)), r"multiples of 16.*widths=\(16, 24\)"),
        (lambda: UNet(1, widths=()), r"widths=\(\)"),
        (lambda: UNet(1, widths=(16, 32), blocks=(1,)), r"each of the 2 levels.*blocks=\(1,\)"),
        (lambda: UNet(1, widths=(16,), blocks=0), "blocks=0"),
        (
            lambda: UNet(1)(torch.zeros(1, 1, 8, 10), torch.tensor([1])),
            r"multiples of 4, got \(1, 1, 8, 10\)",
        ),
        (lambda: UNet(1)(torch.zeros(1, 3, 8, 8), torch.tensor([1])), "takes 1 channels"),
    ],
)
def test_the_network_refuses(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    "t", [torch.tensor([1, 2]), torch.tensor([0.5]), 1], ids=["too many", "not whole", "no tensor"]
)
def test_the_network_refuses_times(t):
    with pytest.raises(TypeError, match="t"):
        UNet(1, widths=(16,), blocks=1)(torch.zeros(1, 1, 4, 4), t)
