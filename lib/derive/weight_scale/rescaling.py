"""Moves that change the weights and not the function (chapter `weight-scale`)."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from derive._typing import typed
from derive._validate import check_precision
from derive.weight_scale._layers import (
    ELEMENTWISE,
    Layer,
    describe,
    leaves,
    require_nonzero,
    weight_layers,
)


class ConvergenceError(RuntimeError):
    """An iteration stopped before its result was as good as asked for."""


@typed
def rescale_(
    net: nn.Sequential,
    gammas: Sequence[float | int] | Float[Tensor, " layers"],
    *,
    check: bool = True,
) -> nn.Sequential:
    r"""The network with layer l scaled by gamma_l, in place.

    $W_l \to \gamma_l W_l$ and $b_l \to (\gamma_1\cdots\gamma_l)\,b_l$; the output is then
    multiplied by the product of all gammas (book equation `eq-shift`). Biases need the
    *cumulative* product, for what reaches layer l has been scaled by all layers before.
    O(parameters) time, no extra memory.

    Args:
        net: Layers in a row, nested `nn.Sequential` allowed.
        gammas: One factor > 0 for each layer with weights, in order.
        check: Whether to refuse layers that are not positively homogeneous. Without the check
            the weights are scaled all the same, and the function changes.

    Returns:
        The same network.

    Raises:
        ValueError: If a gamma is not positive and finite, their number is not that of the
            layers with weights, or a layer is not supported; the message names it.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
        >>> x = torch.ones(3, 1)
        >>> before = net(x)
        >>> torch.allclose(rescale_(net, [2, 0.5])(x), before)
        True
    """
    layers = weight_layers(net, check=check)
    if isinstance(gammas, Tensor):
        gammas = gammas.tolist()
    factors = [float(gamma) for gamma in gammas]
    if len(factors) != len(layers):
        names = ", ".join(layer.name for layer in layers)
        raise ValueError(
            f"rescale_ needs one gamma for each of the {len(layers)} layers with weights "
            f"({names}), got {len(factors)}."
        )
    for layer, gamma in zip(layers, factors, strict=True):
        if not 0 < gamma < math.inf:
            raise ValueError(
                f"rescale_ needs 0 < gamma < inf, got {gamma} for layer '{layer.name}'; "
                "homogeneity holds for positive factors only."
            )
    if not 0 < math.prod(factors) < math.inf:
        raise ValueError(f"rescale_: the product of all gammas overflows, got {factors}.")
    cumulative = 1.0
    with torch.no_grad():
        for layer, gamma in zip(layers, factors, strict=True):
            cumulative *= gamma
            layer.weight.mul_(gamma)
            if layer.bias is not None:
                layer.bias.mul_(cumulative)
    return net


@typed
def balance_(net: nn.Sequential) -> Float[Tensor, " layers"]:
    r"""Move the network, in place, to the point of its orbit with the smallest L2 norm.

    There all layers have the same Frobenius norm, the geometric mean of what they had (book
    equation `eq-gauge-min`); the function stays. Biases are scaled along, and are not part of
    the norm. O(parameters) time; logarithms, so that fifty layers do not overflow.

    Returns:
        The factors used, in float64; their product is 1.

    Raises:
        ValueError: If a layer is not supported, or a weight matrix is zero.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
        >>> with torch.no_grad():
        ...     _ = net[0].weight.fill_(4), net[2].weight.fill_(1)
        >>> balance_(net)
        tensor([0.5000, 2.0000], dtype=torch.float64)
    """
    layers = weight_layers(net)
    require_nonzero(layers)
    logs = torch.stack([layer.weight.detach().double().norm().log().cpu() for layer in layers])
    gammas = (logs.mean() - logs).exp()
    rescale_(net, gammas)
    return gammas


class NeuronBalance(NamedTuple):
    """What `balance_neurons_` did."""

    factors: list[Tensor]  # one vector for each hidden layer: by how much its neurons grew
    num_sweeps: int


@typed
def balance_neurons_(
    net: nn.Sequential, *, tol: float = 1e-8, max_sweeps: int = 1000
) -> NeuronBalance:
    r"""Move a fully connected network, in place, to its smallest L2 norm, neuron by neuron.

    Hidden neuron k is multiplied by $c_k$ (its row and its bias) and the weights that leave it
    by $1/c_k$; at the minimum both have the same norm (book equation `eq-path`). The sum of
    squares is convex in the $\log c_k$, so that sweeping over the layers finds its only minimum.
    Two layers need one sweep. O(parameters) time a sweep, one copy of the weights in memory.

    Args:
        net: `nn.Linear` layers with element-wise homogeneous activations between them.
        tol: The largest relative change of a factor in the last sweep.
        max_sweeps: Where to give up.

    Raises:
        ValueError: If a layer is not supported, or a neuron has no weight on one side, where the
            minimum is not attained; the message names it.
        ConvergenceError: If the factors still change by more than `tol` after `max_sweeps`.

    Source:
        Stock, Graham, Gribonval, Jégou (ICLR 2019), who call it equi-normalisation.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
        >>> with torch.no_grad():
        ...     _ = net[0].weight.fill_(4), net[2].weight.fill_(1)
        >>> balance_neurons_(net).factors
        [tensor([0.5000], dtype=torch.float64)]
    """
    if not 0 < tol < math.inf or max_sweeps < 1:
        raise ValueError(
            f"balance_neurons_ needs tol > 0 and max_sweeps >= 1, got {tol} and {max_sweeps}."
        )
    layers = _dense(net)
    squares = [layer.weight.detach().double().square() for layer in layers]
    _require_live(layers, squares)
    logs = [torch.zeros(len(square), dtype=torch.float64).to(square) for square in squares[:-1]]
    num_sweeps, change = 0, math.inf
    while change > tol:
        if num_sweeps == max_sweeps:
            raise ConvergenceError(
                f"balance_neurons_: factors still change by {change:.1e} > tol={tol:.0e} after "
                f"{max_sweeps} sweeps; raise max_sweeps or tol."
            )
        change = 0.0
        for k, log in enumerate(logs):
            incoming, outgoing = squares[k].sum(dim=1), squares[k + 1].sum(dim=0)
            step = (outgoing / incoming).log() / 4
            squares[k] *= (2 * step).exp()[:, None]
            squares[k + 1] *= (-2 * step).exp()
            log += step
            change = max(change, step.abs().max().item())
        num_sweeps += 1
        if len(logs) < 2:  # one hidden layer: its factors do not depend on any others
            break
    factors = [log.exp() for log in logs]
    _apply(layers, factors)
    return NeuronBalance(factors, num_sweeps)


def _dense(net: nn.Sequential) -> list[Layer]:
    layers = weight_layers(net)
    first = layers[0].name
    started = False
    for name, module in leaves(net):
        started = started or name == first
        flattens = isinstance(module, nn.Flatten) and not started
        if not isinstance(module, (nn.Linear, *ELEMENTWISE)) and not flattens:
            raise ValueError(
                f"balance_neurons_ needs nn.Linear layers with element-wise activations between "
                f"them, got {describe(name, module)}; balance_ takes any homogeneous layers."
            )
    return layers


def _require_live(layers: list[Layer], squares: list[Tensor]) -> None:
    for (layer, square), (after, next_square) in pairwise(zip(layers, squares, strict=True)):
        for sums, what, where in (
            (square.sum(dim=1), "incoming", layer),
            (next_square.sum(dim=0), "outgoing", after),
        ):
            dead = (~(sums > 0)).nonzero()
            if len(dead):
                raise ValueError(
                    f"balance_neurons_: neuron {int(dead[0])} of layer '{layer.name}' has only "
                    f"zeros as {what} weights (layer '{where.name}'); remove it first."
                )


def _apply(layers: list[Layer], factors: list[Tensor]) -> None:
    with torch.no_grad():
        for (layer, after), factor in zip(pairwise(layers), factors, strict=True):
            scale = factor.to(layer.weight)
            layer.weight.mul_(scale[:, None])
            after.weight.div_(scale)
            if layer.bias is not None:
                layer.bias.mul_(scale)


class BalancedPair(NamedTuple):
    """Two matrices with the product they had, and the smallest sum of squares."""

    W_Q: Tensor
    W_K: Tensor


@typed
def balance_attention(W_Q: Float[Tensor, "k d"], W_K: Float[Tensor, "k d"]) -> BalancedPair:
    r"""The smallest pair of matrices with the same product $W_Q^\top W_K$.

    Attention scores $x^\top W_Q^\top W_K y$ do not change under $W_Q \to AW_Q$,
    $W_K \to A^{-\top}W_K$ with any invertible A. The smallest $\tfrac12(\|W_Q\|^2 + \|W_K\|^2)$
    over all A is the nuclear norm of the product (book equation `eq-nuclear`), reached at
    $\Sigma^{1/2}U^\top$ and $\Sigma^{1/2}V^\top$ of its singular value decomposition.
    O(dk²) time, O(dk) memory; the d x d product is not formed.

    Args:
        W_Q: Projection to queries, one row a dimension of the head.
        W_K: Projection to keys.

    Raises:
        TypeError: If the shapes differ or the entries are not floating point.
        ValueError: If an entry is not finite, or the head has more dimensions than the model.

    Example:
        >>> pair = balance_attention(torch.tensor([[8.0]]), torch.tensor([[2.0]]))
        >>> pair.W_Q.abs(), pair.W_K.abs()
        (tensor([[4.]]), tensor([[4.]]))
    """
    if len(W_Q) > W_Q.shape[1]:
        raise ValueError(
            f"balance_attention needs k <= d, got k={len(W_Q)} and d={W_Q.shape[1]}; "
            "rows beyond d can be merged without loss."
        )
    for name, W in (("W_Q", W_Q), ("W_K", W_K)):
        if not W.isfinite().all():
            place = tuple(W.isfinite().logical_not().nonzero()[0].tolist())
            raise ValueError(
                f"balance_attention: {name} must be finite, got {W[place].item()} at {place}."
            )
        check_precision("balance_attention", W)
    Q, R = torch.linalg.qr(W_Q.mT)
    P, S = torch.linalg.qr(W_K.mT)
    U, values, Vh = torch.linalg.svd(R @ S.mT)
    root = values.sqrt()[:, None]
    return BalancedPair(root * (Q @ U).mT, root * (P @ Vh.mT).mT)
