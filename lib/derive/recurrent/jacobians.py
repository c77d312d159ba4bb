"""Exact Jacobians of one recurrent step, batched over batch and time (chapter `rnn-gradients`)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite, finite_or_explained
from derive.recurrent.cells import Activations, Cell, activations, check_inputs, trajectory


@typed
def rnn_jacobian(
    U: Float[Tensor, "n n"],
    h: Float[Tensor, "*b n"],
    *,
    act: Literal["tanh", "relu", "linear"] = "tanh",
) -> Float[Tensor, "*b n n"]:
    r"""The Jacobian of $h_k = \phi(Uh_{k-1} + \dots)$ with respect to $h_{k-1}$.

    $J_k = \operatorname{diag}(\phi'_k)\,U$ (book equation `eq-jac-order`), where the derivative
    is read off the *new* state: $1 - h_k^2$ for tanh, $[h_k > 0]$ for ReLU. O(n²) time and
    memory an entry of the batch.

    Args:
        U: Recurrent weights.
        h: States after the step.
        act: The activation.

    Raises:
        TypeError: If U is not square or does not fit h.
        ValueError: If a tanh state lies outside [-1, 1], or an entry is not finite.

    Example:
        >>> rnn_jacobian(torch.tensor([[2.0]]), torch.tensor([[0.0], [0.5]])).flatten()
        tensor([2.0000, 1.5000])
    """
    check_finite("U", U)
    check_finite("h", h)
    if act == "tanh" and (h.abs() > 1).any():
        raise ValueError(
            f"a tanh state lies in [-1, 1], got {h.abs().max().item():.3g}; pass the state after "
            "the step, not the pre-activation."
        )
    slope = {
        "tanh": lambda: 1 - h.square(),
        "relu": lambda: (h > 0).to(h.dtype),
        "linear": lambda: torch.ones_like(h),
    }[act]()
    return slope[..., :, None] * U  # a slope is at most 1


@typed
def lstm_jacobian(
    cell: Cell, x: Float[Tensor, "*b d"], state: Float[Tensor, "*b s"]
) -> Float[Tensor, "*b s s"]:
    r"""The Jacobian of an LSTM's full state $(c, h)$: what carries a gradient through time.

    The 2n × 2n matrix of book equation `eq-lstm-state`, with c before h. O(n²) time and memory
    an entry of the batch.

    Args:
        cell: An `lstm` cell.
        x: Inputs of the steps.
        state: States (c, h) before them.

    Raises:
        TypeError: If the batches differ, or the types or devices of cell, inputs and states.
        ValueError: If the cell is no LSTM, sizes do not fit it, or an entry is not finite.

    Source:
        Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000).

    Example:
        >>> zero = torch.zeros(4, 1)
        >>> cell = Cell("lstm", zero, zero, zero[:, 0], zero[:, 0])
        >>> lstm_jacobian(cell, torch.zeros(1), torch.zeros(2))
        tensor([[0.5000, 0.0000],
                [0.2500, 0.0000]])
    """
    c, _, gates = _lstm("lstm_jacobian", cell, x, state)
    i, f, g, o = gates
    new = (f * c + i * g).tanh()
    n = cell.size
    J = x.new_empty(*x.shape[:-1], 2, n, 2 * n)  # block row, row, column
    D = o * (1 - new.square())
    B = _through_h(cell, c, gates)
    J[..., 0, :, :n] = torch.diag_embed(f)
    J[..., 1, :, :n] = torch.diag_embed(D * f)
    J[..., 0, :, n:] = B
    B.mul_(D[..., :, None]).addcmul_((new * o * (1 - o))[..., :, None], cell.gate("o"))
    J[..., 1, :, n:] = B
    J = J.flatten(-3, -2)
    return finite_or_explained("lstm_jacobian", J, x=x, state=state, U=cell.U)


@typed
def lstm_cell_jacobian(
    cell: Cell,
    x: Float[Tensor, "*b d"],
    state: Float[Tensor, "*b s"],
    o_before: Float[Tensor, "*b n"],
) -> Float[Tensor, "*b n n"]:
    r"""The textbook's $\partial c_t/\partial c_{t-1}$ of an LSTM: right for one step only.

    $F + B\,\operatorname{diag}(o_{t-1}\operatorname{sech}^2c_{t-1})$ (book equation
    `eq-lstm-4`), where h is followed back to c but $o_{t-1}$ is held fixed. Products of these
    miss the path c → h → o → h → c: for two steps and more use `lstm_jacobian`.
    O(n²) time and memory an entry of the batch.

    Args:
        cell: An `lstm` cell.
        x: Inputs of the steps.
        state: States (c, h) before them.
        o_before: The output gates that made h out of c: h = o_before · tanh c.

    Raises:
        TypeError: If the batches differ, or the types or devices of cell, inputs and states.
        ValueError: If the cell is no LSTM, sizes do not fit it, an entry is not finite, or
            h is not o_before · tanh c.

    Example:
        >>> zero = torch.zeros(4, 1)
        >>> cell = Cell("lstm", zero, zero, zero[:, 0], zero[:, 0])
        >>> lstm_cell_jacobian(cell, torch.zeros(1), torch.zeros(2), torch.tensor([0.5]))
        tensor([[0.5000]])
    """
    c, h, gates = _lstm("lstm_cell_jacobian", cell, x, state)
    check_finite("o_before", o_before)
    if o_before.shape != h.shape:
        raise ValueError(f"o_before has {o_before.shape[-1]} units, the cell {cell.size}.")
    gap = (h - o_before * c.tanh()).abs().max().item() if h.numel() else 0.0
    if not gap < 1e-3:
        raise ValueError(
            f"h must be o_before * tanh(c) for the path from c to h, but is off by {gap:.2g}."
        )
    inner = o_before * (1 - c.tanh().square())
    J = _through_h(cell, c, gates) * inner[..., None, :]
    J.diagonal(dim1=-2, dim2=-1).add_(gates[1])
    return finite_or_explained("lstm_cell_jacobian", J, x=x, state=state, U=cell.U)


@typed
def gru_jacobian(
    cell: Cell, x: Float[Tensor, "*b d"], h: Float[Tensor, "*b n"]
) -> Float[Tensor, "*b n n"]:
    r"""The Jacobian of a GRU step, in the form of the cell: `gru` (torch's) or `gru_paper`.

    Book equation `eq-gru`. The two forms differ in where the reset gate acts and in what z
    means; weights of one are not weights of the other. O(n²) time and memory an entry of the
    batch for torch's form; the paper's has a product of two matrices, U_n diag(…) U_r: O(n³).

    Args:
        cell: A `gru` or `gru_paper` cell.
        x: Inputs of the steps.
        h: States before them.

    Raises:
        TypeError: If the batches differ, or the types or devices of cell, inputs and states.
        ValueError: If the cell is no GRU, sizes do not fit it, or an entry is not finite.

    Source:
        Cho et al. (2014), Chung et al. (2014); torch.nn.GRU for the other form.

    Example:
        >>> zero = torch.zeros(3, 1)
        >>> cell = Cell("gru", zero, zero, zero[:, 0], zero[:, 0])
        >>> gru_jacobian(cell, torch.zeros(1), torch.zeros(1))
        tensor([[0.5000]])
    """
    if cell.kind not in ("gru", "gru_paper"):
        raise ValueError(f"gru_jacobian needs a gru or gru_paper cell, got {cell.kind}.")
    check_inputs("gru_jacobian", cell, x, h, called="h")
    (r, z, n), inner = activations(cell, x @ cell.W.T + cell.b, h)
    U_r, U_z, U_n = cell.U.chunk(3)
    if cell.kind == "gru":
        stay, gap, new = z, h - n, (1 - z) * (1 - n.square())
        J = (new * r)[..., :, None] * U_n
        J.addcmul_((new * inner * r * (1 - r))[..., :, None], U_r)
    else:
        stay, gap, new = 1 - z, n - h, z * (1 - n.square())
        reset = (h * r * (1 - r))[..., :, None] * U_r
        reset.diagonal(dim1=-2, dim2=-1).add_(r)
        J = new[..., :, None] * (U_n @ reset)
    J.addcmul_((gap * z * (1 - z))[..., :, None], U_z)
    J.diagonal(dim1=-2, dim2=-1).add_(stay)
    return finite_or_explained("gru_jacobian", J, x=x, h=h, U=cell.U)


@typed
def jacobian(
    cell: Cell, x: Float[Tensor, "*b d"], state: Float[Tensor, "*b s"]
) -> Float[Tensor, "*b s s"]:
    """The Jacobian of `step(cell, x, state)` with respect to the state, whatever the cell.

    Raises:
        TypeError: If the batches differ, or the types or devices of cell, inputs and states.
        ValueError: If sizes do not fit the cell, or an entry is not finite.

    Example:
        >>> one = torch.ones(1, 1)
        >>> cell = Cell("linear", one, 2 * one, torch.zeros(1), torch.zeros(1))
        >>> jacobian(cell, torch.zeros(1), torch.zeros(1))
        tensor([[2.]])
    """
    if cell.kind == "lstm":
        return lstm_jacobian(cell, x, state)
    if cell.kind == "gru" or cell.kind == "gru_paper":
        return gru_jacobian(cell, x, state)
    check_inputs("jacobian", cell, x, state)
    (h,) = activations(cell, x @ cell.W.T + cell.b, state).gates
    return rnn_jacobian(cell.U, h, act=cell.kind)


@typed
def jacobians(
    cell: Cell, x: Float[Tensor, "T *b d"], state: Float[Tensor, "*b s"] | None = None
) -> Float[Tensor, "T *b s s"]:
    """The Jacobians of all steps of a run, in time order: entry k belongs to input k.

    The run is sequential, O(T n²); the Jacobians then come all at once, O(T n²) memory.

    Raises:
        TypeError: If the batches differ, or the types or devices of cell, inputs and states.
        ValueError: If there is no input, sizes do not fit the cell, or an entry is not finite.

    Example:
        >>> one = torch.ones(1, 1)
        >>> cell = Cell("relu", one, 2 * one, torch.zeros(1), torch.zeros(1))
        >>> jacobians(cell, torch.tensor([[1.0], [-9.0]])).flatten()
        tensor([2., 0.])
    """
    return jacobian(cell, x, trajectory(cell, x, state)[:-1])


def _lstm(
    function: str, cell: Cell, x: Tensor, state: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    if cell.kind != "lstm":
        raise ValueError(f"{function} needs an lstm cell, got {cell.kind}.")
    check_inputs(function, cell, x, state)
    c, h = state.chunk(2, dim=-1)
    found: Activations = activations(cell, x @ cell.W.T + cell.b, h)
    return c, h, found.gates


def _through_h(cell: Cell, c: Tensor, gates: tuple[Tensor, ...]) -> Tensor:
    """B, the derivative of the new c by the old h: one term for each gate that reads h."""
    i, f, g, _ = gates
    U_i, U_f, U_g, _ = cell.U.chunk(4)
    B = (c * f * (1 - f))[..., :, None] * U_f
    B.addcmul_((g * i * (1 - i))[..., :, None], U_i)
    return B.addcmul_((i * (1 - g.square()))[..., :, None], U_g)
