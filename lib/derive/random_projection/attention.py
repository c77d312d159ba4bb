"""The logit scale that makes attention single out one key (chapter `jl-lemma`)."""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from derive._typing import typed
from derive.random_projection.matrices import check_finite


@typed
def attention_temperature(
    scores: Float[Tensor, "*batch keys"], mass: float
) -> Float64[Tensor, "*batch"]:
    r"""Smallest scale beta >= 0 for which softmax(beta * scores) puts `mass` on its largest score.

    With gaps $\delta_j$ between the largest score and the others, beta solves
    $\sum_j e^{-\beta\delta_j} = (1-m)/m$. If all gaps are equal this is
    $\log(m(L-1)/(1-m))/\delta$, and in general it lies between that figure for the largest gap
    and for the smallest (book equation `jl-attn-beta`); bisection on log beta in between.
    O(keys) time for each of 64 halvings; memory: a copy of the scores in float64.

    Args:
        scores: Unscaled logits, one query a row; at least one key.
        mass: Attention that the best key shall get, in (0, 1).

    Returns:
        The scale for each query, 0 where equal attention is enough.

    Raises:
        ValueError: If mass is outside (0, 1), a score is not finite, or some query's best score
            is shared by so many keys that no scale reaches `mass`.

    Example:
        >>> import torch
        >>> attention_temperature(torch.tensor([1.0, 0.0]), 0.5 + 1e-9).round(decimals=6)
        tensor(0., dtype=torch.float64)
    """
    if not 0 < mass < 1:
        raise ValueError(f"mass must lie in (0, 1), got {mass}.")
    if scores.numel() == 0:
        raise ValueError(f"scores must not be empty, got shape {tuple(scores.shape)}.")
    check_finite(scores=scores)
    logits = scores.double()
    gaps = logits.max(dim=-1, keepdim=True).values - logits
    # A gap that no finite scale could open counts as a tie, like the best key's own gap of 0.
    others = gaps > 1e-300
    keys, rest = gaps.shape[-1], (1 - mass) / mass
    ties = keys - others.sum(dim=-1, dtype=torch.float64)  # integers would turn share into float32
    if keys - 1 <= rest:
        return torch.zeros_like(ties, dtype=torch.float64)
    if (ties - 1 >= rest).any():
        worst = int(ties.max())
        raise ValueError(
            f"a query's best score is shared by {worst} keys: a scale gives one of them less "
            f"than {1 / worst:.3g}, never mass={mass}."
        )
    # The other keys' terms have this sum, between that of equal gaps at the largest and smallest.
    share = rest - (ties - 1)
    level = ((keys - ties) / share).log()
    low = level / gaps.max(dim=-1).values
    high = level / gaps.masked_fill(~others, math.inf).min(dim=-1).values
    for _ in range(64):
        middle = low.sqrt() * high.sqrt()
        terms = (-middle.unsqueeze(-1) * gaps).exp().masked_fill(~others, 0)
        too_small = terms.sum(dim=-1) > share
        low, high = torch.where(too_small, middle, low), torch.where(too_small, high, middle)
    return high
