"""Where a chapter runs, how large, and from which seed: the last line of every set-up cell."""

import os
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch

from derive._typing import typed

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """One execution of a chapter: its profile, device, seed and source of randomness."""

    profile: Literal["cpu", "gpu"]
    device: torch.device
    seed: int
    generator: torch.Generator

    def scale(self, *, cpu: T, gpu: T) -> T:
        """The size that fits the profile: `cpu` on two cores, `gpu` on one accelerator.

        Example:
            >>> start(seed=0).scale(cpu=20, gpu=200)  # doctest: +SKIP
            20
        """
        return cpu if self.profile == "cpu" else gpu


@typed
def as_device(device: str | torch.device) -> torch.device:
    """The device of that name, if it is one that torch can use here.

    Raises:
        ValueError: If torch knows no device of that name, or it is a CUDA device and not there.

    Example:
        >>> as_device("cpu")
        device(type='cpu')
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"there is no device {device!r}; try 'cpu' or 'cuda'.") from error
    count = torch.cuda.device_count()
    if found.type == "cuda" and (found.index or 0) >= count:
        raise ValueError(
            f"there is no device {str(device)!r}: torch sees {count} CUDA devices here."
        )
    return found


@typed
def start(*, seed: int) -> Run:
    """Choose the profile and seed this run; print both on one line.

    The profile is `gpu` where CUDA is present, else `cpu`; the environment variable
    `DERIVE_PROFILE` overrides the choice. `DERIVE_SEED` is added to the seed, so that a sweep
    can repeat a whole chapter on fresh draws without editing it. The generator lives on the
    CPU on every machine: all devices then see the same numbers. No global state is seeded.

    Raises:
        ValueError: If one of the two variables holds something else, or `DERIVE_PROFILE=gpu`
            is asked for on a machine without CUDA.
    """
    profile = _profile()
    offset = os.environ.get("DERIVE_SEED", "0")
    try:
        seed = seed + int(offset)
    except ValueError:
        raise ValueError(f"DERIVE_SEED must be a whole number, got {offset!r}.") from None
    if seed < 0:
        raise ValueError(f"start needs a seed >= 0, got {seed} (DERIVE_SEED={offset}).")
    device = torch.device("cuda" if profile == "gpu" else "cpu")
    print(f"{profile} profile, seed {seed}")
    return Run(profile, device, seed, torch.Generator().manual_seed(seed))


def _profile() -> Literal["cpu", "gpu"]:
    wanted = os.environ.get("DERIVE_PROFILE", "")
    if wanted == "cpu":
        return "cpu"
    if wanted not in ("", "gpu"):
        raise ValueError(f"DERIVE_PROFILE must be 'cpu' or 'gpu', got {wanted!r}.")
    if torch.cuda.is_available():
        return "gpu"
    if wanted == "gpu":
        raise ValueError(
            "DERIVE_PROFILE=gpu, but torch sees no CUDA device; unset it, or choose a GPU runtime "
            "(Colab: Runtime, Change runtime type)."
        )
    return "cpu"
