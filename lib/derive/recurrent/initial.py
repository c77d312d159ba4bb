"""Initialisations that decide how long a gradient lives (chapter `rnn-gradients`)."""

import torch
from torch import Generator, Tensor

from derive._typing import typed
from derive.recurrent._validate import check_positive
from derive.recurrent.cells import GATES, from_torch

Layer = torch.nn.RNN | torch.nn.LSTM | torch.nn.GRU


@typed
def orthogonal_(module: Layer, *, generator: Generator, gain: float | int = 1.0) -> Layer:
    r"""The module, with a random orthogonal matrix times `gain` in the place of each gate's U.

    One matrix for each gate of each layer: the stacked (gates · n, n) matrix with orthonormal
    *columns* that `torch.nn.init.orthogonal_` makes of it has gates that are not orthogonal.

    Raises:
        ValueError: If gain is not positive and finite (as a number of the weights' type), or the
            module is none that a Cell holds.

    Source:
        Saxe, McClelland, Ganguli (ICLR 2014).

    Example:
        >>> rnn = orthogonal_(torch.nn.RNN(1, 4), generator=torch.Generator().manual_seed(0))
        >>> U = rnn.weight_hh_l0.detach()
        >>> torch.allclose(U @ U.T, torch.eye(4), atol=1e-6)
        True
    """
    check_positive("gain", gain, _type_of(module))
    for layer in range(module.num_layers):
        cell = from_torch(module, layer=layer)
        for name in GATES[cell.kind]:
            cell.gate(name).copy_(gain * _haar(cell.size, generator))
    return module


@typed
def identity_(module: torch.nn.RNN, *, gain: float | int = 1.0) -> torch.nn.RNN:
    """The module, with `gain` times the identity for U and zero biases (IRNN, meant for ReLU).

    Raises:
        ValueError: If gain is not positive and finite (as a number of the weights' type), or the
            module is none that a Cell holds.

    Source:
        Le, Jaitly, Hinton (arXiv 1504.00941).

    Example:
        >>> identity_(torch.nn.RNN(1, 2, nonlinearity="relu")).weight_hh_l0.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    check_positive("gain", gain, _type_of(module))
    for layer in range(module.num_layers):
        cell = from_torch(module, layer=layer)
        cell.U.copy_(gain * torch.eye(cell.size))
        cell.b.zero_()
        cell.b_h.zero_()
    return module


@typed
def forget_bias_(module: torch.nn.LSTM, value: float | int) -> torch.nn.LSTM:
    r"""The module, with all biases zero but those of the forget gates, which sum to `value`.

    torch keeps two bias vectors and adds them: a value set in both counts twice. Here it is
    set in `bias_ih`, and `bias_hh` is zero. A gate with bias b forgets with a time constant of
    $-1/\log\sigma(b)$ steps (book equation `eq-horizon`).

    Raises:
        ValueError: If the value is not finite (as a number of the weights' type), or the module
            is none that a Cell holds, or has no biases.

    Source:
        Gers, Schmidhuber, Cummins (2000); Jozefowicz, Zaremba, Sutskever (ICML 2015).

    Example:
        >>> lstm = forget_bias_(torch.nn.LSTM(1, 1), 2.0)
        >>> (lstm.bias_ih_l0 + lstm.bias_hh_l0).tolist()
        [0.0, 2.0, 0.0, 0.0]
    """
    dtype = _type_of(module)
    if not torch.isfinite(torch.tensor(float(value), dtype=dtype)):
        raise ValueError(f"the forget bias must be finite in {dtype}, got {value}.")
    for layer in range(module.num_layers):
        _set_biases(module, layer, forget=torch.tensor(float(value)))
    return module


@typed
def chrono_(module: torch.nn.LSTM, *, horizon: int, generator: Generator) -> torch.nn.LSTM:
    r"""The module, with forget biases that spread time constants up to `horizon`.

    $b_f = \log u$ with u uniform on (1, horizon - 1), $b_i = -b_f$, all else zero: unit by unit
    the gate's time constant is about u + 1/2 steps (book equation `eq-horizon`). As in
    `forget_bias_` one of torch's two bias vectors is set.

    Raises:
        ValueError: If horizon <= 2, the module is none that a Cell holds, or has no biases.

    Source:
        Tallec and Ollivier (ICLR 2018).

    Example:
        >>> lstm = chrono_(torch.nn.LSTM(1, 3), horizon=50, generator=torch.Generator())
        >>> i, f, g, o = lstm.bias_ih_l0.detach().view(4, 3)
        >>> bool((0 <= f).all() and (f <= 3.9).all() and (i == -f).all())
        True
    """
    if horizon <= 2:
        raise ValueError(f"chrono_ draws from (1, horizon - 1): needs horizon > 2, got {horizon}.")
    for layer in range(module.num_layers):
        u = 1 + (horizon - 2) * torch.rand(
            module.hidden_size, generator=generator, dtype=torch.float64
        )
        _set_biases(module, layer, forget=u.log(), opposite_input=True)
    return module


def _type_of(module: Layer) -> torch.dtype:
    return next(module.parameters()).dtype


def _set_biases(
    module: torch.nn.LSTM, layer: int, *, forget: Tensor, opposite_input: bool = False
) -> None:
    if not module.bias:
        raise ValueError("the LSTM was made without biases; there is no forget bias to set.")
    cell = from_torch(module, layer=layer)
    cell.b_h.zero_()
    cell.b.zero_()
    i, f, _, _ = cell.b.chunk(4)
    f.copy_(forget)
    if opposite_input:
        i.copy_(-forget)


def _haar(n: int, generator: Generator) -> Tensor:
    """A random orthogonal matrix: QR of a Gaussian one, its signs fixed (Mezzadri 2007)."""
    Q, R = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    return Q * R.diagonal().sign()
