"""What gradient descent does along the orbit and on the sphere (chapter `weight-scale`)."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from derive._typing import typed
from derive._validate import check_finite, finite_or_explained
from derive.weight_scale._layers import weight_layers


@typed
def euler_products(loss: Float[Tensor, ""], net: nn.Sequential) -> Float[Tensor, " layers"]:
    r"""$\langle W_l, \nabla_{W_l}\mathcal L\rangle$ for each layer, by one backward pass.

    Without biases all are equal (book equation `eq-euler`): each is the derivative of the loss
    with respect to the logarithm of the output's scale. The graph of the loss is kept.

    Args:
        loss: A scalar computed from the network's output.
        net: Layers in a row.

    Raises:
        ValueError: If a layer is not supported, or the loss does not depend on a weight.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
        >>> with torch.no_grad():
        ...     _ = net[0].weight.fill_(4), net[2].weight.fill_(1)
        >>> euler_products(net(torch.ones(1, 1)).sum(), net)
        tensor([4., 4.])
    """
    layers = weight_layers(net)
    if not loss.requires_grad:
        raise ValueError("euler_products: the loss depends on no weight; compute it with grad on.")
    weights = [layer.weight for layer in layers]
    gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    products = []
    for layer, gradient in zip(layers, gradients, strict=True):
        if gradient is None:
            raise ValueError(f"euler_products: the loss does not depend on layer '{layer.name}'.")
        products.append((layer.weight.detach() * gradient).sum())
    return torch.stack(products)


@typed
def balance_gap(net: nn.Sequential) -> Float[Tensor, " pairs"]:
    r"""$\|W_l\|^2 + \|b_l\|^2 - \|W_{l+1}\|^2$ for each pair of successive layers.

    Gradient flow conserves it, whatever the loss; with L2 of strength λ on weights and biases it
    decays as $e^{-2\lambda t}$ (book equation `eq-balance`). Biases belong to the first of two
    layers only: they scale with their own layer and not with the next.

    Raises:
        ValueError: If a layer is not supported, or there are fewer than two with weights.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
        >>> with torch.no_grad():
        ...     _ = net[0].weight.fill_(4), net[2].weight.fill_(1)
        >>> balance_gap(net).detach()
        tensor([15.])
    """
    layers = weight_layers(net)
    if len(layers) < 2:
        raise ValueError("balance_gap compares successive layers; this network has only one.")
    # W_l -> cW_l, b_l -> cb_l, W_{l+1} -> W_{l+1}/c is the symmetry behind each conserved gap.
    gaps = []
    for layer, after in pairwise(layers):
        mine = layer.weight.square().sum()
        if layer.bias is not None:
            mine = mine + layer.bias.square().sum()
        gaps.append(mine - after.weight.square().sum())
    return torch.stack(gaps)


@typed
def effective_lr(W: Float[Tensor, "..."], eta: float) -> Float[Tensor, ""]:
    r"""$\eta / \|W\|^2$: the step that weights before a normalisation take on the unit sphere.

    The gradient falls as 1/‖W‖ (book equation `eq-sinv`), and a step turns W by its length over
    ‖W‖: two factors. O(entries) time.

    Raises:
        ValueError: If eta <= 0, or W is zero.

    Example:
        >>> effective_lr(torch.tensor([3.0, 4.0]), 0.5)
        tensor(0.0200)
    """
    _require_rate(eta)
    square = W.square().sum()
    if not 0 < square.item() < math.inf:
        raise ValueError(
            f"effective_lr needs weights of a positive, finite norm, got {square.item() ** 0.5}."
        )
    return eta / square


@typed
def exp_lr_schedule(eta: float, weight_decay: float, num_steps: int) -> Float[Tensor, " steps"]:
    r"""$\eta(1-\eta\lambda)^{-2t-1}$, t = 0, 1, …: the rates that replace weight decay.

    On a scale-invariant loss, SGD with these rates and no decay goes through the same directions
    as SGD with rate eta and weight decay (book equation `eq-explr`). Float64.

    Raises:
        ValueError: If eta <= 0, weight_decay < 0, eta * weight_decay >= 1, num_steps < 1, or the
            last rate overflows.

    Source:
        Li and Arora (ICLR 2020), who treat momentum as well.

    Example:
        >>> exp_lr_schedule(0.5, 1.0, 3)
        tensor([ 1.,  4., 16.], dtype=torch.float64)
    """
    shrink = _shrink(eta, weight_decay)
    if num_steps < 1:
        raise ValueError(f"exp_lr_schedule needs num_steps >= 1, got {num_steps}.")
    t = torch.arange(num_steps, dtype=torch.float64)
    rates = eta * torch.tensor(shrink, dtype=torch.float64) ** -(2 * t + 1)
    if not rates[-1].isfinite():
        raise ValueError(
            f"exp_lr_schedule: the rate overflows within {num_steps} steps at eta * weight_decay "
            f"= {eta * weight_decay:.3g}; that is the point of using weight decay instead."
        )
    return rates


class Equilibrium(NamedTuple):
    """Where the norm of scale-invariant weights comes to rest under SGD with weight decay."""

    norm: float
    angle: float  # radians turned in one step
    ratio: float  # gradient norm over weight norm


@typed
def equilibrium(eta: float, weight_decay: float, gradient: float = 1.0) -> Equilibrium:
    r"""Norm, angle per step and gradient ratio at which growth and decay cancel.

    $\|W\|^4 = \eta\tilde g^2/(\lambda(2-\eta\lambda))$, $\cos\angle = 1-\eta\lambda$ and
    $\|g\|/\|W\| = \sqrt{\lambda(2-\eta\lambda)/\eta}$ (book equation `eq-equil`). Angle and ratio
    do not depend on the loss.

    Args:
        eta: Rate of plain SGD.
        weight_decay: Its λ; the weights shrink by 1 - eta * weight_decay a step.
        gradient: $\tilde g$, the gradient's norm at weights of norm 1.

    Raises:
        ValueError: If eta <= 0, weight_decay <= 0 (there is no equilibrium), gradient <= 0, or
            eta * weight_decay >= 1.

    Source:
        Wan, Zhu, Zhang, Sun (NeurIPS 2021), with angle sqrt(2 eta lambda) to first order.

    Example:
        >>> found = equilibrium(0.1, 0.02)
        >>> round(math.degrees(found.angle), 2)
        3.62
    """
    shrink = _shrink(eta, weight_decay)
    if weight_decay == 0 or not 0 < gradient < 1e100:
        raise ValueError(
            "equilibrium needs weight_decay > 0 and 0 < gradient < 1e100, without which the norm "
            f"grows or falls for ever; got {weight_decay} and {gradient}."
        )
    pull = weight_decay * (1 + shrink)  # lambda (2 - eta lambda)
    norm = (eta * gradient**2 / pull) ** 0.25
    return Equilibrium(norm, math.acos(shrink), math.sqrt(pull / eta))


@typed
def corrected_decay(eta: float, eta_max: float, weight_decay: float) -> float:
    r"""The weight decay at rate eta that keeps the gradient ratio at the value it has at eta_max.

    $\lambda\eta/\eta_{\max}$, so that weights shrink by $\lambda\eta^2/\eta_{\max}$ a step (book
    equation `eq-end-rise`).

    Raises:
        ValueError: If not 0 <= eta <= eta_max, eta_max = 0, weight_decay < 0, or
            eta_max * weight_decay >= 1.

    Source:
        Defazio (2025), whose AdamC and SGDC apply it to weights before a normalisation.

    Example:
        >>> corrected_decay(0.05, 0.1, 0.02)
        0.01
    """
    _shrink(eta_max, weight_decay)
    if not eta >= 0:
        raise ValueError(f"corrected_decay needs eta >= 0, got eta={eta}.")
    if eta > eta_max:
        raise ValueError(f"corrected_decay needs eta <= eta_max, got {eta} > {eta_max}.")
    return weight_decay * eta / eta_max


@typed
def angular_updates(history: Float[Tensor, "steps d"]) -> Float[Tensor, " updates"]:
    r"""The angle between each weight vector and the next, in radians.

    From $2\arctan(\|u-v\|/\|u+v\|)$ of the directions: unlike the arc cosine it is accurate for
    small angles. O(steps x d) time and memory.

    Raises:
        ValueError: If there are fewer than two vectors, or one is zero or not finite.

    Example:
        >>> angular_updates(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
        tensor([1.5708])
    """
    if len(history) < 2:
        raise ValueError(f"angular_updates needs at least 2 weight vectors, got {len(history)}.")
    norms = history.norm(dim=1, keepdim=True)
    usable = (norms > 0) & norms.isfinite()
    if not usable.all():
        step = int(usable.logical_not()[:, 0].nonzero()[0])
        raise ValueError(
            "angular_updates needs vectors whose norms are positive and finite, got one of norm "
            f"{norms[step].item():.3g} at step {step}."
        )
    directions = history / norms
    apart = (directions[1:] - directions[:-1]).norm(dim=1)
    together = (directions[1:] + directions[:-1]).norm(dim=1)
    return 2 * torch.atan2(apart, together)


@typed
@dataclass(frozen=True)
class ScaleInvariantQuadratic:
    r"""$\tfrac12 w^\top A w / \|w\|^2$: the smallest loss that does not see the norm of w.

    Args:
        A: A symmetric matrix; the loss lies between half its smallest and half its largest
            eigenvalue.

    Raises:
        TypeError: If A is no matrix of floating-point numbers.
        ValueError: If A is not finite, not square or not symmetric.

    Example:
        >>> loss = ScaleInvariantQuadratic(torch.diag(torch.tensor([1.0, 3.0])))
        >>> w = torch.tensor([1.0, 1.0])
        >>> loss(w), loss(10 * w), loss.gradient(w)
        (tensor(1.), tensor(1.), tensor([-0.5000,  0.5000]))
    """

    A: Float[Tensor, "rows columns"]

    def __post_init__(self) -> None:
        if self.A.is_meta:
            raise TypeError("ScaleInvariantQuadratic needs numbers, got a meta tensor.")
        check_finite("A", self.A)
        rows, columns = self.A.shape
        if rows != columns or rows == 0 or not torch.allclose(self.A, self.A.mT):
            raise ValueError(
                "ScaleInvariantQuadratic needs a symmetric matrix, got shape "
                f"{tuple(self.A.shape)}."
            )

    @typed
    def __call__(self, w: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """The loss at w.

        Raises:
            TypeError: If w has another dtype than A.
            ValueError: If w has another length than A, is zero or not finite.
        """
        self._require(w)
        value = ((w @ self.A) * w).sum(dim=-1) / (2 * w.square().sum(dim=-1))
        return finite_or_explained("the loss at a w that is zero, or", value, w=w)

    @typed
    def gradient(self, w: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        r"""$(Aw - 2\mathcal L(w)\,w)/\|w\|^2$: orthogonal to w, of size 1/‖w‖."""
        value = self(w)
        square = w.square().sum(dim=-1, keepdim=True)
        return (w @ self.A - 2 * value[..., None] * w) / square

    def _require(self, w: Tensor) -> None:
        if w.dtype != self.A.dtype:
            raise TypeError(f"the loss computes in {self.A.dtype}, got w in {w.dtype}.")
        if w.shape[-1] != len(self.A):
            raise ValueError(f"the loss takes vectors of {len(self.A)}, got {w.shape[-1]}.")


def _require_rate(eta: float) -> None:
    if not 0 < eta < math.inf:
        raise ValueError(f"a learning rate is positive and finite, got eta={eta}.")


def _shrink(eta: float, weight_decay: float) -> float:
    """1 - eta lambda, which must be positive: otherwise a step turns the weights round."""
    _require_rate(eta)
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must be >= 0, got {weight_decay}.")
    if eta * weight_decay >= 1:
        raise ValueError(
            f"eta * weight_decay must be below 1, got {eta * weight_decay:.3g}: one step would "
            "erase the weights or turn them round."
        )
    return 1 - eta * weight_decay
