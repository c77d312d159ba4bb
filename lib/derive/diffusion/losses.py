"""What a denoiser is trained on: one squared error under many names (`ddpm-three-ways`)."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Generator, Tensor

from derive._typing import typed
from derive._validate import check_finite, finite_or_explained
from derive.diffusion._validate import check_times
from derive.diffusion.outputs import Parameterization, noise_from, output_of
from derive.diffusion.schedules import NoiseSchedule, levels_at

Weight = Literal["simple", "vlb", "way1", "way3"]


class DdpmLoss(NamedTuple):
    """A batch's loss, for the optimiser, and each sample's, for weighting and for plots."""

    loss: Float[Tensor, ""]
    per_sample: Float[Tensor, " n"]


@typed
def sample_times(
    n: int, schedule: NoiseSchedule, *, generator: Generator, stratified: bool = False
) -> Int64[Tensor, " n"]:
    """Noise levels for a batch, uniform on 1..T.

    Args:
        n: Size of the batch.
        schedule: The noise levels.
        generator: Source of the draws; the result is on the schedule's device.
        stratified: One level from each n-th of the range, in random order: still uniform one by
            one, and the batch's mean loss varies less.

    Raises:
        ValueError: If n < 1.
    """
    if n < 1:
        raise ValueError(f"sample_times needs n >= 1, got {n}.")
    where, T = generator.device, schedule.T
    if not stratified:
        t = torch.randint(1, T + 1, (n,), generator=generator, device=where)
    else:
        u = torch.rand(n, generator=generator, dtype=torch.float64, device=where)
        u = (torch.randperm(n, generator=generator, device=where) + u) / n
        t = (u * T).long().clamp(max=T - 1) + 1
    return t.to(schedule.alpha.device)


@typed
def add_noise(
    x0: Float[Tensor, "n *d"],
    t: Int[Tensor, " n"],
    schedule: NoiseSchedule,
    noise: Float[Tensor, "n *d"],
) -> Float[Tensor, "n *d"]:
    r"""$x_t = \alpha_t x_0 + \sigma_t\varepsilon$, each sample at its own t (`forward-compose`).

    Raises:
        ValueError: If a time is outside 0..T, or an argument or the sum is not finite.
    """
    return finite_or_explained("add_noise", _noised(x0, t, schedule, noise), x0=x0, noise=noise)


@typed
def loss_weight(
    schedule: NoiseSchedule, t: Int[Tensor, "*n"], *, kind: Weight = "simple"
) -> Float64[Tensor, "*n"]:
    r"""The weight that each derivation puts on $\|\varepsilon-\hat\varepsilon\|^2$ at time t.

    "simple": 1. "way1", rebuilding $x_{t-1}$: $\sigma_{t|t-1}^4/(\alpha_{t|t-1}^2\sigma_t^2)$
    (book equation `way1-loss`). "vlb", the variational bound with $\nu^2=\sigma_{t|t-1}^2$: that
    over $2\sigma_{t|t-1}^2$. "way3", denoising $x_0$: $\sigma_t^2/\alpha_t^2$.

    Raises:
        ValueError: If t is outside 1..T, or the signal is gone there and the weight infinite.
    """
    check_times(t, schedule.T)
    if kind == "simple":
        return torch.ones_like(schedule.alpha[t])
    if kind == "way3":
        weight = 1 / schedule.snr(t)
    else:
        ratio, variance = schedule.transition(t, t - 1)
        weight = (variance / (ratio * schedule.sigma[t])).square()
        if kind == "vlb":
            weight = weight / (2 * variance)
    gone = ~torch.isfinite(weight)
    if gone.any():
        raise ValueError(
            f"the weight {kind!r} is infinite where no signal is left, got t={t[gone][0].item()}."
        )
    return weight


@typed
def ddpm_loss(
    model: Callable[..., Any],
    x0: Float[Tensor, "n *d"],
    schedule: NoiseSchedule,
    t: Int64[Tensor, " n"],
    *,
    weight: Weight = "simple",
    parameterization: Parameterization = "eps",
    generator: Generator | None = None,
    noise: Float[Tensor, "n *d"] | None = None,
) -> DdpmLoss:
    r"""The denoising loss of a batch: the mean squared error of the noise, weighted.

    Whatever the network returns, its error is measured as an error of the noise, so that
    `weight` means the same for every parameterization (book equation `way1-loss`): an x0-model
    with the plain error of the image is `parameterization="x0", weight="way3"`.

    Args:
        model: `model(x_t, t)`, with t of shape (n,), 1 <= t <= T; returns what
            `parameterization` says, in the shape of x_t.
        x0: Data.
        schedule: The noise levels, on the device of x0.
        t: One noise level a sample; see `sample_times`.
        weight: Which derivation's weight; see `loss_weight`.
        parameterization: What the network estimates: the noise, the data, or v.
        generator: Source of the noise; not needed if `noise` is given.
        noise: The noise, e.g. to compare networks on the same draws.

    Returns:
        The mean over the batch, and one number a sample: weight times the mean over its entries.
        A model that answers NaN gets the loss NaN, by which `derive.training` sees that it
        diverged.

    Raises:
        TypeError: If shapes or dtypes disagree.
        ValueError: If t is outside 1..T, or there is neither noise nor generator, or x0 or the
            noise is empty, not finite or too large to be squared, or the model's output has
            another shape.
    """
    _require_batch(x0, t, schedule)
    if noise is None:
        noise = noise_like(x0, generator, "ddpm_loss")
    x = _noised(x0, t, schedule, noise)
    _require_squares("ddpm_loss", x, x0=x0, noise=noise)
    output = output_of(model, x, t)
    estimate = noise_from(output, x, t, schedule, parameterization)
    error = (noise - estimate).square().flatten(start_dim=1).mean(dim=1)
    per_sample = (
        error if weight == "simple" else error * loss_weight(schedule, t, kind=weight).to(error)
    )
    return DdpmLoss(per_sample.mean(), per_sample)


@typed
def two_noise_loss(
    model: Callable[..., Any],
    x0: Float[Tensor, "n *d"],
    schedule: NoiseSchedule,
    t: Int64[Tensor, " n"],
    *,
    generator: Generator,
) -> DdpmLoss:
    r"""The loss of way 1 before its two noises are merged: $\|x_{t-1}-\mu(x_t)\|^2$ as it stands.

    $x_{t-1}$ is made with one noise and $x_t$ from it with another. The gradient has the same
    mean as that of `ddpm_loss(..., weight="way1")` and a far larger variance (book equation
    `merge-gain`). At t = 1 there is one noise only, and the two losses are equal.

    Args:
        model: `model(x_t, t)`, estimates the noise in $x_t$.
        x0: Data.
        schedule: The noise levels.
        t: One noise level a sample.
        generator: Source of both noises.

    Raises:
        ValueError: If t is outside 1..T, x0 is empty, not finite or too large to be squared, or
            the model's output has another shape.
    """
    _require_batch(x0, t, schedule)
    first, second = (noise_like(x0, generator, "two_noise_loss") for _ in range(2))
    before = _noised(x0, t - 1, schedule, first)
    ratio, variance = schedule.transition(t, t - 1)
    shape = (-1, *[1] * (x0.ndim - 1))
    if (ratio == 0).any():
        raise ValueError("no signal of x_{t-1} is left in x_t at t = T: it cannot be rebuilt.")
    ratio, variance = ratio.view(shape).to(x0), variance.view(shape).to(x0)
    x = ratio * before + variance.sqrt() * second
    _require_squares("two_noise_loss", x, x0=x0)
    _, sigma = levels_at(schedule, t, x)
    rebuilt = (x - variance / sigma * output_of(model, x, t)) / ratio
    per_sample = (before - rebuilt).square().flatten(start_dim=1).mean(dim=1)
    return DdpmLoss(per_sample.mean(), per_sample)


def _noised(x0: Tensor, t: Tensor, schedule: NoiseSchedule, noise: Tensor) -> Tensor:
    alpha, sigma = levels_at(schedule, t, x0)
    return alpha * x0 + sigma * noise


def _require_batch(x0: Tensor, t: Tensor, schedule: NoiseSchedule) -> None:
    if x0.numel() == 0:
        raise ValueError(f"a loss needs data, got x0 of shape {tuple(x0.shape)}.")
    check_times(t, schedule.T)


def _require_squares(function: str, x: Tensor, **parts: Tensor) -> None:
    """The sum of squares of x exists: one pass without memory, before the network is called."""
    size = torch.linalg.vector_norm(x.detach(), dtype=torch.promote_types(x.dtype, torch.float32))
    if not torch.isfinite(size):
        for name, part in parts.items():
            check_finite(name, part)
        sizes = ", ".join(f"{name} up to {part.abs().max():.3g}" for name, part in parts.items())
        raise ValueError(f"{function} squares numbers that overflow {x.dtype}: got {sizes}.")


def noise_like(x: Tensor, generator: Generator | None, name: str) -> Tensor:
    """Drawn on the generator's device, in the dtype of x."""
    if generator is None:
        raise ValueError(f"{name} needs a generator, or the noise itself.")
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=generator.device).to(x)
