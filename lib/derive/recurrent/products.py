"""Products of Jacobians in time order, and what they leave of a gradient (`rnn-gradients`)."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive.recurrent.cells import Cell, step, trajectory


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
    return _finite("product", total)


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
    return _finite("products_by_lag", torch.stack(totals))


@typed
def log_norms_by_lag(
    jacobians: Float[Tensor, "T *b n n"], v: Float[Tensor, "*b n"]
) -> Float[Tensor, "T+1 *b"]:
    r"""Logarithms of the norms that a gradient v at the end has 0, 1, …, T steps before it.

    One backward sweep $v\leftarrow J_k^\top v$, rescaled at every step, so that no length
    overflows; $-\infty$ once nothing is left. O(T n²) time, O(n) memory.

    Args:
        jacobians: The factors in time order.
        v: The gradient by the last state.

    Raises:
        TypeError: If the shapes disagree.
        ValueError: If there is no factor, one is not finite, or a v is zero.

    Example:
        >>> log_norms_by_lag(torch.full((3, 1, 1), 2.0), torch.ones(1)) / torch.tensor(2.0).log()
        tensor([0., 1., 2., 3.])
    """
    _require_steps("log_norms_by_lag", jacobians)
    _finite("log_norms_by_lag", jacobians)
    size = v.norm(dim=-1)
    if (size == 0).any():
        raise ValueError("log_norms_by_lag needs v != 0: the norms of nothing have no logarithm.")
    logs = [size.log()]
    v = v / size[..., None]
    for J in jacobians.flip(0):
        v = (J.mT @ v[..., None])[..., 0]
        size = v.norm(dim=-1)
        logs.append(logs[-1] + size.log())
        v = v / torch.where(size > 0, size, 1)[..., None]
    return torch.stack(logs)


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
        TypeError: If the batches differ.
        ValueError: If sizes do not fit the cell, or the loss is no single number or not finite.

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
    delta, value = torch.func.grad_and_value(loss)(states[-1])
    if not torch.isfinite(value):
        raise ValueError(f"gradient_by_lag needs a finite loss, got {value.item()}.")
    terms, norms = [], [delta.norm(dim=-1)]
    for x_t, before in zip(x.flip(0), states[:-1].flip(0), strict=True):

        def moved(U: Tensor, state: Tensor, x_t: Tensor = x_t) -> Tensor:
            return step(replace(cell, U=U), x_t, state)

        back = torch.func.vjp(moved, cell.U, before)[1]
        term, delta = back(delta)
        gradient += term
        terms.append(term.norm())
        norms.append(delta.norm(dim=-1))
    return Lags(torch.stack(terms), torch.stack(norms), gradient)


def _require_steps(name: str, jacobians: Tensor) -> None:
    if len(jacobians) == 0:
        raise ValueError(f"{name} needs at least one Jacobian, got T=0.")


def _finite(name: str, J: Tensor) -> Tensor:
    if not torch.isfinite(J).all():
        raise ValueError(
            f"{name}: not finite; a raw product overflows after some hundred steps, use "
            "log_norms_by_lag or lyapunov."
        )
    return J
