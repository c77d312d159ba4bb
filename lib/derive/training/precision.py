"""Which number format the network computes in, and why."""

import time
from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple

import torch

from derive._typing import typed

PrecisionName = Literal["float32", "bfloat16", "float16", "auto"]
GAIN = 1.3  # what bfloat16 must gain on a convolution before it is worth its rounding


class Precision(NamedTuple):
    """A number format for the network's products, and the reason for it in a few words."""

    name: Literal["float32", "bfloat16", "float16"]
    reason: str


@typed
def choose_precision(wanted: PrecisionName, device: torch.device) -> Precision:
    """The format to compute in: what was asked for, or for `"auto"` the fastest safe one.

    `"auto"` means bfloat16 where the device is fast at it, which on a CPU is measured once (a
    small convolution, about 50 ms), and float32 elsewhere. Weights, averages and optimiser state
    stay in float32 whatever is chosen.

    Raises:
        ValueError: If float16 is asked for on a CPU, which has no fast path for it.
    """
    if wanted == "float16" and device.type == "cpu":
        raise ValueError(
            'float16 needs an accelerator, got device "cpu"; use "bfloat16", "float32" or "auto".'
        )
    if wanted != "auto":
        return Precision(wanted, "asked for")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported():
            return Precision("bfloat16", "the GPU has bfloat16 units")
        return Precision("float32", "the GPU has no bfloat16 units")
    if device.type != "cpu":
        return Precision("float32", f"bfloat16 is not tried on {device.type}")
    gain = bfloat16_gain()
    name: Literal["float32", "bfloat16"] = "bfloat16" if gain >= GAIN else "float32"
    return Precision(name, f"bfloat16 convolutions run {gain:.1f}x as fast on this processor")


@cache
def bfloat16_gain() -> float:
    """How many times faster than float32 a bfloat16 convolution runs on this processor.

    A 3 x 3 convolution of 64 channels, the bulk of a small U-Net; the fastest of several turns,
    so that a busy machine disturbs little. 0 where torch has no bfloat16 kernels at all.
    """
    if not torch.backends.mkldnn.is_available():
        return 0.0  # a fallback without vector instructions would be slower by far
    x = torch.ones(16, 64, 16, 16).to(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3).to(memory_format=torch.channels_last)
    halves = x.bfloat16(), weight.bfloat16()
    calls: list[Callable[[], object]] = [
        lambda: torch.conv2d(x, weight, padding=1),
        lambda: torch.conv2d(*halves, padding=1),
    ]
    fastest = [float("inf")] * 2
    with torch.no_grad():
        for turn in range(6):
            for which, call in enumerate(calls):
                start = time.perf_counter()
                call()
                if turn:  # the first turn compiles
                    fastest[which] = min(fastest[which], time.perf_counter() - start)
    return fastest[0] / fastest[1]
