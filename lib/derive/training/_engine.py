"""What is particular about accelerate: its process-wide settings, its wrapping, its devices."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def make_accelerator(device: torch.device, precision: str, accumulate: int) -> Any:
    """An Accelerator for this device; a notebook may ask for another one later."""
    with warnings.catch_warnings():
        # Its hub client imports tqdm.auto, which in a kernel without ipywidgets says so.
        warnings.filterwarnings("ignore", message="IProgress not found")
        from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState

    # accelerate's settings are one per process, and a notebook trains more than once: forget
    # those of the training before. The connection of the processes stays while the device does.
    moved = PartialState._shared_state != {} and PartialState().device.type != device.type
    AcceleratorState._reset_state(reset_partial_state=moved)
    GradientState._reset_state()
    accelerator = Accelerator(
        mixed_precision={"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[precision],
        gradient_accumulation_steps=accumulate,
        cpu=device.type == "cpu",
    )
    if accelerator.device.type != device.type:
        raise ValueError(
            f'train was asked for device "{device.type}", and accelerate offers '
            f'"{accelerator.device.type}" in this process.'
        )
    return accelerator


@contextmanager
def prepared(accelerator: Any, model: nn.Module, optimizer: Any) -> Iterator[tuple[Any, Any]]:
    """The model and optimiser as accelerate wraps them; the model is itself again afterwards."""
    own = {name: value for name, value in vars(model).items() if name == "forward"}
    try:
        yield accelerator.prepare(model, optimizer)
    finally:
        # For mixed precision accelerate puts a forward of its own on the model.
        for name in ("forward", "_original_forward"):
            vars(model).pop(name, None)
        vars(model).update(own)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Dropout draws from torch's global generators: they are put back afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def seed_global(seed: int, device: torch.device) -> None:
    """Seed the generators that dropout uses on this device."""
    # Not torch.manual_seed, which looks for every kind of device and takes a millisecond.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def to_device(batch: Any, device: torch.device) -> Any:
    """A batch (a tensor, or nested sequences of them) on the device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    from accelerate.utils import send_to_device

    return send_to_device(batch, device, non_blocking=True)
