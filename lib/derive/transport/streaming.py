"""Entropic transport between point clouds without a cost matrix (chapter `wasserstein`)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite
from derive.transport._blocks import Clouds, clouds, cost_blocks, log_sum, lowest, spread
from derive.transport._sweeps import Sinkhorn, alternate, exp_, interval
from derive.transport._validate import (
    check_epsilon,
    check_points,
    check_probability,
    dot,
    uniform,
)
from derive.transport.costs import Cost


class Interval(NamedTuple):
    """lower <= truth <= upper, in float64."""

    lower: Tensor
    upper: Tensor


@typed
@torch.no_grad()
def sinkhorn_points(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    epsilon: float | int,
    p: Float[Tensor, " n"] | None = None,
    q: Float[Tensor, " m"] | None = None,
    cost: Cost = "sqeuclidean",
    tol: float | int = 1e-6,
    max_iters: int = 10_000,
    num_sweeps: int | None = None,
    anneal: bool = False,
    start: Float[Tensor, " m"] | None = None,
    block: int | None = None,
) -> Sinkhorn:
    r"""Entropic transport between two point clouds in O(n + m) memory beside one block.

    The sweeps of `sinkhorn`, with costs computed anew a block of rows at a time and never
    stored: O(nmd) a sweep. With the squared cost a sweep is two rounds of softmax attention
    without values. Points are moved to their common centre first, so that float32 keeps its
    digits; what its rounding can amount to is part of the interval.

    Args:
        x: Points, one a row.
        y: Points of the same dimension.
        epsilon: Strength of the entropy, in units of the cost.
        p: Weights of x, sum 1; uniform if left out.
        q: Weights of y, sum 1; uniform if left out.
        cost: "sqeuclidean" or "euclidean".
        tol: Where to stop: L1 error of the row sums.
        max_iters: Sweeps after which to give up.
        num_sweeps: Do exactly so many sweeps instead, converged or not; the interval tells.
        anneal: Begin at a coarse epsilon and halve it; worth it for small epsilon.
        start: Potentials g to begin from; zeros if left out.
        block: Elements of a block; by default what fits a CPU's cache, or keeps a GPU busy.

    Returns:
        A `Sinkhorn`, as `sinkhorn` gives it. `certificate_points` turns its potentials into
        bounds on W.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If epsilon <= 0, a coordinate is not finite, or p or q is no probability.
        ConvergenceError: If the marginal error is above tol after max_iters sweeps.

    Example:
        >>> x = torch.tensor([[0.0], [1.0]])
        >>> sinkhorn_points(x, x, epsilon=0.1).num_iters
        1
    """
    check_epsilon(epsilon)
    p, q = _weights(x, p, "p"), _weights(y, q, "q")
    pairs = clouds(x, y, cost, block)
    log_p, log_q = p.log(), q.log()
    if start is not None:
        check_finite("start", start)

    def update_f(g: Tensor, eps: float) -> Tensor:
        return -eps * log_sum(pairs, g / eps + log_q, eps)

    def update_g(f: Tensor, eps: float) -> Tensor:
        return -eps * log_sum(pairs.turned, f / eps + log_p, eps)

    f, g, error, sweeps = alternate(
        update_f,
        update_g,
        torch.zeros_like(q) if start is None else start,
        p,
        epsilon=epsilon,
        tol=tol,
        max_iters=max_iters,
        num_sweeps=num_sweeps,
        anneal_from=pairs.largest_cost if anneal else None,
    )
    lower, upper = interval(f, g, p, q, error, spread(pairs), _rounding(pairs, epsilon))
    return Sinkhorn(f, g, lower, upper, error, sweeps)


@typed
@torch.no_grad()
def certificate_points(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    f: Float[Tensor, " n"],
    g: Float[Tensor, " m"],
    *,
    epsilon: float | int,
    p: Float[Tensor, " n"] | None = None,
    q: Float[Tensor, " m"] | None = None,
    cost: Cost = "sqeuclidean",
    block: int | None = None,
) -> Interval:
    r"""An interval that contains the transport cost W between two point clouds.

    `certificate` for the plan of the potentials f and g at epsilon, in six passes over the
    pairs (three sweeps' worth) and O(n + m) memory: two c-transforms for the lower bound; the
    plan's sums, its rounding and its cost for the upper one. Valid for any f and g.

    Args:
        x: Points, one a row.
        y: Points of the same dimension.
        f: Potentials of x.
        g: Potentials of y.
        epsilon: At which f and g were computed.
        p: Weights of x, sum 1; uniform if left out.
        q: Weights of y, sum 1; uniform if left out.
        cost: "sqeuclidean" or "euclidean".
        block: Elements of a block.

    Returns:
        The bounds, widened by 8 (d + 4) machine epsilons of the dtype times the largest cost and
        price, which covers the rounding of the costs and of sums over them. `upper` is infinite
        where epsilon is so small that the plan overflows.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If epsilon <= 0 or so small that potentials overflow when divided by it, a
            number is not finite, or p or q is no probability.

    Example:
        >>> x, zero = torch.tensor([[0.0], [1.0]]), torch.zeros(2)
        >>> bounds = certificate_points(x, x + 2, zero, zero, epsilon=1.0)
        >>> bounds.lower.item() <= 4 <= bounds.upper.item()
        True
    """
    check_epsilon(epsilon)
    if not (torch.isfinite(f).all() and torch.isfinite(g).all()):
        raise ValueError("certificate_points needs finite potentials, got NaN or infinity.")
    p, q = _weights(x, p, "p"), _weights(y, q, "q")
    pairs = clouds(x, y, cost, block)
    prices = f.abs().max().item() + g.abs().max().item()
    largest = (prices + pairs.largest_cost) / epsilon
    if not largest < torch.finfo(x.dtype).max:
        raise ValueError(
            f"certificate_points: potentials and costs up to {prices + pairs.largest_cost:.3g} "
            f"overflow when divided by epsilon={epsilon:.3g}."
        )
    margin = pairs.margin * (1 + prices / max(pairs.largest_cost, torch.finfo(x.dtype).tiny))
    nowhere = x.new_tensor(-torch.inf)
    best_g = lowest(pairs.turned, torch.where(p > 0, f, nowhere))
    best_f = lowest(pairs, torch.where(q > 0, best_g, nowhere))
    lower = dot(best_f, p) + dot(best_g, q) - margin
    return Interval(lower, _rounded_cost(pairs, p, q, f, g, epsilon) + margin)


def _rounded_cost(
    pairs: Clouds, p: Tensor, q: Tensor, f: Tensor, g: Tensor, epsilon: float
) -> Tensor:
    """What the plan costs after the rounding of `round_plan`, never holding it."""
    # Factors of rows and columns as logarithms; both only ever shrink.
    u = f / epsilon + p.log()
    v = g / epsilon + q.log()
    u = u + (p.log() - u - log_sum(pairs, v, epsilon)).clamp(max=0).nan_to_num(nan=0.0)
    columns = v + log_sum(pairs.turned, u, epsilon)
    v = v + (q.log() - columns).clamp(max=0).nan_to_num(nan=0.0)
    missing_columns = (q.double() - columns.double().exp()).clamp(min=0)
    missing_rows = p.to(torch.float64, copy=True)
    total = q.new_zeros((), dtype=torch.float64)
    for part, C in cost_blocks(pairs):
        plan = exp_(torch.add(u[part, None] + v, C, alpha=-1 / epsilon))
        missing_rows[part] -= plan.sum(dim=1, dtype=torch.float64)
        total += plan.mul_(C).sum(dtype=torch.float64)
    missing_rows = missing_rows.clamp(min=0)
    share = (missing_columns / missing_columns.sum().clamp(min=1e-300)).to(q.dtype)
    for part, C in cost_blocks(pairs):
        total += dot(C @ share, missing_rows[part])
    return total


def _weights(x: Tensor, p: Tensor | None, name: str) -> Tensor:
    if p is None:
        check_points(f"the points of {name}", x)
        return uniform(x)
    check_probability(name, p)
    return p


def _rounding(pairs: Clouds, epsilon: float) -> Tensor:
    pairs_log = math.log(len(pairs.x) * len(pairs.y) + 1)
    unit = torch.finfo(pairs.x.dtype).eps
    return pairs.x.new_tensor(
        2 * pairs.margin + 16 * unit * epsilon * pairs_log, dtype=torch.float64
    )
