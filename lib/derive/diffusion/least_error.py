"""The error of denoising that no network can avoid (`ddpm-three-ways`)."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Generator, Tensor

from derive._typing import typed
from derive.diffusion._validate import check_count
from derive.diffusion.models import ExactModel, GaussianModel, MixtureModel


class Mmse(NamedTuple):
    """Least mean squared errors, one a signal-to-noise ratio, and how uncertain they are."""

    value: Float64[Tensor, " g"]
    standard_error: Float64[Tensor, " g"]


@typed
def mmse(
    model: Any,
    snr: Float64[Tensor, " g"],
    *,
    generator: Generator | None = None,
    num_draws: int = 4096,
) -> Mmse:
    r"""The least error of denoising, $\mathbb E\|x_0-\mathbb E[x_0\mid x]\|^2$, at each SNR.

    It depends on $\alpha$ and $\sigma$ through $\alpha^2/\sigma^2$ alone; times the SNR it is the
    floor of the training loss (book equation `loss-floor`). Closed form for `GaussianModel`;
    trapezoidal rule for other mixtures with d = 1 (exact to rounding: the integrand is smooth);
    otherwise Monte Carlo over `num_draws` pairs, the same draws at each ratio.

    Args:
        model: An `ExactModel`.
        snr: Ratios >= 0, at any scale.
        generator: Source of the draws, where they are needed.
        num_draws: How many; at least two, or there is no standard error.

    Raises:
        TypeError: If the model is no `ExactModel`.
        ValueError: If there is no ratio, one is negative or not finite, or draws are needed and
            there is no generator, or there are too few of them.

    Example:
        >>> unit = GaussianModel(torch.zeros(3), torch.eye(3))
        >>> mmse(unit, torch.tensor([0.0, 1.0], dtype=torch.float64)).value
        tensor([3.0000, 1.5000], dtype=torch.float64)
    """
    if not isinstance(model, ExactModel):
        raise TypeError(f"mmse needs an ExactModel, got {type(model).__name__}.")
    check_count("num_draws", num_draws, least=2)
    if len(snr) == 0 or not (torch.isfinite(snr) & (snr >= 0)).all():
        raise ValueError(f"snr must be finite and >= 0, got {snr.tolist()[:5]}.")
    if isinstance(model, GaussianModel):
        spectrum = model.eigenvalues.double()
        value = (spectrum / (1 + snr[:, None] * spectrum)).sum(dim=1)
        return Mmse(value, torch.zeros_like(value))
    if isinstance(model, MixtureModel) and model.dimension == 1 and (model.variances > 0).all():
        value = torch.stack([_by_quadrature(model, ratio) for ratio in snr.sqrt().tolist()])
        return Mmse(value.to(snr), torch.zeros_like(snr))
    if generator is None:
        raise ValueError("mmse of this model is a Monte-Carlo estimate and needs a generator.")
    x_0 = model.sample(num_draws, generator=generator)
    noise = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype, device=generator.device)
    noise = noise.to(x_0.device)
    errors = torch.stack(
        [model.denoise_cov_trace(r * x_0 + noise, r, 1.0).double() for r in snr.sqrt().tolist()]
    ).to(snr.device)
    return Mmse(errors.mean(dim=1), errors.std(dim=1) / num_draws**0.5)


def _by_quadrature(model: MixtureModel, ratio: float) -> Tensor:
    """E Var(x_0 | x) for x = ratio x_0 + noise, by the trapezoidal rule."""
    centre, spread = ratio * model.means[:, 0], (ratio**2 * model.variances[:, 0] + 1).sqrt()
    low, high = (centre - 12 * spread).min().item(), (centre + 12 * spread).max().item()
    # The rule's error falls as exp(-2 pi a / step), a the distance of the nearest pole: where one
    # component hands over to another, pi narrow^2 / apart from the real line. There the density
    # is down to exp(-apart^2 / 8 narrow^2): the worst case is apart = 12 narrow, and 24 points in
    # each narrow leave rounding.
    num = math.ceil((high - low) / spread.min().item() * 24)
    x = torch.linspace(low, high, num, dtype=model.means.dtype)[:, None].to(model.means)
    density = model.log_prob(x, ratio, 1.0).exp()
    return torch.trapezoid(density * model.denoise_cov_trace(x, ratio, 1.0), x[:, 0]).double()
