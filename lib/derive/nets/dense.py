"""Fully connected networks: the plain one, and one that is told the time."""

import math
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from derive._typing import typed
from derive.nets.seeded import seeded

Activation = Literal["relu", "tanh", "silu", "gelu", "identity"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "identity": nn.Identity,
}


class MLP(nn.Sequential):
    """A multilayer perceptron: linear maps with an activation between them, none at the end.

    `MLP(64, 128, 10)` maps R^64 to R^10 through 128 hidden units. The linear maps are in
    `linears`, in order; they start as torch's `nn.Linear` does.

    Args:
        widths: The sizes of all layers, input and output included: two at least.
        activation: What stands between two maps; `"identity"` makes a deep linear network.
        bias: Whether the maps have one.
        generator: Where the weights are drawn from.

    Raises:
        TypeError: If a width is no integer.
        ValueError: If there are fewer than two widths, or one is below 1.

    Example:
        >>> [tuple(linear.weight.shape) for linear in MLP(3, 5, 2).linears]
        [(5, 3), (2, 5)]
    """

    @typed
    def __init__(
        self,
        *widths: int,
        activation: Activation = "relu",
        bias: bool = True,
        generator: Generator | None = None,
    ) -> None:
        if any(isinstance(width, bool) for width in widths):
            raise TypeError(f"MLP needs integers for widths, got {widths}.")
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"MLP needs at least two widths, all >= 1, got {widths}.")
        modules: list[nn.Module] = []
        with seeded(generator):
            for inputs, outputs in pairwise(widths):
                modules += [nn.Linear(inputs, outputs, bias=bias), ACTIVATIONS[activation]()]
        super().__init__(*modules[:-1])

    @property
    def linears(self) -> list[nn.Linear]:
        """The linear maps, from input to output."""
        return [module for module in self if isinstance(module, nn.Linear)]


class TimeMLP(nn.Module):
    r"""A residual network for vectors that change with time: $f(x, u)$ in R^d.

    The scalar u (a time, or better a log signal-to-noise ratio) enters every block through
    cosines and sines of it at frequencies spread evenly on a log scale. The last map starts at
    zero, so an untrained network answers 0, the best guess for noise of mean 0.

    Args:
        d: Size of x and of the answer.
        width: Size of the hidden layers.
        depth: Number of residual blocks.
        frequencies: Half the number of features of u.
        scale: The largest |u| to expect; it sets the lowest frequency. Above 1/40, below which
            that would be the highest one too.
        generator: Where the weights are drawn from.

    Raises:
        ValueError: If a size or the scale is out of range.

    Example:
        >>> TimeMLP(2, width=8, depth=1)(torch.zeros(3, 2), torch.zeros(3)).shape
        torch.Size([3, 2])
    """

    rates: Tensor

    @typed
    def __init__(
        self,
        d: int,
        *,
        width: int = 256,
        depth: int = 3,
        frequencies: int = 16,
        scale: float = 20.0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if min(d, width, depth, frequencies) < 1 or not 1 / 40 < scale < 1e30:
            raise ValueError(
                "TimeMLP needs d, width, depth, frequencies >= 1 and a scale between 1/40 and "
                f"1e30, got {d}, {width}, {depth}, {frequencies}, {scale}."
            )
        self.d = d
        # From a quarter wave over [-scale, scale] to a wave for every tenth of a unit.
        low, high = math.log(math.pi / (2 * scale)), math.log(20 * math.pi)
        spread = torch.linspace(low, high, frequencies) if frequencies > 1 else torch.tensor([low])
        self.register_buffer("rates", spread.exp(), persistent=False)
        with seeded(generator):
            self.enter = nn.Linear(d, width)
            self.time = nn.Sequential(nn.Linear(2 * frequencies, width), nn.SiLU())
            self.blocks = nn.ModuleList(_TimeBlock(width) for _ in range(depth))
            self.leave = nn.Linear(width, d)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    @typed
    def forward(
        self, x: Float[Tensor, "b {self.d}"], u: Float[Tensor, " b"]
    ) -> Float[Tensor, "b {self.d}"]:
        """The network's answer for each row of x at its own u."""
        angles = u[:, None] * self.rates
        time = self.time(torch.cat([angles.cos(), angles.sin()], dim=1))
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, time)
        return self.leave(nn.functional.silu(h))


class _TimeBlock(nn.Module):
    """h + W₂ silu(W₁ silu(h) + W₃ time): two maps around a residual, the time added between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.time = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        inner = self.first(nn.functional.silu(h)) + self.time(time)
        return h + self.second(nn.functional.silu(inner))
