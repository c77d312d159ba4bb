"""Gradient clipping, and the look-alike that turns the gradient (chapter `rnn-gradients`)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite


@typed
def clip_by_norm_(grads: Sequence[Tensor], c: float | int) -> Tensor:
    r"""The gradients' joint norm before clipping; they are scaled in place to norm at most c.

    All are multiplied by $\min(1, c/\|g\|)$, which keeps the direction (book equation
    `eq-clip`). A zero gradient stays zero. O(size) time.

    Args:
        grads: The gradients of all parameters.
        c: The largest norm allowed.

    Raises:
        TypeError: If a gradient is no tensor of floating point, or on another device.
        ValueError: If c is not positive and finite, there is no gradient, or one (or the norm) is
            not finite.

    Source:
        Pascanu, Mikolov, Bengio (ICML 2013), algorithm 1. `torch.nn.utils.clip_grad_norm_` adds
        1e-6 to the norm.

    Example:
        >>> g = torch.tensor([3.0, 4.0])
        >>> clip_by_norm_([g], 1.0), g
        (tensor(5.), tensor([0.6000, 0.8000]))
    """
    _require(grads, c)
    with torch.no_grad():
        norm = torch.stack([grad.norm() for grad in grads]).norm()
        if not torch.isfinite(norm):
            raise ValueError(
                f"the gradients' norm is not finite, got {norm.item()}; clipping cannot mend "
                "that, skip the step."
            )
        if norm > c:
            for grad in grads:
                grad.mul_(c / norm)
    return norm


@typed
def clip_by_value_(grads: Sequence[Tensor], c: float | int) -> None:
    """Clamp every entry to [-c, c], in place; this turns the gradient, and is here to show it.

    Raises:
        TypeError: If a gradient is no tensor of floating point, or on another device.
        ValueError: If c is not positive and finite, there is no gradient, or one is not finite.

    Example:
        >>> g = torch.tensor([10.0, 0.1])
        >>> clip_by_value_([g], 1.0)
        >>> g
        tensor([1.0000, 0.1000])
    """
    _require(grads, c)
    for place, grad in enumerate(grads):
        check_finite(f"grads[{place}]", grad)
    with torch.no_grad():
        for grad in grads:
            grad.clamp_(-c, c)


def _require(grads: Sequence[Tensor], c: float) -> None:
    if not 0 < c < math.inf:
        raise ValueError(f"the clipping threshold must be positive and finite, got c={c}.")
    if not grads:
        raise ValueError("there is no gradient to clip, got an empty sequence.")
    for place, grad in enumerate(grads):
        if not isinstance(grad, Tensor) or not grad.is_floating_point():
            got = str(grad.dtype) if isinstance(grad, Tensor) else type(grad).__name__
            raise TypeError(f"grads[{place}] must be a tensor of floating point, got {got}.")
        if grad.device != grads[0].device or grad.device.type == "meta":
            raise TypeError(
                f"gradients must be on one device that holds numbers, got {grads[0].device} and, "
                f"for grads[{place}], {grad.device}."
            )
