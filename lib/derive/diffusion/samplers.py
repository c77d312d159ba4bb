"""From noise back to data, step by step: DDPM, DDIM and everything between (`ddpm-three-ways`)."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from derive._typing import typed
from derive._validate import all_finite, finite_or_explained
from derive.diffusion.losses import noise_like
from derive.diffusion.models import ExactModel
from derive.diffusion.outputs import Parameterization, clean_from, output_of
from derive.diffusion.schedules import NoiseSchedule, step_grid
from derive.diffusion.steps import (
    PerDim,
    ReverseStep,
    Variance,
    check_step,
    reverse_steps,
    unchecked_step,
)

Denoiser = Callable[..., Any]  # (x "n *d", t: int) -> the estimate of x_0, "n *d"


@typed
def denoiser_of(
    model: Callable[..., Any],
    schedule: NoiseSchedule,
    *,
    parameterization: Parameterization = "eps",
    clip: float | int | None = None,
) -> Denoiser:
    r"""A network as a denoiser: (x, t) -> $\hat x_0$, with one t for the whole batch.

    Args:
        model: `model(x, t)`, with t of shape (n,), as for `ddpm_loss`.
        schedule: The noise levels, on the device of x.
        parameterization: What the network estimates.
        clip: If given, $\hat x_0$ is clamped to [-clip, clip]: at large t a model of the noise
            multiplies its error by $\sigma_t/\alpha_t$, up to 157 on Ho's schedule.

    Raises:
        ValueError: If clip <= 0. The denoiser raises it if t is outside 0..T, the model returns
            another shape, or there is no signal at t for a model of the noise to be right about.
    """
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be > 0, got {clip}.")
    alpha = schedule.alpha.tolist()

    def denoise(x: Tensor, t: int) -> Tensor:
        if parameterization == "eps" and 0 <= t < len(alpha) and alpha[t] == 0:
            raise ValueError(f"a model of the noise cannot estimate the data at t={t}: alpha is 0.")
        times = torch.full((len(x),), t, device=x.device)
        output = output_of(model, x, times)
        x_0 = clean_from(output, x, times, schedule, parameterization)
        return x_0 if clip is None else x_0.clamp(-clip, clip)

    return denoise


@typed
def exact_denoiser(model: Any, schedule: NoiseSchedule) -> Denoiser:
    r"""An `ExactModel` as a denoiser: the network that training would give in the limit.

    Raises:
        TypeError: If the model is no `ExactModel`.
    """
    if not isinstance(model, ExactModel):
        raise TypeError(f"exact_denoiser needs an ExactModel, got {type(model).__name__}.")
    alpha, sigma = schedule.alpha.tolist(), schedule.sigma.tolist()

    def denoise(x: Tensor, t: int) -> Tensor:
        if not 0 <= t < len(alpha):
            raise ValueError(f"t must lie in 0..{schedule.T}, got {t}.")
        return model.denoise(x, alpha[t], sigma[t])

    return denoise


@typed
def run_reverse(
    denoiser: Denoiser,
    steps: Sequence[ReverseStep],
    x_T: Float[Tensor, "n *d"],
    *,
    generator: Generator | None = None,
    return_path: bool = False,
    callback: Callable[..., Any] | None = None,
) -> Float[Tensor, "..."]:
    """Run a sampler from noise to data. One call of the denoiser a step; O(n d) memory.

    Args:
        denoiser: (x, t: int) -> the estimate of x_0.
        steps: From `reverse_steps`.
        x_T: Where to start, usually standard normal.
        generator: Source of the noise; not needed where every step is deterministic.
        return_path: Also return what lies between.
        callback: Called as `callback(step, x)` after each step, e.g. by a progress bar.

    Returns:
        The samples, (n, *d); with `return_path` all states, (S + 1, n, *d), noise first.

    Raises:
        TypeError: If a step's coefficients are no numbers.
        ValueError: If noise is needed and there is no generator; if there is no step, or one is
            none; if x_T is not finite, or the denoiser's answer has another shape.
        FloatingPointError: If the samples are not finite.
    """
    if not steps:
        raise ValueError(f"run_reverse needs at least one step, got {steps!r}.")
    for step in steps:
        check_step(step)
    finite_or_explained("run_reverse", x_T, x_T=x_T)  # what goes wrong later is seen at the end
    x, path = x_T, [x_T] if return_path else []
    with torch.no_grad():
        for step in steps:
            noise = noise_like(x, generator, "this sampler") if step.std > 0 else None
            x = unchecked_step(step, x, output_of(denoiser, x, step.t), noise)
            if return_path:
                path.append(x)
            if callback is not None:
                callback(step, x)
    if not all_finite(x):
        raise FloatingPointError(
            "the sampler left the finite numbers; is the denoiser's estimate of x_0 bounded?"
        )
    return torch.stack(path) if return_path else x


@typed
def ddpm_sample(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    x_T: Float[Tensor, "n *d"],
    *,
    generator: Generator,
    num_steps: int | None = None,
    variance: Variance = "posterior",
    mmse_per_dim: PerDim | None = None,
    return_path: bool = False,
) -> Float[Tensor, "..."]:
    """DDPM's sampler; `reverse_steps` and `run_reverse` in one call, all T steps by default.

    Raises:
        ValueError, FloatingPointError: As for `run_reverse`, and as for `reverse_steps`.
    """
    grid = step_grid(schedule.T, schedule.T if num_steps is None else num_steps)
    steps = reverse_steps(schedule, grid, variance=variance, mmse_per_dim=mmse_per_dim)
    return run_reverse(denoiser, steps, x_T, generator=generator, return_path=return_path)


@typed
def ddim_sample(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    x_T: Float[Tensor, "n *d"],
    *,
    num_steps: int,
    eta: float | int = 0.0,
    kind: Literal["trailing", "leading"] = "trailing",
    generator: Generator | None = None,
    return_path: bool = False,
) -> Float[Tensor, "..."]:
    """DDIM's sampler; `reverse_steps` and `run_reverse` in one call.

    Raises:
        ValueError, FloatingPointError: As for `run_reverse`, and as for `reverse_steps`.
    """
    steps = reverse_steps(schedule, step_grid(schedule.T, num_steps, kind=kind), eta=eta)
    return run_reverse(denoiser, steps, x_T, generator=generator, return_path=return_path)
