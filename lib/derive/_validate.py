"""What several subjects ask of the numbers that they are given, and of those that they give.

Inside of `torch.func.vmap` nobody can look at numbers, and none is refused.
"""

import torch
from torch import Tensor


def check_finite(name: str, x: Tensor) -> None:
    """Refuse NaN and infinity, naming the argument and the first bad place."""
    if hidden(x):
        return
    bad = ~torch.isfinite(x)
    if bad.any():
        place = tuple(bad.nonzero()[0].tolist())
        raise ValueError(f"{name} must be finite, got {x[place].item()} at {place}.")


def check_precision(function: str, x: Tensor) -> None:
    """Refuse half precision, for which torch has no such routine."""
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{function} needs float32 or float64, got {x.dtype}.")


def finite_or_explained(function: str, result: Tensor, **arguments: Tensor) -> Tensor:
    """The result, if it is finite; else say which argument is not, or that it overflows.

    NaN and infinity in the arguments reach the result, which is often much smaller.
    """
    if all_finite(result):
        return result
    for name, x in arguments.items():
        check_finite(name, x)
    sizes = ", ".join(f"{name} up to {x.abs().max().item():.3g}" for name, x in arguments.items())
    raise ValueError(f"{function} overflows in {result.dtype}: got {sizes}; rescale.")


def all_finite(x: Tensor) -> bool:
    """Whether all numbers are finite, or hidden."""
    if hidden(x):
        return True
    # The sum of finite numbers is finite unless it overflows: one cheap pass, then a sure one.
    return bool(torch.isfinite(x.detach().sum()) or torch.isfinite(x).all())


def hidden(x: Tensor) -> bool:
    """Whether Python may not branch on the numbers of a tensor, as inside of `torch.func.vmap`."""
    try:
        x.new_zeros(()).item()
    except RuntimeError:  # what is made from a member of a batch is hidden as the member is
        return True
    return False
