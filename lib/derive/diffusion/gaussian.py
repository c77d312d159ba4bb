"""A perfect DDPM on Gaussian data, in closed form: bound and samples (`ddpm-three-ways`)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from derive._typing import typed
from derive.diffusion._validate import check_device, check_grid
from derive.diffusion.schedules import NoiseSchedule
from derive.diffusion.steps import Variance, reverse_steps, reverse_variance


class GaussianBound(NamedTuple):
    """A variational bound and what it misses; nats, expected over the data, all directions."""

    elbo: float
    log_likelihood: float
    gap: float
    prior_gap: float


@typed
def gaussian_elbo(
    eigenvalues: Float64[Tensor, " d"],
    schedule: NoiseSchedule,
    grid: Sequence[int],
    *,
    variance: Variance = "optimal",
) -> GaussianBound:
    r"""The variational bound that a perfect DDPM reaches on data $\mathcal N(m, \Sigma)$.

    The gap to the likelihood is the divergence of the two chains, which for Gaussian data is a sum
    over steps and directions of $\frac12(r-1-\log r)$, r being the true reverse variance
    over the model's, plus the divergence of $x_T$ from the normal prior (for centred data). The
    last step is a decoder with the same kind of variance. O(S d) time.

    Args:
        eigenvalues: Spectrum of the data's covariance, all > 0.
        schedule: The noise levels.
        grid: Times from 0 to T; see `step_grid`.
        variance: "beta", "optimal" (the best isotropic one); "posterior" has no finite bound,
            since its last step is a point.

    Raises:
        TypeError: If the grid does not hold ints, or devices differ.
        ValueError: If an eigenvalue is not > 0, the grid does not run from 0 to T, or the variance
            is "posterior".

    Example:
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> ho = NoiseSchedule.ho_linear(1000)
        >>> gaussian_elbo(one, ho, [0, 500, 1000], variance="beta").gap < 1e-12
        True
    """
    if len(eigenvalues) == 0 or not (torch.isfinite(eigenvalues) & (eigenvalues > 0)).all():
        raise ValueError(
            "eigenvalues must be finite and > 0 (a flat law has no log-likelihood), got "
            f"{eigenvalues.tolist()[:5]}."
        )
    check_device("eigenvalues", eigenvalues, schedule.alpha)
    check_grid(grid)
    if variance == "posterior":
        raise ValueError(
            'variance="posterior" is 0 in the last step, and the bound minus infinity there.'
        )
    if grid[0] != 0 or grid[-1] != schedule.T:
        raise ValueError(f"the grid must run from 0 to T={schedule.T}, got {grid[0]}..{grid[-1]}.")
    t, s = torch.tensor(grid[1:]), torch.tensor(grid[:-1])
    noise = 1 / (1 / eigenvalues + schedule.snr(t)[:, None])  # Var(x_0 | x_t) by direction
    bridge = schedule.posterior(t, s)
    true = bridge.variance[:, None] + bridge.x_0.square()[:, None] * noise
    model = reverse_variance(schedule, t, s, kind=variance, mmse_per_dim=noise.mean(dim=1))
    end = schedule.alpha[-1].square() * eigenvalues + schedule.sigma[-1].square()
    prior_gap = _divergence(end - 1).sum().item()
    gap = prior_gap + _divergence(true / model[:, None] - 1).sum().item()
    entropy = ((2 * math.pi * math.e * eigenvalues).log().sum() / 2).item()
    return GaussianBound(-entropy - gap, -entropy, gap, prior_gap)


@typed
def gaussian_sampler_variance(
    eigenvalues: Float64[Tensor, " d"],
    schedule: NoiseSchedule,
    grid: Sequence[int],
    *,
    variance: Variance = "posterior",
    eta: float | int | None = None,
) -> Float64[Tensor, " d"]:
    r"""The variances of what a sampler with a perfect network makes of standard normal noise.

    On Gaussian data every step is linear, so the variance along each principal axis follows the
    recursion $v_s = (a + bw_t)^2v_t+\nu^2$, where a and b are the step's coefficients of $x_t$
    and $\hat x_0$ and $w_t$ is the denoiser's gain. Exact. O(S d) time.

    Args:
        eigenvalues: Spectrum of the data's covariance, >= 0.
        schedule: The noise levels.
        grid: Times from 0.
        variance: DDPM's noise; see `reverse_variance`.
        eta: DDIM's noise; see `reverse_steps`.

    Raises:
        TypeError: If the grid does not hold ints, or devices differ.
        ValueError: If there is no eigenvalue, one is negative, or the grid is none.

    Example:
        >>> ho, one = NoiseSchedule.ho_linear(1000), torch.ones(1, dtype=torch.float64)
        >>> v = gaussian_sampler_variance(one, ho, [0, 500, 1000], eta=0.0)
        >>> bool(v < 1)
        True
    """
    if len(eigenvalues) == 0 or not (torch.isfinite(eigenvalues) & (eigenvalues >= 0)).all():
        raise ValueError(
            f"eigenvalues must be finite, >= 0 and at least one, got {eigenvalues.tolist()[:5]}."
        )
    check_device("eigenvalues", eigenvalues, schedule.alpha)
    check_grid(grid)
    t = torch.tensor(grid[1:])
    alpha, sigma = schedule.alpha[t][:, None], schedule.sigma[t][:, None]
    gain = alpha * eigenvalues / (alpha.square() * eigenvalues + sigma.square())
    error = (eigenvalues * (1 - alpha * gain)).mean(dim=1)
    steps = reverse_steps(schedule, grid, variance=variance, eta=eta, mmse_per_dim=error)
    v = torch.ones_like(eigenvalues)
    for step, w in zip(steps, gain.flip(0), strict=True):
        v = (step.x_t + step.x_0 * w).square() * v + step.std**2
    return v


def _divergence(excess: Tensor) -> Tensor:
    """KL of two centred normals whose variances have the ratio 1 + excess, without cancelling."""
    return (excess - torch.log1p(excess)) / 2
