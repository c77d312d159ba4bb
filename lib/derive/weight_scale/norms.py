"""Norms of weights, and which of them a rescaling can change (chapter `weight-scale`)."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from derive._typing import typed
from derive._validate import check_finite, check_precision
from derive.weight_scale._layers import (
    ELEMENTWISE,
    WEIGHTED,
    describe,
    leaves,
    require_nonzero,
    weight_layers,
)
from derive.weight_scale.rescaling import ConvergenceError

Kind = Literal["fro", "spec"]


@typed
def layer_norms(net: nn.Sequential, *, kind: Kind = "fro") -> Float[Tensor, " layers"]:
    r"""The norm of each layer's weights, differentiable.

    Args:
        net: Layers in a row; biases do not count.
        kind: "fro": root of the sum of squares; "spec": largest singular value, by a full
            decomposition (`spectral_norm` iterates instead).

    Raises:
        ValueError: If a layer is not supported; for "spec" also if it is a convolution, whose
            norm as a linear map depends on the size of what it is applied to.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
        >>> with torch.no_grad():
        ...     _ = net[0].weight.copy_(torch.diag(torch.tensor([3.0, 4.0])))
        >>> layer_norms(net).detach(), layer_norms(net, kind="spec").detach()
        (tensor([5.]), tensor([4.]))
    """
    layers = weight_layers(net)
    if kind == "fro":
        return torch.stack([layer.weight.norm() for layer in layers])
    for layer in layers:
        if not isinstance(layer.module, nn.Linear):
            raise ValueError(
                f"{describe(layer.name, layer.module)}: the spectral norm of a convolution depends "
                "on the size of its input; use kind='fro'."
            )
    return torch.stack([torch.linalg.matrix_norm(layer.weight, ord=2) for layer in layers])


@typed
def intrinsic_norm(net: nn.Sequential, *, kind: Kind = "fro") -> Float[Tensor, ""]:
    r"""$\sum_l\log\|W_l\|$: the part of the weights' scale that no rescaling changes.

    The logarithm of the product of the layers' norms (book equation `eq-weissi`), which itself
    would overflow float32 at fifty layers. For `kind="spec"` its exponential bounds the
    network's Lipschitz constant (book equation `eq-lip`). Differentiable.

    Raises:
        ValueError: If a layer is not supported, or a weight matrix is zero.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
        >>> with torch.no_grad():
        ...     _ = net[0].weight.fill_(8), net[2].weight.fill_(0.125)
        >>> intrinsic_norm(net).item()
        0.0
    """
    require_nonzero(weight_layers(net))
    return layer_norms(net, kind=kind).log().sum()


@typed
def l2_penalty(net: nn.Sequential) -> Float[Tensor, ""]:
    r"""$\sum_l\|W_l\|_F^2$, without a factor one half, without biases. Differentiable.

    Raises:
        ValueError: If a layer is not supported.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
        >>> with torch.no_grad():
        ...     _ = net[0].weight.fill_(3), net[2].weight.fill_(4)
        >>> l2_penalty(net).item()
        25.0
    """
    return layer_norms(net).square().sum()


@typed
def gauge_min_l2(net: nn.Sequential) -> Float[Tensor, ""]:
    r"""The smallest `l2_penalty` that rescaling the layers can reach; the network stays as it is.

    $L\,(\prod_l\|W_l\|_F^2)^{1/L}$ (book equation `eq-gauge-min`). Differentiable.

    Raises:
        ValueError: If a layer is not supported, or a weight matrix is zero.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
        >>> with torch.no_grad():
        ...     _ = net[0].weight.fill_(4), net[2].weight.fill_(1)
        >>> round(gauge_min_l2(net).item(), 4)
        8.0
    """
    num = len(weight_layers(net))
    return num * (2 / num * intrinsic_norm(net)).exp()


@typed
def weissi(
    net: nn.Sequential,
    *,
    lambda_1: float | int,
    lambda_2: float | int = 0.0,
    floor: float = 1e-12,
) -> Float[Tensor, ""]:
    r"""The penalty of Liu, Cui and Chan, which no shift of scale between layers changes.

    $\lambda_1\sum_l\log\|W_l\|_F + \lambda_2\sum_l\|W_l\|_1 / \|W_l\|_F$ (book equation
    `eq-weissi`). The first part is unbounded below: with a large $\lambda_1$ the weights
    collapse, and `floor` keeps the logarithm finite when they do. Differentiable.

    Args:
        net: Layers in a row; biases do not count.
        lambda_1: Strength of the scale penalty, >= 0.
        lambda_2: Strength of the sparsity penalty, >= 0.
        floor: Norms below it count as this much, and get no gradient.

    Raises:
        ValueError: If a layer is not supported, a strength is negative, or floor <= 0.

    Source:
        Liu, Cui, Chan (2020), where the second norm is that of all entries, as here.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
        >>> with torch.no_grad():
        ...     _ = net[0].weight.fill_(8), net[2].weight.fill_(0.125)
        >>> weissi(net, lambda_1=1, lambda_2=0.5).item()
        1.0
    """
    finite = max(lambda_1, lambda_2, floor) < math.inf
    if not (lambda_1 >= 0 and lambda_2 >= 0 and floor > 0 and finite):
        raise ValueError(
            "weissi needs finite lambda_1 >= 0, lambda_2 >= 0 and floor > 0, "
            f"got {lambda_1}, {lambda_2} and {floor}."
        )
    norms = layer_norms(net).clamp(min=floor)
    penalty = lambda_1 * norms.log().sum()
    if lambda_2:
        absolute = torch.stack([layer.weight.abs().sum() for layer in weight_layers(net)])
        penalty = penalty + lambda_2 * (absolute / norms).sum()
    return penalty


@typed
def path_norm(
    net: nn.Sequential, *, order: int = 2, shape: Sequence[int] | None = None
) -> Float[Tensor, ""]:
    r"""The norm of the vector of path weights: for each path, the product of the weights on it.

    Paths start at an input or a bias and end at an output. There are far too many to list, but
    the sum of their $p$-th powers is what the network computes from an input of ones when each
    parameter is replaced by its $p$-th absolute power: one forward pass. No rescaling of layers or
    neurons changes it. Differentiable.

    Args:
        net: Linear and convolution layers with element-wise activations between them.
        order: The p of the norm, 1 or more.
        shape: Shape of one input; may be left out if the first layer is `nn.Linear`.

    Raises:
        ValueError: If a layer is not supported (pooling is not: a maximum is no sum of paths),
            order < 1, or the shape is needed and missing, or is another.

    Source:
        Neyshabur, Salakhutdinov, Srebro (NeurIPS 2015), without biases.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
        >>> with torch.no_grad():
        ...     _ = net[0].weight.copy_(torch.tensor([[1.0], [-2]])), net[2].weight.fill_(2)
        >>> path_norm(net, order=1).item()  # paths 1 * 2 and -2 * 2
        6.0
    """
    if order < 1:
        raise ValueError(f"path_norm needs order >= 1, got {order}.")
    if shape is not None and not all(type(size) is int and size > 0 for size in shape):
        raise ValueError(f"path_norm needs a shape of positive integers, got {shape!r}.")
    layers = weight_layers(net)
    if shape is None:
        if not isinstance(layers[0].module, nn.Linear):
            raise ValueError(
                f"path_norm needs shape=, the shape of one input: the first layer with weights is "
                f"{describe(layers[0].name, layers[0].module)}."
            )
        shape = (layers[0].module.in_features,)
    h = layers[0].weight.new_ones(1, *shape)
    for name, module in leaves(net):
        if isinstance(module, nn.Linear) and h.shape[-1] != module.in_features:
            raise ValueError(
                f"path_norm: layer '{name}' takes {module.in_features} features, got "
                f"{h.shape[-1]} with shape={tuple(shape)}."
            )
        if isinstance(module, WEIGHTED):
            powers = {key: p.abs() ** order for key, p in module.named_parameters()}
            h = functional_call(module, powers, (h,))
        elif isinstance(module, (nn.Flatten, nn.Unflatten)):
            h = module(h)
        elif not isinstance(module, ELEMENTWISE):
            raise ValueError(
                f"path_norm: {describe(name, module)} is no sum over paths; it takes linear and "
                "convolution layers with element-wise activations."
            )
    return h.sum() ** (1 / order)


class SpectralNorm(NamedTuple):
    """A singular value with its vectors, and how well they fit."""

    norm: Tensor  # differentiable
    left: Tensor
    right: Tensor
    residual: float
    num_iters: int


@typed
def spectral_norm(
    W: Float[Tensor, "n m"],
    *,
    tol: float = 1e-4,
    max_iters: int = 2000,
    start: Float[Tensor, " m"] | None = None,
) -> SpectralNorm:
    r"""The largest singular value of W by power iteration, differentiable.

    Stops when $\|W^\top u - \sigma v\| \le \mathrm{tol}\cdot\sigma$: W then has a singular value
    within that distance of σ, and since errors enter squared σ is usually far closer. The value
    is a lower bound of the norm whatever the residual. O(nm) time a step, O(n + m) memory.

    Args:
        W: A matrix, not zero.
        tol: The largest relative residual.
        max_iters: Where to give up.
        start: Right vector to start from, such as that of the step before in a training;
            otherwise fixed pseudo-random numbers.

    Raises:
        TypeError: If the shapes disagree, or W is in half precision.
        ValueError: If W is zero or not finite, or tol or max_iters is not positive, or the start
            is not finite or in the null space of W.
        ConvergenceError: If the residual is larger after `max_iters` steps.

    Example:
        >>> round(spectral_norm(torch.diag(torch.tensor([3.0, 4.0]))).norm.item(), 4)
        4.0
    """
    if not 0 < tol < math.inf or max_iters < 1:
        raise ValueError(f"spectral_norm needs tol > 0, max_iters >= 1, got {tol}, {max_iters}.")
    check_precision("spectral_norm", W)
    A = W.detach()
    size = A.norm().item()
    if not 0 < size < math.inf:
        raise ValueError(f"spectral_norm needs a matrix that is finite and not zero, got {size}.")
    if start is None:
        generator = torch.Generator().manual_seed(0)  # fixed: the result depends on W alone
        start = torch.randn(A.shape[1], generator=generator, dtype=torch.float64).to(A)
    check_finite("start", start)
    length = start.norm()
    if not 0 < length < math.inf:
        raise ValueError(f"spectral_norm needs a start of positive length, got {length.item()}.")
    v = start / length
    residual, num_iters = float("inf"), 0
    while residual > tol:
        if num_iters == max_iters:
            raise ConvergenceError(
                f"spectral_norm: residual {residual:.1e} > tol={tol:.0e} after {max_iters} steps; "
                "raise max_iters or tol (the two largest singular values are close)."
            )
        u = A @ v
        sigma = u.norm()
        if sigma <= torch.finfo(A.dtype).eps * size:
            raise ValueError("spectral_norm: the start is in the null space of W; choose another.")
        u = u / sigma
        back = A.mT @ u
        residual = ((back - sigma * v).norm() / sigma).item()
        v = back / back.norm()
        num_iters += 1
    return SpectralNorm(u @ W @ v, u, v, residual, num_iters)
