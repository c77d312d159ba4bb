"""Entropic transport in the log domain, batched (chapter `wasserstein`)."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite, finite_or_explained
from derive.transport._sweeps import Sinkhorn, alternate, exp_, interval
from derive.transport._validate import (
    check_cost,
    check_epsilon,
    check_probability,
    check_weights,
)


@typed
@torch.no_grad()
def sinkhorn(
    p: Float[Tensor, "*b n"],
    q: Float[Tensor, "*b m"],
    C: Float[Tensor, "*b n m"],
    *,
    epsilon: float | int,
    tol: float | int = 1e-9,
    max_iters: int = 10_000,
    num_sweeps: int | None = None,
    anneal: bool = False,
    start: Float[Tensor, "*b m"] | None = None,
) -> Sinkhorn:
    r"""Potentials of entropic transport, and an interval that contains its optimal value.

    Minimises $\langle\gamma, C\rangle + \varepsilon\,\mathrm{KL}(\gamma\,\|\,p\otimes q)$ by
    alternating the two updates of book equation `eq-sk-form`, as logarithms of sums: no
    exponential under- or overflows. O(nm) a sweep; memory for C and two more of its size.

    Args:
        p: Weights of the rows, sum 1. A weight of zero is padding: batches of problems of
            different sizes are filled up with zeros (see `pad`).
        q: Weights of the columns, sum 1.
        C: Costs; +inf forbids a route.
        epsilon: Strength of the entropy, in units of the cost.
        tol: Where to stop: L1 error of the plan's row sums (its column sums are exact).
        max_iters: Sweeps after which to give up.
        num_sweeps: Do exactly so many sweeps instead, converged or not; the interval tells.
        anneal: Begin at a coarse epsilon and halve it; worth it for small epsilon.
        start: Potentials g to begin from, such as those of a similar problem; zeros if left out.

    Returns:
        A `Sinkhorn`. Its `lower` is the value of the potentials, its `upper` adds (largest spread
        of costs within a column) x (marginal error); both are in float64 and widened for the
        rounding of the input's dtype. W itself is bounded by `certificate`, not by these.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If epsilon <= 0, p or q are no probabilities, a cost is NaN, or forbidden
            routes leave no plan.
        ConvergenceError: If the marginal error is above tol after max_iters sweeps.

    Source:
        Cuturi (NeurIPS 2013). The entropy is relative to $p\otimes q$; the plain entropy of
        other texts adds $-\varepsilon(H(p) + H(q))$ to the value, and changes no plan.

    Example:
        >>> half, C = torch.tensor([0.5, 0.5]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> bounds = sinkhorn(half, half, C, epsilon=1.0, tol=1e-6)
        >>> bounds.lower.item() <= 0.379885 <= bounds.upper.item()  # log(2 / (1 + exp(-1)))
        True
    """
    _check(p, q, C, epsilon)
    log_p, log_q = p.log(), q.log()
    exponent, room = torch.empty_like(C), torch.empty_like(C)
    scaled_by = [math.nan]  # the epsilon that `exponent` holds -C / epsilon for

    def rescale(eps: float) -> None:
        if scaled_by[0] != eps:
            torch.mul(C, -1 / eps, out=exponent)
            scaled_by[0] = eps

    def update_f(g: Tensor, eps: float) -> Tensor:
        rescale(eps)
        torch.add(exponent, (g / eps + log_q)[..., None, :], out=room)
        return _soft_minimum(room, -1, eps, p)

    def update_g(f: Tensor, eps: float) -> Tensor:
        rescale(eps)
        torch.add(exponent, (f / eps + log_p)[..., :, None], out=room)
        return _soft_minimum(room, -2, eps, q)

    g = torch.zeros_like(q) if start is None else start
    check_finite("start", g)
    spread = _spread(C, p, room)
    largest = torch.where(torch.isfinite(C), C.abs(), 0.0).amax(dim=(-2, -1)).double()
    coarse = largest.max().item() if anneal else None
    f, g, error, sweeps = alternate(
        update_f,
        update_g,
        g,
        p,
        epsilon=epsilon,
        tol=tol,
        max_iters=max_iters,
        num_sweeps=num_sweeps,
        anneal_from=coarse,
    )
    n, m = C.shape[-2:]
    margin = 16 * torch.finfo(C.dtype).eps * (largest + epsilon * math.log(n * m + 1))
    lower, upper = interval(f, g, p, q, error, spread, margin)
    return Sinkhorn(f, g, lower, upper, error, sweeps)


@typed
def gibbs_plan(
    p: Float[Tensor, "*b n"],
    q: Float[Tensor, "*b m"],
    C: Float[Tensor, "*b n m"],
    f: Float[Tensor, "*b n"],
    g: Float[Tensor, "*b m"],
    *,
    epsilon: float | int,
) -> Float[Tensor, "*b n m"]:
    r"""The plan that belongs to a pair of entropic potentials.

    $\gamma_{ij} = p_i q_j \exp((f_i + g_j - C_{ij})/\varepsilon)$ (book equation `eq-sk-form`).
    O(nm) time and memory.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If epsilon <= 0, a weight, cost or potential is no number of its kind, or the
            plan overflows, as it does for potentials that do not belong to epsilon.

    Example:
        >>> half, zero = torch.tensor([0.5, 0.5]), torch.zeros(2)
        >>> gibbs_plan(half, half, torch.zeros(2, 2), zero, zero, epsilon=1.0)
        tensor([[0.2500, 0.2500],
                [0.2500, 0.2500]])
    """
    check_epsilon(epsilon)
    exponent = (f[..., :, None] + g[..., None, :] - C) / epsilon
    plan = torch.exp(exponent + p.log()[..., :, None] + q.log()[..., None, :])
    if not torch.isfinite(plan.detach().sum()):
        check_weights("p", p)
        check_weights("q", q)
        check_cost(C)
        return finite_or_explained("gibbs_plan", plan, f=f, g=g)
    return plan


@typed
def entropic_cost(
    p: Float[Tensor, "*b n"],
    q: Float[Tensor, "*b m"],
    C: Float[Tensor, "*b n m"],
    *,
    epsilon: float | int,
    tol: float | int = 1e-9,
    max_iters: int = 10_000,
    anneal: bool = False,
) -> Float[Tensor, "*b"]:
    r"""The optimal value of entropic transport, with its gradients.

    By the envelope theorem the gradient with respect to C is the plan, with respect to p and q
    the potentials: nothing is propagated through the sweeps (book equation `eq-sk-grad`). Second
    derivatives are not provided. The value is below the truth by at most the width of
    `sinkhorn`'s interval, which takes the same arguments and explains them.

    Raises:
        TypeError, ValueError, ConvergenceError: As for `sinkhorn`.

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> C = torch.tensor([[0.0, 1.0], [1.0, 0.0]], requires_grad=True)
        >>> entropic_cost(half, half, C, epsilon=1.0, tol=1e-6).backward()
        >>> C.grad
        tensor([[0.3655, 0.1345],
                [0.1345, 0.3655]])
    """
    found = sinkhorn(p, q, C, epsilon=epsilon, tol=tol, max_iters=max_iters, anneal=anneal)
    with torch.no_grad():
        plan = gibbs_plan(p, q, C, found.f, found.g, epsilon=epsilon)
        value = found.lower.to(C.dtype)
    # Each added term is zero; its gradient is what the theorem says.
    change = torch.where(torch.isfinite(C), C - C.detach(), 0.0) * plan
    first_p, first_q = ((w - w.detach()) * h for w, h in ((p, found.f), (q, found.g)))
    return value + change.sum(dim=(-2, -1)) + first_p.sum(dim=-1) + first_q.sum(dim=-1)


@typed
def pad(problems: list) -> tuple[Tensor, Tensor, Tensor]:
    """Transport problems of different sizes as one batch: weights and costs filled with zeros.

    Args:
        problems: Triples (p, q, C) of one dtype and device.

    Returns:
        Weights (b, n) and (b, m) and costs (b, n, m), for the largest n and m. A weight of zero
        takes no part in anything; infinite costs (forbidden routes) stay where they are.

    Raises:
        TypeError: If a problem is no triple of tensors of floating-point numbers.
        ValueError: If there is no problem, the parts of one do not fit together, or its weights or
            costs are no numbers of their kind.

    Example:
        >>> one, half = torch.ones(1), torch.tensor([0.5, 0.5])
        >>> pad([(one, half, torch.ones(1, 2)), (half, one, torch.ones(2, 1))])[0]
        tensor([[1.0000, 0.0000],
                [0.5000, 0.5000]])
    """
    if not problems:
        raise ValueError("pad needs at least one problem (p, q, C), got none.")
    for k, problem in enumerate(problems):
        _check_problem(k, problem)
    n, m = max(len(p) for p, _, _ in problems), max(len(q) for _, q, _ in problems)
    first = problems[0][2]
    P, Q = first.new_zeros(len(problems), n), first.new_zeros(len(problems), m)
    costs = first.new_zeros(len(problems), n, m)
    for k, (p, q, C) in enumerate(problems):
        P[k, : len(p)], Q[k, : len(q)], costs[k, : len(p), : len(q)] = p, q, C
    return P, Q, costs


def _check_problem(k: int, problem: Any) -> None:
    parts = problem if isinstance(problem, tuple | list) else (problem,)
    if len(parts) != 3 or not all(isinstance(t, Tensor) and t.is_floating_point() for t in parts):
        raise TypeError(
            f"problem {k} must be a triple (p, q, C) of floating-point tensors, got "
            f"{', '.join(str(getattr(t, 'dtype', type(t).__name__)) for t in parts) or 'nothing'}."
        )
    p, q, C = parts
    if p.ndim != 1 or q.ndim != 1 or C.shape != (len(p), len(q)):
        raise ValueError(
            f"problem {k} must have shapes (n,), (m,) and (n, m), got "
            f"{', '.join(str(tuple(t.shape)) for t in parts)}."
        )
    if len({(t.dtype, t.device) for t in parts}) > 1 or C.is_meta:
        raise TypeError(
            f"problem {k} must have one dtype and a device with numbers, got "
            f"{', '.join(f'{t.dtype} on {t.device}' for t in parts)}."
        )
    check_weights("p", p)
    check_weights("q", q)
    check_cost(C)


def _check(p: Tensor, q: Tensor, C: Tensor, epsilon: float) -> None:
    check_epsilon(epsilon)
    check_probability("p", p)
    check_probability("q", q)
    check_cost(C)


def _soft_minimum(room: Tensor, axis: int, epsilon: float | int, weights: Tensor) -> Tensor:
    """-epsilon log sum exp of `room` along an axis; `room` is used up."""
    top = room.amax(dim=axis, keepdim=True)
    nowhere = torch.isneginf(top)
    if nowhere.any():
        if (nowhere.squeeze(axis) & (weights > 0)).any():
            raise ValueError("infeasible: the forbidden routes leave no plan.")
        top = torch.where(nowhere, 0.0, top)
    total = exp_(room.sub_(top)).sum(dim=axis)
    soft = -epsilon * (total.log() + top.squeeze(axis))
    # Padding that no route reaches may have any price: 0.
    return torch.where(nowhere.squeeze(axis), 0.0, soft) if nowhere.any() else soft


def _spread(C: Tensor, p: Tensor, room: Tensor) -> Tensor:
    """Over the rows in use, the largest variation of the cost within a column."""
    away = torch.where(p > 0, 0.0, torch.inf)[..., :, None]
    low = torch.add(C, away, out=room).amin(dim=-2)
    high = torch.sub(C, away, out=room).amax(dim=-2)
    return torch.where(torch.isfinite(low), high - low, torch.inf).amax(dim=-1)
