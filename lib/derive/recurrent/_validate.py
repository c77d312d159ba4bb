"""What every part of `derive.recurrent` asks of its numbers, and how it says what was got."""

import torch
from torch import Tensor

from derive._typing import require_company
from derive._validate import check_finite


def check_weights(owner: str, weights: dict[str, Tensor]) -> None:
    """Tensors of one floating-point type on one device, which holds numbers, all finite."""
    for name, part in weights.items():
        if not isinstance(part, Tensor) or not part.is_floating_point():
            got = str(part.dtype) if isinstance(part, Tensor) else type(part).__name__
            raise TypeError(f"{owner}: {name} must be a tensor of floating point, got {got}.")
    require_company(owner, list(weights.items()))
    for name, part in weights.items():
        check_finite(name, part)


def check_positive(name: str, value: float, dtype: torch.dtype) -> None:
    """The number is positive and finite, and still is in the format of the weights."""
    if not 0 < torch.tensor(float(value), dtype=dtype).item() < float("inf"):
        raise ValueError(f"{name} must be positive and finite in {dtype}, got {value}.")
