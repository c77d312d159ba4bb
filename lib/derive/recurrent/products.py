"""Products of Jacobians in time order, and what they leave of a gradient (`rnn-gradients`)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite, finite_or_explained
from derive.recurrent.cells import Cell, next_state, trajectory, with_recurrent


class Lags(NamedTuple):
    """Where in time a gradient comes from; entry k of a profile belongs to lag k."""

    terms: Tensor  # (T,): Frobenius norm of the term of dL/dU that enters k steps before the end
    states: Tensor  # (T + 1, *b): norm of the loss's gradient by the state k steps before the end
    gradient: Tensor  # (gates n, n): the sum of all terms, dL/dU


@typed
def product(jacobians: Float[Tensor, "T *b n n"]) -> Float[Tensor, "*b n n"]:
    r"""The derivative of the last state by the first, $J_T J_{T-1}\cdots J_1$.

    The latest factor stands on the left (book equation `eq-jac-order`); the factors do not
    commute. O(T n³) time, O(n²) memory. Of more than a few hundred factors use `lyapunov`: the
    raw product over- or underflows.

    Args:
        jacobians: The factors in time order, as `jacobians` gives them.

    Raises:
        TypeError: If the factors are not square.
        ValueError: If there is none, or the product is not finite.

    Example:
        >>> product(torch.tensor([[[0.0, 1.0], [0.0, 0.0]], [[2.0, 0.0], [0.0, 3.0]]]))
        tensor([[0., 2.],
                [0., 0.]])
    """
    _require_steps("product", jacobians)
    total = jacobians[0]
    for J in jacobians[1:]:
        total = J @ total
    return _not_overflown("product", total, jacobians)


@typed
def products_by_lag(jacobians: Float[Tensor, "T *b n n"]) -> Float[Tensor, "T *b n n"]:
    r"""The derivatives of the last state by each earlier one: $J_T$, $J_TJ_{T-1}$, and so on.

    Entry k - 1 reaches k steps back. O(T n³) time, O(T n²) memory.

    Args:
        jacobians: The factors in time order.

    Raises:
        TypeError: If the factors are not square.
        ValueError: If there is none, or a product is not finite.

    Example:
        >>> products_by_lag(torch.tensor([[[5.0]], [[3.0]], [[2.0]]])).flatten()
        tensor([ 2.,  6., 30.])
    """
    _require_steps("products_by_lag", jacobians)
    totals = [jacobians[-1]]
    for J in jacobians[:-1].flip(0):
        totals.append(totals[-1] @ J)
    return _not_overflown("products_by_lag", torch.stack(totals), jacobians)


@typed
def log_norms_by_lag(
    jacobians: Float[Tensor, "T *b n n"], v: Float[Tensor, "*b n"]
) -> Float[Tensor, "T+1 *b"]:
    r"""Logarithms of the norms that a gradient v at the end has 0, 1, …, T steps before it.

    One backward sweep $v\leftarrow J_k^\top v$, rescaled at every step, so that no length
    over- or underflows; $-\infty$ once nothing is left. O(T n²) time, O(n) memory.

    Args:
        jacobians: The factors in time order.
        v: The gradient by the last state.

    Raises:
        TypeError: If the shapes disagree.
        ValueError: If there is no factor, one is not finite or overflows in a single step, or a
            v is zero or not finite.

    Example:
        >>> log_norms_by_lag(torch.full((3, 1, 1), 2.0), torch.ones(1)) / torch.tensor(2.0).log()
        tensor([0., 1., 2., 3.])
    """
    _require_steps("log_norms_by_lag", jacobians)
    check_finite("jacobians", jacobians)
    check_finite("v", v)
    if not v.any(dim=-1).all():
        raise ValueError(
            "log_norms_by_lag needs v != 0, got a v of zeros: the norm of nothing has no logarithm."
        )
    v, log = _unit(v)
    logs = [log]
    for J in jacobians.flip(0):
        v, growth = _unit((J.mT @ v[..., None])[..., 0])
        logs.append(logs[-1] + growth)
    norms = torch.stack(logs)
    if torch.isnan(norms).any():
        raise _overflow("log_norms_by_lag", jacobians)
    return norms


@typed
def gradient_by_lag(
    cell: Cell,
    x: Float[Tensor, "T *b d"],
    loss: Callable[[Tensor], Tensor],
    *,
    state: Float[Tensor, "*b s"] | None = None,
) -> Lags:
    r"""How much each time step contributes to the gradient of a loss of the last state.

    The terms of back-propagation through time (book equation `eq-bptt`), each summed over the
    batch, by one backward sweep: O(T n²) time and O(T n) memory an entry of the batch, where
    T separate backward passes would take O(T² n²).

    Args:
        cell: The weights.
        x: Inputs, time first.
        loss: Takes the last state, shape (*b, s), to one number.
        state: The state before the first input; zero if left out.

    Raises:
        TypeError: If the batches, types or devices differ, or the loss is no tensor.
        ValueError: If there is no input, sizes do not fit the cell, an entry is not finite, the
            loss is no single number, or it or its gradient is not finite.

    Source:
        Pascanu, Mikolov, Bengio (ICML 2013), equations 3 to 5.

    Example:
        >>> one = torch.ones(1, 1)
        >>> cell = Cell("linear", one, 2 * one, torch.zeros(1), torch.zeros(1))
        >>> gradient_by_lag(cell, torch.ones(3, 1), torch.sum).terms  # h = 0, 1, 3
        tensor([3., 2., 0.])
    """
    states = trajectory(cell, x, state).detach()
    gradient = torch.zeros_like(cell.U)

    def single(last: Tensor) -> Tensor:
        value = loss(last)
        if not isinstance(value, Tensor):
            raise TypeError(f"loss must give a tensor, got {type(value).__name__}.")
        if value.ndim or not value.is_floating_point():
            raise ValueError(f"loss must give one real number, got {_kind(value)}.")
        return value

    delta, value = torch.func.grad_and_value(single)(states[-1])
    if not torch.isfinite(value):
        raise ValueError(f"gradient_by_lag needs a finite loss, got {value.item()}.")
    check_finite("the gradient of the loss", delta)
    terms, norms = [], [delta.norm(dim=-1)]
    for x_t, before in zip(x.flip(0), states[:-1].flip(0), strict=True):

        def moved(U: Tensor, state: Tensor, x_t: Tensor = x_t) -> Tensor:
            return next_state(with_recurrent(cell, U), x_t @ cell.W.T + cell.b, state)

        back = torch.func.vjp(moved, cell.U, before)[1]
        term, delta = back(delta)
        gradient += term
        terms.append(term.norm())
        norms.append(delta.norm(dim=-1))
    lags = Lags(torch.stack(terms), torch.stack(norms), gradient)
    for part in lags:
        finite_or_explained("gradient_by_lag", part, x=x, U=cell.U)
    return lags


def _require_steps(name: str, jacobians: Tensor) -> None:
    if len(jacobians) == 0:
        raise ValueError(f"{name} needs at least one Jacobian, got T=0.")


def _unit(v: Tensor) -> tuple[Tensor, Tensor]:
    """The directions of vectors, and the logarithms of their lengths, whose squares may not fit."""
    largest = v.abs().amax(dim=-1, keepdim=True)
    v = v / torch.where(largest > 0, largest, 1)
    size = v.norm(dim=-1, keepdim=True)
    direction = v / torch.where(size > 0, size, 1)
    return direction, (largest.log() + size.log())[..., 0]


def _not_overflown(name: str, result: Tensor, jacobians: Tensor) -> Tensor:
    if torch.isfinite(result).all():
        return result
    check_finite("jacobians", jacobians)
    raise _overflow(name, jacobians)


def _overflow(name: str, jacobians: Tensor) -> ValueError:
    largest = jacobians.abs().max().item()
    return ValueError(
        f"{name}: not finite; got {len(jacobians)} factors with entries up to {largest:.3g}. A "
        "raw product overflows after some hundred steps: use log_norms_by_lag or lyapunov."
    )


def _kind(value: Tensor) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}"
