"""Training a diffusion model of images, and drawing from it (chapter `ddpm-three-ways`)."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from derive._typing import typed
from derive.device import as_device
from derive.diffusion.losses import ddpm_loss, sample_times
from derive.diffusion.samplers import denoiser_of, run_reverse
from derive.diffusion.schedules import NoiseSchedule, step_grid
from derive.diffusion.steps import reverse_steps
from derive.diffusion.unet import UNet
from derive.training import CheckpointError, Event, Trained, cosine, read_checkpoint, train
from derive.training.checkpoints import load_weights
from derive.training.precision import PrecisionName, choose_precision

ScheduleName = Literal["ho", "su", "cosine"]
Sampler = Literal["ddpm", "ddim"]


@dataclass(frozen=True)
class Recipe:
    """What a diffusion model is: the images, the network, the noise. Stored in checkpoints."""

    channels: int
    size: int
    widths: Sequence[int] = (32, 64, 128)
    blocks: int | Sequence[int] = 2
    noise: ScheduleName = "ho"
    num_times: int = 1000

    def __post_init__(self) -> None:
        # JSON gives back lists.
        object.__setattr__(self, "widths", tuple(self.widths))
        if not isinstance(self.blocks, int):
            object.__setattr__(self, "blocks", tuple(self.blocks))

    def network(self, generator: Generator | None = None) -> UNet:
        """The network, with weights from the generator."""
        return UNet(self.channels, widths=self.widths, blocks=self.blocks, generator=generator)

    def schedule(self) -> NoiseSchedule:
        """The noise levels."""
        if self.noise == "ho":
            return NoiseSchedule.ho_linear(self.num_times)
        if self.noise == "su":
            return NoiseSchedule.su_linear(self.num_times)
        return NoiseSchedule.cosine(self.num_times)


class DiffusionModel(NamedTuple):
    """A network that predicts noise, and the noise levels that it was trained with."""

    net: UNet
    schedule: NoiseSchedule
    recipe: Recipe


@typed
def train_diffusion(
    data: Any,
    recipe: Recipe,
    *,
    steps: int,
    seed: int,
    batch_size: int = 64,
    learning_rate: float | int = 2e-4,
    warmup: int = 0,
    ema: float | int | None = 0.999,
    precision: PrecisionName = "auto",
    accumulate: int = 1,
    checkpoints: str | Path | None = None,
    checkpoint_every: int = 1000,
    callback: Callable[[Event], Any] | None = None,
    progress: bool | None = None,
    device: str | torch.device = "cpu",
    workers: int = 0,
) -> Trained:
    """Train a U-Net to predict the noise in images (DDPM, the simple loss), as `train` does it.

    Times are drawn stratified, one from each of batch_size equal parts of 1..T, which keeps the
    mean loss and lowers its variance. The learning rate falls along half a cosine.

    Args:
        data: Images in [-1, 1]: a tensor (n, c, h, w), or a dataset of (c, h, w), such as
            `derive.data.ImageFolder`.
        recipe: The model's sizes and noise.
        steps: Updates of the weights.
        seed: Everything random follows from it: initial weights, order, noise.
        batch_size: Images of one update, over all processes.
        learning_rate: The largest, for AdamW without weight decay.
        warmup: Steps in which the learning rate rises.
        ema: Decay of the weights' moving average, which is what is sampled from.
        precision: `"auto"` takes bfloat16 where that is fast.
        accumulate: Parts in which a batch is computed, to save memory.
        checkpoints: A folder to write to, and to resume from.
        checkpoint_every: Steps between checkpoints.
        callback: Called after every step; see `derive.training.train`.
        progress: Whether to show a bar.
        device: Where to train.
        workers: Processes that read a dataset ahead.

    Raises:
        ValueError: If the images are not what the recipe says, or a number is out of range.
        Diverged, CheckpointError: See `derive.training.train`.
    """
    _check_images(data, recipe)
    target = as_device(device)
    net = recipe.network(Generator().manual_seed(seed))
    levels = cache(recipe.schedule().to)  # under a launcher, each process has its own device

    def loss(model: Any, batch: Tensor, generator: Generator) -> Tensor:
        schedule = levels(batch.device)
        t = sample_times(len(batch), schedule, generator=generator, stratified=True)
        return ddpm_loss(model, batch, schedule, t.to(batch.device), generator=generator).loss

    return train(
        net,
        loss,
        data,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        learning_rate=learning_rate,
        schedule=cosine(steps, warmup=warmup, floor=0.05),
        precision=precision,
        accumulate=accumulate,
        clip_norm=1.0,
        ema=ema,
        checkpoints=checkpoints,
        checkpoint_every=checkpoint_every,
        meta={"recipe": asdict(recipe)},
        callback=callback,
        progress=progress,
        device=target,
        workers=workers,
    )


@typed
def load_diffusion(source: str | Path, *, average: bool = True) -> DiffusionModel:
    """The model in a checkpoint, or in the newest of a folder; its moving average by default.

    Raises:
        CheckpointError: If there is none, it is damaged, or it is not of a diffusion model.
    """
    checkpoint = read_checkpoint(source)
    if "recipe" not in checkpoint.meta:
        raise CheckpointError(f"the checkpoint in {source} is not of a diffusion model.")
    recipe = Recipe(**checkpoint.meta["recipe"])
    net = recipe.network()
    load_weights(net, checkpoint, average=average)
    return DiffusionModel(net.eval().requires_grad_(False), recipe.schedule(), recipe)


@typed
def draw(
    model: DiffusionModel,
    num: int,
    *,
    generator: Generator,
    sampler: Sampler = "ddim",
    num_steps: int = 50,
    eta: float | int = 0.0,
    precision: PrecisionName = "auto",
    batch_size: int = 256,
    return_path: bool = False,
    callback: Callable[..., Any] | None = None,
) -> Float[Tensor, "..."]:
    """Images from a diffusion model, on the network's device.

    Args:
        model: From `load_diffusion`.
        num: How many.
        generator: Source of the noise.
        sampler: DDPM (adds noise at each step) or DDIM (`eta` = 0: none).
        num_steps: Calls of the network; DDIM does with few.
        eta: The noise of DDIM, as a share of DDPM's.
        precision: What the network computes in; the states between stay in float32.
        batch_size: Images that are computed together.
        return_path: Whether to return all states, noise first.
        callback: Called as `callback(step, x)` after each step.

    Returns:
        (num, c, h, w), in [-1, 1] but for rounding; with `return_path` (steps + 1, num, c, h, w).

    Raises:
        ValueError: If a number is out of range.
    """
    if num < 1 or batch_size < 1:
        raise ValueError(f"draw needs num, batch_size >= 1, got {num} and {batch_size}.")
    recipe, schedule = model.recipe, model.schedule
    device = next(model.net.parameters()).device
    # A copy whose weights are bfloat16, not autocast: that would convert them at every step.
    chosen = choose_precision(precision, device)
    net: torch.nn.Module = model.net
    if chosen.name != "float32":
        net = deepcopy(net).to(getattr(torch, chosen.name))
    denoiser = denoiser_of(net, schedule.to(device), clip=1.0)
    grid = step_grid(schedule.T, num_steps)
    steps = reverse_steps(schedule, grid, eta=None if sampler == "ddpm" else eta)
    shape = (num, recipe.channels, recipe.size, recipe.size)
    start = torch.randn(shape, generator=generator, device=generator.device).to(device)
    parts = [
        run_reverse(
            denoiser,
            steps,
            part,
            generator=generator,
            return_path=return_path,
            callback=callback,
        )
        for part in start.split(batch_size)
    ]
    return torch.cat(parts, dim=1 if return_path else 0)


def _check_images(data: Any, recipe: Recipe) -> None:
    first = data[0]
    if isinstance(first, tuple):
        raise ValueError("train_diffusion takes images alone, without labels.")
    expected = (recipe.channels, recipe.size, recipe.size)
    if tuple(first.shape) != expected:
        raise ValueError(f"the recipe wants images {expected}, got {tuple(first.shape)}.")
