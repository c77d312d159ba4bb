"""What every part of `derive.diffusion` asks of its input, and of what it gives back."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from derive._validate import all_finite, check_finite


def check_call(x: Tensor, data: Tensor, alpha: float, sigma: float) -> None:
    """An exact model's x is of the kind of its data, and the noise level is one."""
    if x.shape[1] != data.shape[1]:
        raise ValueError(
            f"x must have the {data.shape[1]} columns of the model's data, got {tuple(x.shape)}."
        )
    if (x.dtype, x.device) != (data.dtype, data.device):
        raise TypeError(
            f"x must be {data.dtype} on {data.device} like the model's data, got {x.dtype} on "
            f"{x.device}."
        )
    check_noise(alpha, sigma, x.dtype)


def check_noise(alpha: float, sigma: float, dtype: torch.dtype) -> None:
    """A signal is there or not, noise is there or not, but not neither; squares exist."""
    largest = math.sqrt(torch.finfo(dtype).max)
    if not (0 <= alpha <= largest and 0 <= sigma <= largest):
        raise ValueError(
            f"needs finite alpha >= 0 and sigma >= 0, at most {largest:.3g} so that {dtype} holds "
            f"their squares, got {alpha} and {sigma}."
        )
    if alpha == 0 and sigma == 0:
        raise ValueError("alpha = sigma = 0 leaves neither signal nor noise.")


def finite_at(
    function: str, result: Tensor, x: Tensor, alpha: float | int, sigma: float | int
) -> Tensor:
    """An exact model's answer, if it is finite; else say whether x is not, or that it overflows.

    NaN and infinity in x reach every answer, which is looked at in one cheap pass.
    """
    if all_finite(result):
        return result
    check_finite("x", x)
    largest = x.abs().max().item()
    raise ValueError(
        f"{function} overflows in {result.dtype}: got x up to {largest:.3g}, alpha = {alpha:.3g}, "
        f"sigma = {sigma:.3g}; rescale x and the data, or use more noise."
    )


def check_weights(weights: Tensor) -> None:
    """Weights are >= 0 and sum to one."""
    if len(weights) == 0 or not torch.isfinite(weights).all() or (weights < 0).any():
        least = f"{weights.min().item():g}" if len(weights) else "none"
        raise ValueError(f"weights must be finite, >= 0 and at least one, got {least}.")
    total = weights.double().sum().item()
    if abs(total - 1) > 1e-6:
        raise ValueError(f"weights must sum to 1, got {total:.9g}; divide by their sum.")


def check_count(name: str, n: int, least: int = 1) -> None:
    if n < least:
        raise ValueError(f"needs {name} >= {least}, got {n}.")


def check_grid(grid: Sequence[int]) -> None:
    """A grid is a list of increasing times; whether they lie in the schedule is its to say."""
    for t in grid:
        if not isinstance(t, int) or isinstance(t, bool):
            raise TypeError(f"the times of a grid must be ints, got {t!r}.")
    if len(grid) < 2 or any(b <= a for a, b in pairwise(grid)):
        raise ValueError(f"a grid needs at least two increasing times, got {list(grid)[:8]}.")


def check_device(name: str, x: Tensor, levels: Tensor) -> None:
    if x.device != levels.device:
        raise TypeError(f"{name} is on {x.device}, but the schedule on {levels.device}; move one.")


def check_times(t: Tensor, T: int) -> None:
    if not ((t >= 1) & (t <= T)).all():
        raise ValueError(
            f"t must lie in 1..{T}, got {t.min().item()} to {t.max().item()}; "
            "t = 0 is the data, without noise."
        )
