"""Recurrent cells as formulas: weights, one step, a run, and the way to and from torch."""

from copy import copy
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import require_company, typed
from derive._validate import check_finite, finite_or_explained
from derive.recurrent._validate import check_weights

Kind = Literal["tanh", "relu", "linear", "lstm", "gru", "gru_paper"]

# In the order in which torch stacks them; other libraries stack i, f, o, g or z, r, n.
GATES = {
    "tanh": ("h",),
    "relu": ("h",),
    "linear": ("h",),
    "lstm": ("i", "f", "g", "o"),
    "gru": ("r", "z", "n"),
    "gru_paper": ("r", "z", "n"),
}


@dataclass(frozen=True)
class Cell:
    """The weights of a recurrent layer; gates are stacked as torch stacks them.

    kind: `tanh`, `relu`, `linear` (one gate, `h`), `lstm` (i, f, g, o; g is the candidate),
        `gru` (r, z, n: torch's form) or `gru_paper` (r, z, n: the form of Chung et al. 2014, where
        the reset gate acts before the matrix and z is the share of the *new* value).
    W: Input weights, shape (gates · n, d).
    U: Recurrent weights, shape (gates · n, n).
    b: Bias, shape (gates · n,).
    b_h: A second bias. torch keeps two; they are added up, but for the candidate n of `gru`,
        whose b_h stands inside the reset gate.

    Raises:
        TypeError: If the weights are no tensors of one floating-point type on one device.
        ValueError: If the kind is unknown, shapes do not fit it, or a weight is not finite.
    """

    kind: Kind
    W: Tensor
    U: Tensor
    b: Tensor
    b_h: Tensor

    def __post_init__(self):
        if not isinstance(self.kind, str) or self.kind not in GATES:
            raise ValueError(f"kind must be one of {', '.join(GATES)}, got {self.kind!r}.")
        check_weights("Cell", {"W": self.W, "U": self.U, "b": self.b, "b_h": self.b_h})
        rows, n = self.U.shape if self.U.ndim == 2 else (0, 0)
        gates = GATES[self.kind]
        if n == 0 or rows != len(gates) * n:
            raise ValueError(
                f"a {self.kind} cell stacks {len(gates)} square matrices ({', '.join(gates)}) "
                f"in U: shape ({len(gates)}n, n); got {tuple(self.U.shape)}."
            )
        shapes = [tuple(part.shape) for part in (self.W, self.b, self.b_h)]
        if self.W.ndim != 2 or shapes[0][0] != rows or shapes[1:] != [(rows,)] * 2:
            raise ValueError(
                f"W, b and b_h need {rows} rows as U has, and shapes ({rows}, d), ({rows},), "
                f"({rows},); got {shapes[0]}, {shapes[1]}, {shapes[2]}."
            )

    @property
    def size(self) -> int:
        """Number of units n."""
        return self.U.shape[1]

    @property
    def state_size(self) -> int:
        """Length of the state: 2n for an LSTM, whose state is (c, h), else n."""
        return 2 * self.size if self.kind == "lstm" else self.size

    def gate(self, name: str) -> Tensor:
        """The recurrent matrix of one gate, shape (n, n); a view of U."""
        names = GATES[self.kind]
        if name not in names:
            raise ValueError(f"a {self.kind} cell has the gates {', '.join(names)}, got {name!r}.")
        return self.U.chunk(len(names))[names.index(name)]


class Activations(NamedTuple):
    """Gate values at one step; unused ones are None."""

    gates: tuple[Tensor, ...]
    recurrent: Tensor  # U_n h + b_h of the torch GRU's candidate, U_n (r h) of the paper's


@typed
def stack_gates(kind: Kind, **gates: Tensor) -> Tensor:
    """Matrices or vectors of the gates, given by name, stacked in torch's order.

    Args:
        kind: The cell they are for.
        gates: One tensor per gate: h; or i, f, g, o; or r, z, n. All of one shape.

    Raises:
        TypeError: If the gates are of several types, or on several devices.
        ValueError: If a gate is missing or unknown, the shapes differ, or a number is not finite.

    Example:
        >>> stack_gates("gru", z=torch.ones(1), n=torch.zeros(1), r=torch.full((1,), 2.0))
        tensor([2., 1., 0.])
    """
    names = GATES[kind]
    if set(gates) != set(names):
        raise ValueError(f"a {kind} cell has the gates {', '.join(names)}, got {', '.join(gates)}.")
    if len({part.shape for part in gates.values()}) > 1:
        raise ValueError(f"gates differ in shape: {[tuple(p.shape) for p in gates.values()]}.")
    for name in names:
        check_finite(name, gates[name])
    return torch.cat([gates[name] for name in names])


@typed
def step(
    cell: Cell, x: Float[Tensor, "*b d"], state: Float[Tensor, "*b s"]
) -> Float[Tensor, "*b s"]:
    """The next state of a cell.

    O(n (n + d)) time an entry of the batch. The state of an LSTM is c, then h.

    Args:
        cell: Its weights.
        x: Input.
        state: State before the step.

    Raises:
        TypeError: If the batches differ, or the types or devices of cell, input and state.
        ValueError: If the last axes do not fit the cell, an entry is not finite, or the new state
            overflows.

    Example:
        >>> one = torch.ones(1, 1)
        >>> cell = Cell("linear", one, 2 * one, torch.zeros(1), torch.zeros(1))
        >>> step(cell, torch.tensor([5.0]), torch.tensor([3.0]))
        tensor([11.])
    """
    check_inputs("step", cell, x, state)
    new = next_state(cell, x @ cell.W.T + cell.b, state)
    return finite_or_explained("step", new, x=x, state=state, W=cell.W, U=cell.U)


@typed
def trajectory(
    cell: Cell, x: Float[Tensor, "T *b d"], state: Float[Tensor, "*b s"] | None = None
) -> Float[Tensor, "T+1 *b s"]:
    """All states of a run: the one it starts from, then one per input.

    O(T n (n + d)) time an entry of the batch; gradients flow through it.

    Args:
        cell: The weights.
        x: Inputs, time first.
        state: The state before the first input; zero if left out.

    Raises:
        TypeError: If the batches differ, or the types or devices of cell, inputs and state.
        ValueError: If there is no input, sizes do not fit the cell, an entry is not finite, or a
            state overflows.

    Example:
        >>> one = torch.ones(1, 1)
        >>> cell = Cell("linear", one, 2 * one, torch.zeros(1), torch.zeros(1))
        >>> trajectory(cell, torch.ones(3, 1)).flatten()
        tensor([0., 1., 3., 7.])
    """
    if state is None:
        state = x.new_zeros(*x.shape[1:-1], cell.state_size)
    check_inputs("trajectory", cell, x, state)
    if len(x) == 0:
        raise ValueError("trajectory needs at least one input, got T=0.")
    states = [state]
    for drive in x @ cell.W.T + cell.b:
        states.append(next_state(cell, drive, states[-1]))
    run = torch.stack(states)
    return finite_or_explained("trajectory", run, x=x, state=state, W=cell.W, U=cell.U)


@typed
def from_torch(module: torch.nn.RNNBase | torch.nn.RNNCellBase, *, layer: int = 0) -> Cell:
    """The weights of a layer of torch's RNN, LSTM or GRU (or of a cell), detached, not copied.

    Raises:
        TypeError: If it is another kind of module.
        ValueError: If the module has no such layer, reads both ways, projects its output, or has
            weights that are not finite.

    Example:
        >>> from_torch(torch.nn.LSTM(3, 5)).U.shape
        torch.Size([20, 5])
    """
    suffix = ""
    if isinstance(module, torch.nn.RNNBase):
        if module.bidirectional or module.proj_size:
            raise ValueError("a Cell reads one way and has no projection; the module is not so.")
        if not 0 <= layer < module.num_layers:
            raise ValueError(f"the module has {module.num_layers} layers, got layer={layer}.")
        suffix = f"_l{layer}"
    U = getattr(module, f"weight_hh{suffix}").detach()
    zero = U.new_zeros(len(U))
    biases = [
        getattr(module, f"bias_{which}{suffix}").detach() if module.bias else zero
        for which in ("ih", "hh")
    ]
    return Cell(_kind(module), getattr(module, f"weight_ih{suffix}").detach(), U, *biases)


@typed
def to_torch(cell: Cell) -> torch.nn.RNN | torch.nn.LSTM | torch.nn.GRU:
    """A one-layer torch.nn.RNN, LSTM or GRU with a copy of the weights.

    Raises:
        ValueError: If torch has no such cell (`linear`, `gru_paper`).

    Example:
        >>> to_torch(from_torch(torch.nn.GRU(3, 5)))
        GRU(3, 5)
    """
    how = {"device": cell.U.device, "dtype": cell.U.dtype}
    d, n = cell.W.shape[1], cell.size
    module: torch.nn.RNN | torch.nn.LSTM | torch.nn.GRU
    if cell.kind in ("tanh", "relu"):
        module = torch.nn.RNN(d, n, nonlinearity=cell.kind, **how)
    elif cell.kind == "lstm":
        module = torch.nn.LSTM(d, n, **how)
    elif cell.kind == "gru":
        module = torch.nn.GRU(d, n, **how)
    else:
        raise ValueError(f"torch has no {cell.kind} layer; run it with trajectory().")
    with torch.no_grad():
        for name, part in zip(
            ("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
            (cell.W, cell.U, cell.b, cell.b_h),
            strict=True,
        ):
            getattr(module, f"{name}_l0").copy_(part)
    return module


def check_inputs(
    function: str, cell: Cell, x: Tensor, state: Tensor, *, called: str = "state"
) -> None:
    """Types, devices and last axes fit the cell; the numbers are finite."""
    require_company(function, [("the cell", cell.U), ("x", x), (called, state)])
    d, s = cell.W.shape[1], cell.state_size
    if x.shape[-1] != d or state.shape[-1] != s:
        raise ValueError(
            f"this {cell.kind} cell takes inputs of size {d} and states of size {s}, "
            f"got {x.shape[-1]} and {state.shape[-1]}."
        )
    check_finite("x", x)
    check_finite(called, state)


def with_recurrent(cell: Cell, U: Tensor) -> Cell:
    """The cell with other recurrent weights of the same shape, unchecked: for derivatives by U."""
    other = copy(cell)
    object.__setattr__(other, "U", U)  # as a frozen dataclass does itself
    return other


def activations(cell: Cell, drive: Tensor, h: Tensor) -> Activations:
    """Gates at one step; `drive` is the input's share of the pre-activations, bias b included."""
    if cell.kind == "lstm":
        i, f, g, o = (drive + h @ cell.U.T + cell.b_h).chunk(4, dim=-1)
        return Activations((i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()), h)
    if cell.kind == "gru_paper":
        n = cell.size
        both = drive[..., : 2 * n] + h @ cell.U[: 2 * n].T + cell.b_h[: 2 * n]
        r, z = both.sigmoid().chunk(2, dim=-1)
        inner = (r * h) @ cell.U[2 * n :].T
        return Activations((r, z, (drive[..., 2 * n :] + inner + cell.b_h[2 * n :]).tanh()), inner)
    recurrent = h @ cell.U.T + cell.b_h
    if cell.kind == "gru":
        r, z = (drive + recurrent)[..., : 2 * cell.size].sigmoid().chunk(2, dim=-1)
        inner = recurrent[..., 2 * cell.size :]
        return Activations((r, z, (drive[..., 2 * cell.size :] + r * inner).tanh()), inner)
    apply = {"tanh": torch.tanh, "relu": torch.relu, "linear": lambda a: a}[cell.kind]
    return Activations((apply(drive + recurrent),), recurrent)


def next_state(cell: Cell, drive: Tensor, state: Tensor) -> Tensor:
    """One step; `drive` as for `activations`."""
    if cell.kind == "lstm":
        c, h = state.chunk(2, dim=-1)
        i, f, g, o = activations(cell, drive, h).gates
        c = f * c + i * g
        return torch.cat([c, o * c.tanh()], dim=-1)
    gates = activations(cell, drive, state).gates
    if cell.kind == "gru":
        _, z, n = gates
        return (1 - z) * n + z * state
    if cell.kind == "gru_paper":
        _, z, n = gates
        return (1 - z) * state + z * n
    return gates[0]


def _kind(module: torch.nn.Module) -> Kind:
    if isinstance(module, torch.nn.RNN | torch.nn.RNNCell):
        return "relu" if module.nonlinearity == "relu" else "tanh"
    if isinstance(module, torch.nn.LSTM | torch.nn.LSTMCell):
        return "lstm"
    if isinstance(module, torch.nn.GRU | torch.nn.GRUCell):
        return "gru"
    raise TypeError(f"from_torch knows RNN, LSTM and GRU, got {type(module).__name__}.")


assert set(GATES) == set(get_args(Kind))
