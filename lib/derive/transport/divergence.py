"""Sinkhorn divergences: entropic transport with its own bias taken out (`wasserstein`)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive.transport._blocks import Clouds, clouds, cost_blocks, log_sum, spread
from derive.transport._sweeps import (
    Sinkhorn,
    check_limits,
    exp_,
    interval,
    not_converged,
    row_error,
)
from derive.transport._validate import check_epsilon
from derive.transport.costs import Cost
from derive.transport.streaming import _rounding, _weights, sinkhorn_points


class SinkhornDivergence(NamedTuple):
    """A debiased transport cost, and an interval that contains it."""

    value: Tensor
    """Differentiable in the points and in the weights."""
    lower: Tensor
    upper: Tensor


@typed
def sinkhorn_divergence(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    epsilon: float | int,
    p: Float[Tensor, " n"] | None = None,
    q: Float[Tensor, " m"] | None = None,
    cost: Cost = "sqeuclidean",
    debias: bool = True,
    tol: float | int | None = None,
    max_iters: int = 10_000,
    anneal: bool = False,
) -> SinkhornDivergence:
    r"""Entropic transport between point clouds, less the mean of the two self-transports.

    $S_\varepsilon = OT_\varepsilon(p, q) - \tfrac12 OT_\varepsilon(p, p) - \tfrac12
    OT_\varepsilon(q, q)$ (book equation `eq-sk-self`): zero when the clouds agree, W as
    $\varepsilon\to0$, half a squared MMD as $\varepsilon\to\infty$. Gradients come from the
    plans (`eq-sk-grad`), not from backpropagation through sweeps. O(n + m) memory beside a
    block; the two self-terms use one potential each and the averaged update, which needs few
    sweeps.

    Args:
        x: Points, one a row.
        y: Points of the same dimension.
        epsilon: Strength of the entropy, in units of the cost.
        p: Weights of x, sum 1; uniform if left out.
        q: Weights of y, sum 1; uniform if left out.
        cost: "sqeuclidean" or "euclidean" (whose gradient at coinciding points is taken as 0).
        debias: Without it the value is $OT_\varepsilon(p, q)$ alone.
        tol: Marginal error at which to stop; 1e-9 in float64 and 1e-5 in float32 if left out.
        max_iters: Sweeps after which to give up.
        anneal: Begin at a coarse epsilon and halve it.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If epsilon <= 0, a coordinate is not finite, or p or q is no probability.
        ConvergenceError: If a marginal error is above tol after max_iters sweeps.

    Source:
        Genevay, Peyré, Cuturi (AISTATS 2018); Feydy et al. (AISTATS 2019) for the self-terms'
        update and for positivity.

    Example:
        >>> x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        >>> round(sinkhorn_divergence(x, x + 2, epsilon=1.0).value.item(), 6)
        4.0
    """
    check_epsilon(epsilon)
    p, q = _weights(x, p, "p"), _weights(y, q, "q")
    if tol is None:
        tol = 1e-9 if x.dtype == torch.float64 else 1e-5
    plain_x, plain_y, plain_p, plain_q = (t.detach() for t in (x, y, p, q))
    cross = sinkhorn_points(
        plain_x,
        plain_y,
        epsilon=epsilon,
        p=plain_p,
        q=plain_q,
        cost=cost,
        tol=tol,
        max_iters=max_iters,
        anneal=anneal,
    )
    value = _PointCost.apply(x, y, p, q, cross.f, cross.g, cross.lower, epsilon, cost)
    if not debias:
        return SinkhornDivergence(value, cross.lower, cross.upper)
    lower, upper = cross.lower, cross.upper
    for points, weights in ((x, p), (y, q)):
        own = _self_transport(
            points.detach(), weights.detach(), cost, epsilon, anneal, tol=tol, max_iters=max_iters
        )
        term = _PointCost.apply(
            points, points, weights, weights, own.f, own.g, own.lower, epsilon, cost
        )
        value = value - term / 2
        lower, upper = lower - own.upper / 2, upper - own.lower / 2
    return SinkhornDivergence(value, lower, upper)


@torch.no_grad()
def _self_transport(
    x: Tensor,
    p: Tensor,
    cost: Cost,
    epsilon: float | int,
    anneal: bool,
    *,
    tol: float,
    max_iters: int,
) -> Sinkhorn:
    """OT_epsilon(p, p) by the averaged update of its one potential."""
    check_limits(tol, max_iters, None, p)
    pairs, log_p = clouds(x, x, cost, None), p.log()

    def update(f: Tensor, eps: float) -> Tensor:
        return -eps * log_sum(pairs, f / eps + log_p, eps)

    f, coarse = torch.zeros_like(p), pairs.largest_cost
    while anneal and coarse > epsilon:
        for _ in range(5):
            f = (f + update(f, coarse)) / 2
        coarse /= 2
    for sweep in range(1, max_iters + 1):
        g = update(f, epsilon)
        error = row_error(f, g, p, epsilon)
        if error <= tol / 2:
            # One plain update makes the column sums exact, as the interval wants them.
            error = row_error(f, update(g, epsilon), p, epsilon)
            if error <= tol:
                lower, upper = interval(f, g, p, p, error, spread(pairs), _rounding(pairs, epsilon))
                return Sinkhorn(f, g, lower, upper, error, sweep)
        f = (f + g) / 2
    raise not_converged(error.item(), tol, max_iters, epsilon)


class _PointCost(torch.autograd.Function):
    """The value that a solver found, with the gradients that the envelope theorem gives it."""

    @staticmethod
    def forward(ctx, x, y, p, q, f, g, value, epsilon, cost):
        ctx.save_for_backward(x, y, p, q, f, g)
        ctx.epsilon, ctx.cost = epsilon, cost
        return value.to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, y, p, q, f, g = ctx.saved_tensors
        pairs = clouds(x, y, ctx.cost, None)
        u, v = f / ctx.epsilon + p.log(), g / ctx.epsilon + q.log()
        sides = ((pairs, u, v), (pairs.turned, v, u))
        to_points = [
            grad * _pull(*side, ctx.epsilon) if needed else None
            for side, needed in zip(sides, ctx.needs_input_grad, strict=False)
        ]
        return *to_points, grad * f, grad * g, None, None, None, None, None


def _pull(pairs: Clouds, u: Tensor, v: Tensor, epsilon: float) -> Tensor:
    r"""$\sum_j \gamma_{ij} \nabla_1 c(x_i, y_j)$ for every i."""
    pulled = torch.empty_like(pairs.x)
    for part, C in cost_blocks(pairs):
        plan = exp_(torch.add(u[part, None] + v, C, alpha=-1 / epsilon))
        if pairs.cost == "euclidean":  # its gradient is a unit vector, and 0 where there is none
            plan = torch.where(C > 0, plan / C, 0.0)
        else:
            plan *= 2
        pulled[part] = plan.sum(dim=1, keepdim=True) * pairs.x[part] - plan @ pairs.y
    return pulled
