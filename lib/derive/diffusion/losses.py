"""What a denoiser is trained on: one squared error under many names (`ddpm-three-ways`)."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Generator, Tensor

from derive._typing import typed
from derive.diffusion.schedules import NoiseSchedule

Parameterization = Literal["eps", "x0", "v"]
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
    r"""$x_t = \alpha_t x_0 + \sigma_t\varepsilon$, each sample at its own t (`forward-compose`)."""
    alpha, sigma = schedule.at(t, x0)
    return alpha * x0 + sigma * noise


@typed
def to_x0(
    output: Float[Tensor, "n *d"],
    x: Float[Tensor, "n *d"],
    t: Int[Tensor, " n"],
    schedule: NoiseSchedule,
    *,
    parameterization: Parameterization = "eps",
) -> Float[Tensor, "n *d"]:
    r"""The estimate of the data that a network's output stands for.

    "eps": $(x - \sigma_t\hat\varepsilon)/\alpha_t$; "x0": the output itself; "v", an estimate of
    $\alpha_t\varepsilon-\sigma_tx_0$: $(\alpha_tx-\sigma_t\hat v)/(\alpha_t^2+\sigma_t^2)$.
    """
    alpha, sigma = schedule.at(t, x)
    if parameterization == "x0":
        return output
    if parameterization == "eps":
        return (x - sigma * output) / alpha
    return (alpha * x - sigma * output) / (alpha.square() + sigma.square())


@typed
def to_eps(
    output: Float[Tensor, "n *d"],
    x: Float[Tensor, "n *d"],
    t: Int[Tensor, " n"],
    schedule: NoiseSchedule,
    *,
    parameterization: Parameterization = "eps",
) -> Float[Tensor, "n *d"]:
    r"""The estimate of the noise that a network's output stands for; see `to_x0`."""
    alpha, sigma = schedule.at(t, x)
    if parameterization == "eps":
        return output
    if parameterization == "x0":
        return (x - alpha * output) / sigma
    return (sigma * x + alpha * output) / (alpha.square() + sigma.square())


@typed
def loss_weight(
    schedule: NoiseSchedule, t: Int[Tensor, "*n"], *, kind: Weight = "simple"
) -> Float64[Tensor, "*n"]:
    r"""The weight that each derivation puts on $\|\varepsilon-\hat\varepsilon\|^2$ at time t.

    "simple": 1. "way1", rebuilding $x_{t-1}$: $\sigma_{t|t-1}^4/(\alpha_{t|t-1}^2\sigma_t^2)$
    (book equation `way1-loss`). "vlb", the variational bound with $\nu^2=\sigma_{t|t-1}^2$: that
    over $2\sigma_{t|t-1}^2$. "way3", denoising $x_0$: $\sigma_t^2/\alpha_t^2$.
    """
    if kind == "simple":
        return torch.ones_like(schedule.alpha[t])
    if kind == "way3":
        return 1 / schedule.snr(t)
    ratio, variance = schedule.transition(t, t - 1)
    rebuild = (variance / (ratio * schedule.sigma[t])).square()
    return rebuild if kind == "way1" else rebuild / (2 * variance)


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

    Raises:
        TypeError: If shapes or dtypes disagree.
        ValueError: If t is outside 1..T, or there is neither noise nor generator, or the model's
            output has another shape.
    """
    _require_times(t, schedule)
    if noise is None:
        noise = _noise_like(x0, generator, "ddpm_loss")
    x = add_noise(x0, t, schedule, noise)
    output = model(x, t)
    if not isinstance(output, Tensor) or output.shape != x.shape:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"the model must return shape {tuple(x.shape)}, got {got}.")
    estimate = to_eps(output.to(x.dtype), x, t, schedule, parameterization=parameterization)
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
        ValueError: If t is outside 1..T.
    """
    _require_times(t, schedule)
    first, second = (_noise_like(x0, generator, "two_noise_loss") for _ in range(2))
    before = add_noise(x0, t - 1, schedule, first)
    ratio, variance = schedule.transition(t, t - 1)
    shape = (-1, *[1] * (x0.ndim - 1))
    ratio, variance = ratio.view(shape).to(x0), variance.view(shape).to(x0)
    x = ratio * before + variance.sqrt() * second
    _, sigma = schedule.at(t, x)
    rebuilt = (x - variance / sigma * model(x, t)) / ratio
    per_sample = (before - rebuilt).square().flatten(start_dim=1).mean(dim=1)
    return DdpmLoss(per_sample.mean(), per_sample)


def _require_times(t: Tensor, schedule: NoiseSchedule) -> None:
    if not ((t >= 1) & (t <= schedule.T)).all():
        raise ValueError(
            f"t must lie in 1..{schedule.T}, got {t.min().item()} to {t.max().item()}; "
            "t = 0 is the data, without noise."
        )


def _noise_like(x: Tensor, generator: Generator | None, name: str) -> Tensor:
    """Drawn on the generator's device, in the dtype of x."""
    if generator is None:
        raise ValueError(f"{name} needs a generator, or the noise itself.")
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=generator.device).to(x)
