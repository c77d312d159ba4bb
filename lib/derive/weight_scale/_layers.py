"""Which layers can trade scale with each other, and which cannot (chapter `weight-scale`)."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils import parametrize

# Linear in the weight: multiplying the weight by c multiplies the output (less the bias) by c.
WEIGHTED = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
# phi(cz) = c phi(z) for c >= 0, without parameters of their own.
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Dropout)
HOMOGENEOUS = (
    *ELEMENTWISE,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.Flatten,
    nn.Unflatten,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
)
NORMALISING = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.LocalResponseNorm,
    *([nn.RMSNorm] if hasattr(nn, "RMSNorm") else []),  # since torch 2.4
)


class Layer(NamedTuple):
    """A layer with weights and its place in the network, as `named_modules` writes it."""

    name: str
    module: nn.Module
    weight: Tensor
    bias: Tensor | None


def leaves(net: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """All layers in the order in which they act, with nested `nn.Sequential` opened."""
    for name, module in net._modules.items():  # named_children leaves out what occurs twice
        assert module is not None
        if isinstance(module, nn.Sequential):
            yield from leaves(module, f"{prefix}{name}.")
        else:
            yield prefix + name, module


def describe(name: str, module: nn.Module) -> str:
    return f"layer '{name}' ({type(module).__name__})"


def weight_layers(net: nn.Sequential, *, check: bool = True) -> list[Layer]:
    """The layers with weights, in order; everything between them must be homogeneous.

    With `check=False` layers that are not homogeneous are let through, if they have no
    parameters.

    Raises:
        ValueError: If there is no layer with weights, a layer is not supported (by name, with
            the reason), or two layers share a weight.
    """
    found: list[Layer] = []
    for name, module in leaves(net):
        if isinstance(module, WEIGHTED):
            found.append(_layer(name, module))
        elif not isinstance(module, HOMOGENEOUS) and (check or _has_parameters(module)):
            raise ValueError(_refusal(name, module))
    if not found:
        raise ValueError("the network has no layer with weights; there is no scale to shift.")
    seen: dict[int, str] = {}
    for layer in found:  # a layer that occurs twice shares its weight with itself
        other = seen.setdefault(id(layer.weight), layer.name)
        if other != layer.name:
            raise ValueError(
                f"layers '{other}' and '{layer.name}' share one weight: their scales cannot differ."
            )
    return found


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _layer(name: str, module: nn.Module) -> Layer:
    # A parametrised weight is computed from other tensors; scaling the result would be undone.
    extra = {key for key, _ in module.named_parameters()} - {"weight", "bias"}
    if parametrize.is_parametrized(module) or extra:
        raise ValueError(
            f"{describe(name, module)} computes its weight from other parameters "
            "(weight norm, spectral norm, …); rescale those, or remove the parametrisation."
        )
    weight, bias = module.weight, module.bias
    assert isinstance(weight, Tensor)
    assert bias is None or isinstance(bias, Tensor)
    return Layer(name, module, weight, bias)


def _refusal(name: str, module: nn.Module) -> str:
    where = describe(name, module)
    if isinstance(module, NORMALISING):
        return (
            f"{where} divides by the scale of what comes in, so that layers across it have none "
            "to trade; for the weights before it see effective_lr and equilibrium."
        )
    if _has_parameters(module):
        return (
            f"{where} has parameters that the rescaling does not cover; supported are "
            f"{', '.join(kind.__name__ for kind in WEIGHTED)}."
        )
    return (
        f"{where} is not known to be positively homogeneous, phi(cz) = c phi(z) for c > 0, so "
        "scale cannot pass through it; ReLU, LeakyReLU, pooling, Flatten and Dropout are."
    )


def require_nonzero(layers: list[Layer]) -> None:
    """Refuse weights whose norm has no logarithm."""
    for layer in layers:
        norm = layer.weight.detach().norm()
        if not 0 < norm.item() < float("inf"):
            raise ValueError(
                f"{describe(layer.name, layer.module)} has a weight of norm {norm.item():.3g}; "
                "its scale needs to be positive and finite."
            )
