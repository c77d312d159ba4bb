"""What every part of `derive.recurrent` asks of its numbers, and how it says what was got."""

import torch
from torch import Tensor

from derive import _validate
from derive._typing import require_company


def check_weights(owner: str, weights: dict[str, Tensor]) -> None:
    """Tensors of one floating-point type on one device, which holds numbers, all finite."""
    for name, part in weights.items():
        if not isinstance(part, Tensor) or not part.is_floating_point():
            got = str(part.dtype) if isinstance(part, Tensor) else type(part).__name__
            raise TypeError(f"{owner}: {name} must be a tensor of floating point, got {got}.")
    require_company(owner, list(weights.items()))
    for name, part in weights.items():
        check_finite(name, part)


def check_finite(name: str, x: Tensor) -> None:
    """Refuse NaN and infinity; inside torch.func.vmap nobody can look, and nothing is refused."""
    if _visible(x):
        _validate.check_finite(name, x)


def finite_or_explained(function: str, result: Tensor, **arguments: Tensor) -> Tensor:
    """The result, if it is finite; else say which argument is not, or that it overflows."""
    if not _visible(result):
        return result
    return _validate.finite_or_explained(function, result, **arguments)


def check_positive(name: str, value: float, dtype: torch.dtype) -> None:
    """The number is positive and finite, and still is in the format of the weights."""
    if not 0 < torch.tensor(float(value), dtype=dtype).item() < float("inf"):
        raise ValueError(f"{name} must be positive and finite in {dtype}, got {value}.")


def _visible(x: Tensor) -> bool:
    """Whether Python may branch on the numbers of a tensor."""
    try:
        x.new_zeros(()).item()
    except RuntimeError:  # under vmap what is made from a member is hidden as the member is
        return False
    return True
