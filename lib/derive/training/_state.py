"""The state of a training as named tensors and plain values, and back."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from derive.training.errors import CheckpointError


def optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors by name, plain values): all that an optimiser remembers."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{key}"] = value
            else:
                scalars.setdefault(str(index), {})[key] = value
    return tensors, {"scalars": scalars, "groups": _plain(state["param_groups"])}


def restore_optimizer(
    optimizer: Optimizer, tensors: dict[str, Tensor], values: dict[str, Any]
) -> None:
    """Give an optimiser back what `optimizer_state` took from it."""
    fresh = optimizer.state_dict()["param_groups"]
    different = [
        f"{key}={there[key]!r} there, {here[key]!r} now"
        for here, there in zip(_plain(fresh), values["groups"], strict=False)
        for key in sorted(set(here) & set(there) - {"lr"})  # lr follows the schedule
        if here[key] != there[key]
    ]
    if len(fresh) != len(values["groups"]) or different:
        raise CheckpointError(
            "the checkpoint belongs to another optimiser: "
            + ("; ".join(different) or "other groups of parameters")
            + "."
        )
    state: dict[int, dict[str, Any]] = {
        int(index): dict(entries) for index, entries in values["scalars"].items()
    }
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/", 2)
            state.setdefault(int(index), {})[key] = tensor
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for place, memory in state.items():
        like = parameters[place]
        for key, value in memory.items():
            if isinstance(value, Tensor) and value.shape == like.shape:
                # In the parameter's memory layout (channels-last), or every step is slower.
                memory[key] = torch.empty_like(like, dtype=value.dtype).copy_(value)
    # The fresh groups equal the stored ones, and keep the types that JSON does not know.
    optimizer.load_state_dict({"state": state, "param_groups": fresh})


def restore_module(module: nn.Module, tensors: dict[str, Tensor], kind: str) -> None:
    """Load the tensors `kind/…` into a module."""
    prefix = f"{kind}/"
    found = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    try:
        module.load_state_dict(found)
    except RuntimeError as error:
        raise CheckpointError(f"the checkpoint belongs to another model: {error}") from error


def named(kind: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under `kind/…`."""
    return {f"{kind}/{name}": tensor for name, tensor in tensors.items()}


def copy_of(module: nn.Module) -> nn.Module:
    """A copy for averaging: it is evaluated, and never trained."""
    from copy import deepcopy

    return deepcopy(module).eval().requires_grad_(False)


@torch.no_grad()
def move_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """One step of the exponential moving average; it starts as the plain mean of few steps."""
    keep = min(decay, (1 + step) / (10 + step))
    # Names with an underscore, but what torch's own averaging (swa_utils) is made of.
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)
    for ours, theirs in zip(average.buffers(), model.buffers(), strict=True):
        ours.copy_(theirs)


def _plain(value: Any) -> Any:
    """The value as JSON would give it back: tensors as numbers, tuples as lists."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
