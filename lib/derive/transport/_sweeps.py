"""The alternation that every Sinkhorn solver of this package shares, and its interval."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from derive.transport._validate import ConvergenceError, dot

Update = Callable[[Tensor, float], Tensor]  # potentials of one side -> best ones of the other


class Sinkhorn(NamedTuple):
    """Potentials of entropic transport, and an interval that contains its optimal value."""

    f: Tensor
    g: Tensor
    lower: Tensor
    """Value of the potentials, in float64: a lower bound on OT_epsilon by weak duality."""
    upper: Tensor
    """Lower bound plus what the marginal error can still hide."""
    marginal_error: Tensor
    """L1 distance of the plan's row sums from p; its column sums are exact."""
    num_iters: int


def alternate(
    update_f: Update,
    update_g: Update,
    g: Tensor,
    p: Tensor,
    *,
    epsilon: float,
    tol: float,
    max_iters: int,
    num_sweeps: int | None,
    anneal_from: float | None = None,
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Sweep until the row sums are right: (f, g, their L1 error, number of sweeps).

    After an update of g the column sums are exact. The row sums follow from the next update of
    f, p_i exp((f_i - new f_i) / epsilon), so that watching them costs nothing.
    """
    check_limits(tol, max_iters, num_sweeps, p)
    if anneal_from is not None:
        for coarse in _halvings(anneal_from, epsilon):
            for _ in range(5):
                g = update_g(update_f(g, coarse), coarse)
    f, last = update_f(g, epsilon), num_sweeps or max_iters
    for sweep in range(1, last + 1):
        g = update_g(f, epsilon)
        new = update_f(g, epsilon)
        error = row_error(f, new, p, epsilon)
        # Compared this way round so that a NaN never counts as converged.
        if sweep == last or (num_sweeps is None and bool((error <= tol).all())):
            break
        f = new
    if num_sweeps is None and not bool((error <= tol).all()):
        raise not_converged(error.max().item(), tol, max_iters, epsilon)
    return f, g, error, sweep


def exp_(S: Tensor) -> Tensor:
    """exp of numbers <= 0, in place; what would underflow becomes the smallest power kept.

    Processors take a hundred times longer where the result is subnormal or zero, and for small
    epsilon most results are; next to the largest, which is 1, these powers do not count.
    """
    return S.clamp_(min=-700.0 if S.dtype == torch.float64 else -80.0).exp_()


def row_error(f: Tensor, new: Tensor, p: Tensor, epsilon: float) -> Tensor:
    share = torch.expm1((f - new).double() / epsilon).abs()
    return dot(share, p).clamp(max=2.0)  # two probability vectors are never further apart


def check_limits(tol: float, max_iters: int, num_sweeps: int | None, p: Tensor) -> None:
    if max_iters < 1 or (num_sweeps is not None and num_sweeps < 1):
        raise ValueError(
            f"sinkhorn needs at least one sweep, got max_iters={max_iters}, "
            f"num_sweeps={num_sweeps}."
        )
    if not tol >= 0:
        raise ValueError(f"tol must be >= 0, got {tol}.")
    least = 4 * torch.finfo(p.dtype).eps
    if num_sweeps is None and not tol >= least:
        raise ValueError(
            f"tol={tol:.0e} is below what {p.dtype} resolves; ask for at least {least:.0e}."
        )


def not_converged(error: float, tol: float, sweeps: int, epsilon: float) -> ConvergenceError:
    return ConvergenceError(
        f"sinkhorn: marginal error {error:.2e} > tol={tol:.0e} after {sweeps} sweeps at "
        f"epsilon={epsilon:g}; raise epsilon, tol or max_iters, or ask for num_sweeps and read "
        "the interval."
    )


def interval(
    f: Tensor, g: Tensor, p: Tensor, q: Tensor, error: Tensor, spread: Tensor, margin: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Bounds on OT_epsilon when the column sums are exact and the row sums off by `error`.

    The plan is optimal for its own row sums p', so convexity in p' bounds what is hidden by
    $\tfrac12(\mathrm{osc} f + \mathrm{osc} f^*)\,\|p - p'\|_1$, and the potentials, soft
    minima of costs, vary by no more than the costs within a column: `spread`.
    """
    value = dot(f, p) + dot(g, q)
    hidden = torch.where(error > 0, spread.double() * error, 0.0)
    return value - margin, value + hidden + margin


def _halvings(start: float, end: float) -> list[float]:
    return [start / 2**k for k in range(math.ceil(math.log2(start / end)))] if start > end else []
