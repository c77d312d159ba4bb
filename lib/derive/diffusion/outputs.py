"""What a network's output stands for: the noise, the data, or v (`ddpm-three-ways`)."""

from collections.abc import Callable
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor

from derive._typing import typed
from derive._validate import finite_or_explained
from derive.diffusion._validate import check_times
from derive.diffusion.schedules import NoiseSchedule, levels_at

Parameterization = Literal["eps", "x0", "v"]


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

    Raises:
        ValueError: If a time is outside 0..T, or the output, x or the estimate is not finite; for
            "eps" also where $\alpha_t = 0$, for the noise is all that x holds there.
    """
    x_0 = clean_from(output, x, t, schedule, parameterization)
    if parameterization == "eps" and (schedule.alpha[t] == 0).any():
        raise ValueError(
            f"an estimate of the noise says nothing about the data where alpha = 0, got t up to "
            f"{t.max().item()}."
        )
    return finite_or_explained("to_x0", x_0, output=output, x=x)


@typed
def to_eps(
    output: Float[Tensor, "n *d"],
    x: Float[Tensor, "n *d"],
    t: Int[Tensor, " n"],
    schedule: NoiseSchedule,
    *,
    parameterization: Parameterization = "eps",
) -> Float[Tensor, "n *d"]:
    r"""The estimate of the noise that a network's output stands for; see `to_x0`.

    Raises:
        ValueError: If a time is outside 0..T, or the output, x or the estimate is not finite; for
            "x0" also at t = 0, where x holds no noise.
    """
    if parameterization == "x0":
        check_times(t, schedule.T)
    eps = noise_from(output, x, t, schedule, parameterization)
    return finite_or_explained("to_eps", eps, output=output, x=x)


def clean_from(
    output: Tensor,
    x: Tensor,
    t: Tensor,
    schedule: NoiseSchedule,
    parameterization: Parameterization,
) -> Tensor:
    """`to_x0` for the inner loop of a sampler: what is not finite passes through."""
    alpha, sigma = levels_at(schedule, t, x)
    if parameterization == "x0":
        return output
    if parameterization == "eps":
        return (x - sigma * output) / alpha
    return (alpha * x - sigma * output) / (alpha.square() + sigma.square())


def noise_from(
    output: Tensor,
    x: Tensor,
    t: Tensor,
    schedule: NoiseSchedule,
    parameterization: Parameterization,
) -> Tensor:
    """`to_eps` for a loss: what is not finite passes through."""
    alpha, sigma = levels_at(schedule, t, x)
    if parameterization == "eps":
        return output
    if parameterization == "x0":
        return (x - alpha * output) / sigma
    return (sigma * x + alpha * output) / (alpha.square() + sigma.square())


def output_of(model: Callable[..., Any], x: Tensor, t: Tensor | int) -> Tensor:
    """What a network or denoiser answers, in the dtype of x; its shape must be that of x."""
    output = model(x, t)
    if not isinstance(output, Tensor) or output.shape != x.shape:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"the model must return shape {tuple(x.shape)}, got {got}.")
    return output.to(x.dtype)
