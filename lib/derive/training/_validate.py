"""What training asks of the numbers and values that it is given."""

from typing import Any

import torch
from torch import Tensor, nn

from derive.device import as_device

LARGEST = 1e10  # of a rate: far outside of all use, and its products are still in float32


def check_numbers(numbers: dict[str, int]) -> None:
    """Counts are at least one."""
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"train needs {name} >= 1, got {value}.")


def check_rates(rates: dict[str, float]) -> None:
    """What steps are multiplied by is not negative, and not absurd."""
    for name, value in rates.items():
        if not 0 <= value <= LARGEST:
            raise ValueError(f"train needs {name} between 0 and {LARGEST:g}, got {value}.")


def device_of(model: nn.Module, wanted: str | torch.device | None) -> torch.device:
    """The device that is asked for, else the one where the model is."""
    if wanted is not None:
        return as_device(wanted)
    for parameter in model.parameters():
        return parameter.device
    raise ValueError("the model has no parameters to train, got none at all.")


def factor_at(step: int, factor: Any) -> float:
    """What a schedule gave, as a number."""
    try:
        number = float(factor)
    except (TypeError, ValueError) as error:
        raise TypeError(f"schedule must give a number, got {factor!r} at step {step}.") from error
    if not 0 <= number <= LARGEST:
        raise ValueError(
            f"schedule must give a factor between 0 and {LARGEST:g}, got {number} at step {step}."
        )
    return number


def check_loss(value: Any) -> None:
    """A loss is one number that carries a gradient."""
    if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
        got = (
            f"shape {tuple(value.shape)}, requires_grad={value.requires_grad}"
            if isinstance(value, Tensor)
            else type(value).__name__
        )
        raise ValueError(f"loss must return a scalar tensor with a gradient, got {got}.")


def bad_weight(model: nn.Module) -> str | None:
    """The name of a trained weight that is not finite, if there is one."""
    for name, part in model.named_parameters():
        if part.requires_grad and not torch.isfinite(part).all():
            return name
    return None


def check_contents(step: int, tensors: dict[str, Tensor]) -> None:
    """The step and the tensors of a checkpoint are such as can be stored and found again."""
    if not isinstance(step, int) or isinstance(step, bool):
        raise TypeError(f"the step of a checkpoint must be an integer, got {step!r}.")
    if step < 0:
        raise ValueError(f"the step of a checkpoint must be >= 0, got {step}.")
    if not isinstance(tensors, dict):
        raise TypeError(f"a checkpoint needs a dict of tensors, got {type(tensors).__name__}.")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.is_complex() or tensor.device.type == "meta":
            got = (
                f"{tensor.dtype} on {tensor.device}"
                if isinstance(tensor, Tensor)
                else type(tensor).__name__
            )
            raise TypeError(f"a checkpoint stores tensors of real numbers, got {got} for {name!r}.")
