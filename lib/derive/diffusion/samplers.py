"""From noise back to data, step by step: DDPM, DDIM and everything between (`ddpm-three-ways`)."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from derive._typing import typed
from derive.diffusion.losses import Parameterization, _noise_like, to_x0
from derive.diffusion.schedules import NoiseSchedule, step_grid

Denoiser = Callable[..., Any]  # (x "n *d", t: int) -> the estimate of x_0, "n *d"
Variance = Literal["beta", "posterior", "optimal"]


class ReverseStep(NamedTuple):
    r"""One step t → s of a sampler: $x_s$ = x_t · x + x_0 · x̂_0 + std · z, with z normal."""

    t: int
    s: int
    x_t: float
    x_0: float
    std: float


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
        ValueError: If clip <= 0.
    """
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be > 0, got {clip}.")

    def denoise(x: Tensor, t: int) -> Tensor:
        times = torch.full((len(x),), t, device=x.device)
        output = model(x, times).to(x.dtype)
        x_0 = to_x0(output, x, times, schedule, parameterization=parameterization)
        return x_0 if clip is None else x_0.clamp(-clip, clip)

    return denoise


@typed
def exact_denoiser(model: Any, schedule: NoiseSchedule) -> Denoiser:
    r"""An `ExactModel` as a denoiser: the network that training would give in the limit."""
    alpha, sigma = schedule.alpha.tolist(), schedule.sigma.tolist()
    return lambda x, t: model.denoise(x, alpha[t], sigma[t])


@typed
def reverse_variance(
    schedule: NoiseSchedule,
    t: Any,
    s: Any,
    *,
    kind: Variance = "posterior",
    mmse_per_dim: Any = None,
) -> Float64[Tensor, "..."]:
    r"""The variance $\nu^2$ of the model's reverse kernel from t to s.

    "posterior": $\tilde\nu^2=\sigma_s^2\sigma_{t|s}^2/\sigma_t^2$, right if the data were one
    point. "beta": $\sigma_{t|s}^2$, right for data N(0, I). "optimal": $\tilde\nu^2 +
    c^2\,\mathrm{mmse}/d$ with $c=\alpha_s\sigma_{t|s}^2/\sigma_t^2$, the best isotropic variance
    for the data at hand (book equation `total-variance`).

    Args:
        schedule: The noise levels.
        t: Times, ints or tensors of ints.
        s: Earlier times.
        kind: Which of the three.
        mmse_per_dim: The least error of denoising at t, per coordinate; for "optimal".

    Raises:
        ValueError: Unless 0 <= s < t <= T; if "optimal" lacks `mmse_per_dim`, or that is negative.

    Source:
        Ho et al. (2020) use the first two; Bao et al. (2022) derived the third.
    """
    if kind == "beta":
        return schedule.transition(t, s).variance
    posterior = schedule.posterior(t, s)
    if kind == "posterior":
        return posterior.variance
    if mmse_per_dim is None:
        raise ValueError("the optimal variance depends on the data: give mmse_per_dim at t.")
    error = torch.as_tensor(mmse_per_dim, dtype=torch.float64, device=schedule.alpha.device)
    if not (error >= 0).all():
        raise ValueError("mmse_per_dim must be >= 0.")
    return posterior.variance + posterior.x_0.square() * error


@typed
def reverse_steps(
    schedule: NoiseSchedule,
    grid: Sequence[int],
    *,
    variance: Variance = "posterior",
    eta: float | int | None = None,
    mmse_per_dim: Any = None,
) -> list[ReverseStep]:
    r"""The coefficients of a sampler on a grid of times, last time first.

    Without `eta`: DDPM. The mean is that of the bridge (book equation `posterior`), the noise has
    the chosen variance. With `eta`: the DDIM family, whose noise has standard deviation
    $\nu=\eta\tilde\nu$ and whose mean changes with it, $\alpha_s\hat x_0 +
    \sqrt{\sigma_s^2-\nu^2}\,\hat\varepsilon$; 0 is DDIM, 1 is DDPM with "posterior". All
    coefficients come from the two marginals, whatever lies between them. The last step, to
    s = 0, adds no noise.

    Args:
        schedule: The noise levels.
        grid: Increasing times, usually `step_grid(T, S)`; from 0 if data are wanted.
        variance: The variance of DDPM's noise; see `reverse_variance`.
        eta: The noise of DDIM.
        mmse_per_dim: For "optimal": one number for each time of the grid but the first.

    Raises:
        ValueError: If the grid is not increasing, or too short; if eta < 0, or so large that
            $\nu>\sigma_s$.

    Example:
        >>> two = NoiseSchedule.from_betas(torch.tensor([0.36, 0.75], dtype=torch.float64))
        >>> [round(c, 3) for c in reverse_steps(two, [0, 1, 2])[0]]
        [2, 1, 0.214, 0.714, 0.567]
    """
    if len(grid) < 2 or any(b <= a for a, b in pairwise(grid)):
        raise ValueError(f"a grid needs at least two increasing times, got {list(grid)[:8]}.")
    t = torch.tensor(grid[1:], device=schedule.alpha.device)
    s = torch.tensor(grid[:-1], device=schedule.alpha.device)
    bridge = schedule.posterior(t, s)
    if eta is None:
        x_t, x_0 = bridge.x_t, bridge.x_0
        square = reverse_variance(schedule, t, s, kind=variance, mmse_per_dim=mmse_per_dim)
    else:
        x_t, x_0, square = _ddim(schedule, t, s, float(eta), bridge.variance)
    std = torch.where(s == 0, 0.0, square.sqrt())
    columns = (t.tolist(), s.tolist(), x_t.tolist(), x_0.tolist(), std.tolist())
    return [ReverseStep(*row) for row in zip(*columns, strict=True)][::-1]


def apply_step(step: ReverseStep, x: Tensor, x_0: Tensor, noise: Tensor | None = None) -> Tensor:
    """x_t and the estimate of x_0 to x_s: the inner loop, and therefore without type checks."""
    y = torch.mul(x, step.x_t).add_(x_0, alpha=step.x_0)
    return y if noise is None or step.std == 0 else y.add_(noise, alpha=step.std)


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
        ValueError: If noise is needed and there is no generator, or there is no step.
        FloatingPointError: If a state is not finite; the message says at which time.
    """
    if not steps:
        raise ValueError("run_reverse needs at least one step.")
    x, path = x_T, [x_T] if return_path else []
    with torch.no_grad():
        for step in steps:
            noise = _noise_like(x, generator, "this sampler") if step.std > 0 else None
            x = apply_step(step, x, denoiser(x, step.t), noise)
            if return_path:
                path.append(x)
            if callback is not None:
                callback(step, x)
    if not torch.isfinite(x).all():
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
    mmse_per_dim: Any = None,
    return_path: bool = False,
) -> Float[Tensor, "..."]:
    """DDPM's sampler; `reverse_steps` and `run_reverse` in one call, all T steps by default."""
    grid = step_grid(schedule.T, num_steps or schedule.T)
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
    """DDIM's sampler; `reverse_steps` and `run_reverse` in one call."""
    steps = reverse_steps(schedule, step_grid(schedule.T, num_steps, kind=kind), eta=eta)
    return run_reverse(denoiser, steps, x_T, generator=generator, return_path=return_path)


def _ddim(
    schedule: NoiseSchedule, t: Tensor, s: Tensor, eta: float, posterior: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    if not eta >= 0:
        raise ValueError(f"eta must be >= 0, got {eta}.")
    square = eta**2 * posterior
    kept = schedule.sigma[s].square() - square
    if (kept < -1e-12 * schedule.sigma[s].square()).any():
        largest = (schedule.sigma[t] / schedule.transition(t, s).variance.sqrt()).min().item()
        raise ValueError(
            f"eta={eta} asks for more noise than sigma_s holds; on this grid at most {largest:.4g}."
        )
    x_t = kept.clamp(min=0).sqrt() / schedule.sigma[t]
    return x_t, schedule.alpha[s] - x_t * schedule.alpha[t], square
