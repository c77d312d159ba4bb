"""The steps of a sampler, and the variance of their noise (`ddpm-three-ways`)."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite, finite_or_explained
from derive.diffusion._validate import check_grid
from derive.diffusion.schedules import NoiseSchedule, Step

Variance = Literal["beta", "posterior", "optimal"]
PerDim = float | int | Float[Tensor, "..."]


class ReverseStep(NamedTuple):
    r"""One step t → s of a sampler: $x_s$ = x_t · x + x_0 · x̂_0 + std · z, with z normal."""

    t: int
    s: int
    x_t: float
    x_0: float
    std: float


@typed
def reverse_variance(
    schedule: NoiseSchedule,
    t: Step,
    s: Step,
    *,
    kind: Variance = "posterior",
    mmse_per_dim: PerDim | None = None,
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
        ValueError: Unless 0 <= s < t <= T; if "optimal" lacks `mmse_per_dim`, or that is negative,
            not finite, or does not fit the times.

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
    check_finite("mmse_per_dim", error)
    if (error < 0).any():
        raise ValueError(f"mmse_per_dim must be >= 0, got {error.min().item():g}.")
    if error.ndim and error.shape != posterior.variance.shape:
        raise ValueError(
            f"mmse_per_dim must be one number, or one for each of the times in shape "
            f"{tuple(posterior.variance.shape)}, got shape {tuple(error.shape)}."
        )
    return posterior.variance + posterior.x_0.square() * error


@typed
def reverse_steps(
    schedule: NoiseSchedule,
    grid: Sequence[int],
    *,
    variance: Variance = "posterior",
    eta: float | int | None = None,
    mmse_per_dim: PerDim | None = None,
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
        TypeError: If the grid does not hold ints.
        ValueError: If the grid is not increasing, or too short; if eta < 0, or so large that
            $\nu>\sigma_s$.

    Example:
        >>> two = NoiseSchedule.from_betas(torch.tensor([0.36, 0.75], dtype=torch.float64))
        >>> [round(c, 3) for c in reverse_steps(two, [0, 1, 2])[0]]
        [2, 1, 0.214, 0.714, 0.567]
    """
    check_grid(grid)
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


@typed
def apply_step(
    step: ReverseStep,
    x: Float[Tensor, "*d"],
    x_0: Float[Tensor, "*d"],
    noise: Float[Tensor, "*d"] | None = None,
) -> Float[Tensor, "*d"]:
    """x_t and the estimate of x_0 to x_s; without noise to the mean of x_s.

    Raises:
        TypeError: If shapes or dtypes disagree, or the step's coefficients are no numbers.
        ValueError: If the step does not lead from t to an earlier s, or a coefficient, an argument
            or the result is not finite.
    """
    check_step(step)
    given = {"x": x, "x_0": x_0} | ({} if noise is None else {"noise": noise})
    return finite_or_explained("apply_step", unchecked_step(step, x, x_0, noise), **given)


def unchecked_step(
    step: ReverseStep, x: Tensor, x_0: Tensor, noise: Tensor | None = None
) -> Tensor:
    """`apply_step` for the inner loop: two or three passes over memory, and nothing else."""
    y = torch.mul(x, step.x_t).add_(x_0, alpha=step.x_0)
    return y if noise is None or step.std == 0 else y.add_(noise, alpha=step.std)


def _ddim(
    schedule: NoiseSchedule, t: Tensor, s: Tensor, eta: float, posterior: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    if not 0 <= eta < math.inf:
        raise ValueError(f"eta must be >= 0 and finite, got {eta}.")
    square = torch.where(s == 0, 0.0, eta * eta * posterior)  # an eta too large is inf here
    kept = schedule.sigma[s].square() - square
    if (kept < -1e-12 * schedule.sigma[s].square()).any():
        t, s = t[s > 0], s[s > 0]
        largest = (schedule.sigma[t] / schedule.transition(t, s).variance.sqrt()).min().item()
        raise ValueError(
            f"eta={eta} asks for more noise than sigma_s holds; on this grid at most {largest:.4g}."
        )
    x_t = kept.clamp(min=0).sqrt() / schedule.sigma[t]
    return x_t, schedule.alpha[s] - x_t * schedule.alpha[t], square


def check_step(step: ReverseStep) -> None:
    """It leads back from t to s with finite coefficients: all that a hand-made step can miss."""
    if not isinstance(step, ReverseStep):
        raise TypeError(f"a step must be a ReverseStep, got {type(step).__name__}.")
    for name, value in step._asdict().items():
        kinds = (int,) if name in ("t", "s") else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise TypeError(
                f"{name} of a step must be of type {kinds[-1].__name__}, got {value!r}."
            )
    if not (0 <= step.s < step.t and step.std >= 0 and all(map(math.isfinite, step))):
        raise ValueError(f"a step needs 0 <= s < t, std >= 0 and finite coefficients, got {step}.")
