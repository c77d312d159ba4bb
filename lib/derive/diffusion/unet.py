"""A small U-Net that predicts the noise in an image, fast on CPU and GPU (diffusion chapters)."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from derive._typing import typed
from derive.nets import seeded

GROUP = 16  # channels a group: smaller groups make group_norm up to ten times slower in bfloat16
DENSE_TOKENS = 256  # up to so many, plain softmax attention is faster than the fused kernel


class UNet(nn.Module):
    r"""A U-Net $\varepsilon_\theta(x_t, t)$ for images of any size that the levels can halve.

    Every level has residual blocks (group norm, SiLU, 3 x 3 convolution, twice, the time added
    between them), and halves the image; on the way back the blocks see what the way
    down computed at their size. The deepest level attends over all its pixels. The last
    convolution starts at zero: an untrained network answers 0, the best guess for noise of mean 0.

    It keeps its images and weights channels-last, in groups of 16 channels for normalisation, and
    attends without the fused kernel where there are few pixels: on a CPU these three decide
    whether bfloat16 pays. O(pixels · widths²) time a layer.

    Args:
        channels: Of the images: 1 grey, 3 colour.
        widths: Channels of each level, from the finest down; multiples of 16.
        blocks: Residual blocks a level, on each way: one number, or one for each level.
        generator: Where the weights are drawn from.

    Raises:
        ValueError: If a width is no multiple of 16, or there are not as many blocks as widths.

    Source:
        Ho, Jain, Abbeel (2020), but without dropout, with as many blocks up as down, and with
        attention between the deepest blocks only.

    Example:
        >>> net = UNet(1, widths=(16, 32))
        >>> net(torch.zeros(2, 1, 8, 8), torch.tensor([1, 1000])).shape
        torch.Size([2, 1, 8, 8])
    """

    @typed
    def __init__(
        self,
        channels: int,
        *,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int | Sequence[int] = 2,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        counts = [blocks] * len(widths) if isinstance(blocks, int) else list(blocks)
        if channels < 1 or not widths or any(width < 1 or width % GROUP for width in widths):
            raise ValueError(
                f"UNet needs channels >= 1 and widths that are multiples of {GROUP}, got "
                f"channels={channels}, widths={tuple(widths)}."
            )
        if len(counts) != len(widths) or min(counts) < 1:
            raise ValueError(
                f"UNet needs at least one block for each of the {len(widths)} levels, got "
                f"blocks={blocks}."
            )
        self.channels = channels
        self.factor = 2 ** (len(widths) - 1)
        first, last = widths[0], widths[-1]
        features = 4 * first
        with seeded(generator):
            self.time = nn.Sequential(
                nn.Linear(2 * first, features), nn.SiLU(), nn.Linear(features, features), nn.SiLU()
            )
            self.enter = nn.Conv2d(channels, first, 3, padding=1)
            self.down, self.up = nn.ModuleList(), nn.ModuleList()
            before = first
            for level, (width, count) in enumerate(zip(widths, counts, strict=True)):
                deepest = level == len(widths) - 1
                after = width if level == 0 else widths[level - 1]
                self.down.append(_Down(before, width, count, features, shrink=not deepest))
                self.up.insert(0, _Up(width, after, count, features, grow=level > 0))
                before = width
            self.middle = nn.ModuleList(
                [_Block(last, last, features), _Attention(last), _Block(last, last, features)]
            )
            self.leave = nn.Sequential(
                nn.GroupNorm(first // GROUP, first),
                nn.SiLU(),
                nn.Conv2d(first, channels, 3, padding=1),
            )
        _zero(self.leave[2])
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @typed
    def forward(
        self, x: Float[Tensor, "b c h w"], t: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """The noise that is in x at times t (1 to T, the same T as in training).

        Raises:
            ValueError: If the images have other channels, or a side that cannot be halved often
                enough.
        """
        if x.shape[1] != self.channels or x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise ValueError(
                f"this UNet takes {self.channels} channels and sides that are multiples of "
                f"{self.factor}, got {tuple(x.shape)}."
            )
        dtype = self.enter.weight.dtype
        time = self.time(_waves(t, 2 * self.enter.out_channels).to(dtype))
        h = self.enter(x.to(dtype).contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for down in self.down:
            h = down(h, time, skips)
        first, attention, second = self.middle
        h = second(attention(first(h, time)), time)
        for up in self.up:
            h = up(h, time, skips)
        return self.leave(h).to(x.dtype, memory_format=torch.contiguous_format)


class _Down(nn.Module):
    """Residual blocks at one size, then (but for the deepest level) half the size."""

    def __init__(self, inputs: int, width: int, count: int, features: int, *, shrink: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _Block(inputs if index == 0 else width, width, features) for index in range(count)
        )
        self.shrink = nn.Conv2d(width, width, 3, stride=2, padding=1) if shrink else None

    def forward(self, h: Tensor, time: Tensor, skips: list[Tensor]) -> Tensor:
        for block in self.blocks:
            h = block(h, time)
            skips.append(h)
        return h if self.shrink is None else self.shrink(h)


class _Up(nn.Module):
    """Residual blocks that see the way down, then (but for the finest level) twice the size."""

    def __init__(self, width: int, after: int, count: int, features: int, *, grow: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(2 * width, width, features) for _ in range(count))
        # The narrowing convolution comes before the pixels are repeated: a quarter of the work.
        self.grow = nn.Conv2d(width, after, 3, padding=1) if grow else None

    def forward(self, h: Tensor, time: Tensor, skips: list[Tensor]) -> Tensor:
        for block in self.blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), time)
        return h if self.grow is None else F.interpolate(self.grow(h), scale_factor=2)


class _Block(nn.Module):
    """h + conv(silu(norm(conv(silu(norm(h))) + time))): the time is added between the two."""

    def __init__(self, inputs: int, width: int, features: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(inputs // GROUP, inputs)
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.time = nn.Linear(features, width)
        self.renorm = nn.GroupNorm(width // GROUP, width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Conv2d(inputs, width, 1) if inputs != width else nn.Identity()
        _zero(self.second)

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        inner = self.first(F.silu(self.norm(h))) + self.time(time)[:, :, None, None]
        return self.skip(h) + self.second(F.silu(self.renorm(inner)))


class _Attention(nn.Module):
    """h + the pixels' attention to one another, with one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(width // GROUP, width)
        self.project = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)
        _zero(self.out)

    def forward(self, h: Tensor) -> Tensor:
        b, c, height, width = h.shape
        # channels-last: the pixels are rows already, (b, pixels, 3 c) is a view
        rows = self.project(self.norm(h)).permute(0, 2, 3, 1).reshape(b, height * width, 3 * c)
        q, k, v = rows.chunk(3, dim=2)
        if height * width <= DENSE_TOKENS:
            weights = torch.softmax(q @ k.mT / math.sqrt(c), dim=2)
            mixed = weights.to(v.dtype) @ v
        else:
            mixed = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return h + self.out(mixed.reshape(b, height, width, c).permute(0, 3, 1, 2))


def _waves(t: Tensor, num: int) -> Tensor:
    """Cosines and sines of t at periods from 2 pi to 10 000 times that, evenly on a log scale."""
    half = num // 2
    rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(1e4) / half))
    angles = t[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
