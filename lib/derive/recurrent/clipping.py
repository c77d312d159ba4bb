"""Gradient clipping, and the look-alike that turns the gradient (chapter `rnn-gradients`)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from derive._typing import typed


@typed
def clip_by_norm_(grads: Sequence[Tensor], c: float | int) -> Tensor:
    r"""The gradients' joint norm before clipping; they are scaled in place to norm at most c.

    All are multiplied by $\min(1, c/\|g\|)$, which keeps the direction (book equation
    `eq-clip`). A zero gradient stays zero. O(size) time.

    Args:
        grads: The gradients of all parameters.
        c: The largest norm allowed.

    Raises:
        ValueError: If c is not positive and finite, there is no gradient, or one is not finite.

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
            raise ValueError("a gradient is not finite; clipping cannot mend that, skip the step.")
        if norm > c:
            for grad in grads:
                grad.mul_(c / norm)
    return norm


@typed
def clip_by_value_(grads: Sequence[Tensor], c: float | int) -> None:
    """Clamp every entry to [-c, c], in place; this turns the gradient, and is here to show it.

    Raises:
        ValueError: If c is not positive and finite, or there is no gradient.

    Example:
        >>> g = torch.tensor([10.0, 0.1])
        >>> clip_by_value_([g], 1.0)
        >>> g
        tensor([1.0000, 0.1000])
    """
    _require(grads, c)
    with torch.no_grad():
        for grad in grads:
            grad.clamp_(-c, c)


def _require(grads: Sequence[Tensor], c: float) -> None:
    if not 0 < c < math.inf:
        raise ValueError(f"the clipping threshold must be positive and finite, got c={c}.")
    if not grads:
        raise ValueError("there is no gradient to clip.")
