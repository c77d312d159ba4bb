"""What every part of `derive.transport` asks of its input, and how it says that it gave up."""

import torch
from torch import Tensor

from derive._validate import check_finite


class ConvergenceError(RuntimeError):
    """An iteration stopped before it reached the accuracy that was asked for."""


def check_weights(name: str, p: Tensor) -> None:
    """Weights are finite, not negative, and not all zero."""
    if p.shape[-1] == 0 or not torch.isfinite(p).all() or (p < 0).any():
        raise ValueError(
            f"{name} must hold finite weights >= 0, got values from "
            f"{_extreme(p, 'amin')} to {_extreme(p, 'amax')} in shape {tuple(p.shape)}."
        )
    if not (p.sum(dim=-1) > 0).all():
        raise ValueError(f"{name} has total weight 0: there is nothing to transport.")


def check_same_total(p: Tensor, q: Tensor) -> None:
    """Both measures carry the same mass, up to the rounding of their sums."""
    total, other = p.double().sum(dim=-1), q.double().sum(dim=-1)
    gap = ((total - other).abs() / total).max().item()
    if gap > _sum_tolerance(p, q):
        raise ValueError(
            f"p and q must have equal totals, got {_first(total)} and {_first(other)}; transport "
            "between unequal masses is another problem, and is not solved by rescaling silently."
        )


def check_probability(name: str, p: Tensor) -> None:
    """The weights sum to one, up to the rounding of their sum."""
    check_weights(name, p)
    total = p.double().sum(dim=-1)
    if (total - 1).abs().max().item() > _sum_tolerance(p, p):
        raise ValueError(f"{name} must sum to 1, got {_first(total)}; divide by its sum.")


def check_cost(C: Tensor) -> None:
    """Costs are numbers; +inf forbids a route, -inf and NaN make no sense."""
    if C.shape[-1] == 0 or C.shape[-2] == 0:
        raise ValueError(f"the cost matrix is empty, got shape {tuple(C.shape)}.")
    bad = torch.isnan(C) | torch.isneginf(C)
    if bad.any():
        place = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"the cost must hold no NaN and no -inf, got {C[place].item()} at {place}; +inf "
            "forbids a route."
        )


def check_epsilon(epsilon: float) -> None:
    if not 0 < epsilon < float("inf"):
        raise ValueError(
            f"epsilon must be positive and finite, got {epsilon}; without entropy use emd."
        )


def check_points(name: str, x: Tensor) -> None:
    if len(x) == 0:
        raise ValueError(f"{name} must hold at least one point, got shape {tuple(x.shape)}.")
    check_finite(name, x)


def uniform(x: Tensor) -> Tensor:
    """Equal weights, one for each row of x."""
    return x.new_full((len(x),), 1 / len(x))


def weighted_samples(
    x: Tensor, y: Tensor, p: Tensor | None, q: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Points are finite and weights fit; returns the weights, uniform where they are left out."""
    check_points("x", x)
    check_points("y", y)
    p, q = uniform(x) if p is None else p, uniform(y) if q is None else q
    check_weights("p", p)
    check_weights("q", q)
    check_same_total(p, q)
    return p, q


def dot(a: Tensor, weights: Tensor) -> Tensor:
    """Sum of a * weights over the last axis in float64; where the weight is zero, a is ignored."""
    a, weights = a.double(), weights.double()
    return torch.where(weights > 0, a * weights, 0.0).sum(dim=-1)


def _sum_tolerance(p: Tensor, q: Tensor) -> float:
    return max(1e-8, (p.shape[-1] + q.shape[-1]) * torch.finfo(p.dtype).eps)


def _extreme(p: Tensor, which: str) -> str:
    return f"{getattr(p, which)().item():.3g}" if p.numel() else "nothing"


def _first(total: Tensor) -> str:
    return f"{total.flatten()[0].item():.9g}"
