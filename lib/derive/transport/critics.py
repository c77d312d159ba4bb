"""WGAN critics on the line, where their Lipschitz constants are known (`wasserstein`)."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from derive._typing import typed
from derive._validate import check_finite
from derive.transport._validate import (
    ConvergenceError,
    check_points,
    weighted_samples,
)


class ExactCritic(NamedTuple):
    """A 1-Lipschitz function, linear between its knots, that attains W1."""

    knots: Tensor
    values: Tensor


class Critic(NamedTuple):
    """A trained critic: one hidden layer of ReLU units."""

    estimate: Tensor
    """E_p f - E_q f: what a WGAN reports."""
    lipschitz: Tensor
    """Its largest slope between the smallest and the largest data point, exact."""
    lower: Tensor
    """estimate / lipschitz: a lower bound on W1, whatever the training did."""
    history: Tensor
    """The estimate before each step."""
    weight: Tensor
    bias: Tensor
    out: Tensor

    @typed
    def __call__(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The critic's values at finite points of any shape, in the dtype of the data."""
        self._require(t)
        return _value(t, self.weight, self.bias, self.out)

    @typed
    def slope(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The critic's slopes there."""
        self._require(t)
        return _slope(t, self.weight, self.bias, self.out)

    def _require(self, t: Tensor) -> None:
        if t.dtype != self.weight.dtype:
            raise TypeError(f"the critic computes in {self.weight.dtype}, got t in {t.dtype}.")
        check_finite("t", t)


@typed
def critic_1d_exact(
    x: Float[Tensor, " n"],
    y: Float[Tensor, " m"],
    p: Float[Tensor, " n"] | None = None,
    q: Float[Tensor, " m"] | None = None,
) -> ExactCritic:
    r"""An optimal critic for W1 on the line.

    $E_pf - E_qf = \int f'(G - F)$ by parts, so the best slope is the sign of $G - F$: a zigzag
    of slopes 1, 0 and -1. O((n + m) log(n + m)) time.

    Args:
        x: Values of the first sample.
        y: Values of the second.
        p: Weights of x; uniform if left out.
        q: Weights of y, of the same total; uniform if left out.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If a value or a weight is invalid.

    Example:
        >>> critic_1d_exact(torch.tensor([3.0]), torch.tensor([1.0])).values
        tensor([0., 2.])
    """
    p, q = weighted_samples(x, y, p, q)
    knots, order = torch.cat([x, y]).sort()
    excess = torch.cat([-p, q])[order].cumsum(dim=0)[:-1]  # G - F between the knots
    # Where the two agree up to rounding, any slope will do: 0.
    agree = excess.abs() <= 4 * len(knots) * torch.finfo(x.dtype).eps * p.sum()
    slopes = torch.where(agree, 0.0, excess.sign())
    values = torch.cat([knots.new_zeros(1), (slopes * knots.diff()).cumsum(dim=0)])
    return ExactCritic(knots, values)


@typed
def fit_critic_1d(
    x: Float[Tensor, " n"],
    y: Float[Tensor, " m"],
    *,
    kind: Literal["one-sided", "two-sided", "clip"],
    generator: Generator,
    width: int = 64,
    steps: int = 600,
    rate: float | int = 0.01,
    penalty: float | int = 10.0,
    clip: float | int = 0.01,
) -> Critic:
    r"""Train a Wasserstein critic to tell two samples on the line apart.

    Maximises $E_pf - E_qf$ over one hidden layer of ReLU units by Adam on the full samples.
    "two-sided" subtracts `penalty` times the mean of $(|f'| - 1)^2$ at random points between
    random pairs, "one-sided" only of $(|f'| - 1)_+^2$; "clip" clamps every parameter to
    [-clip, clip] after each step. On the line a slope cannot change its sign against the
    two-sided penalty, which is largest at 0: that critic keeps the signs it began with. The net
    is piecewise linear with known kinks, so its Lipschitz constant is read off, not estimated.
    O(steps (n + m) width) time.

    Args:
        x: Values of the first sample.
        y: Values of the second.
        kind: "clip" (Arjovsky et al. 2017), "two-sided" (Gulrajani et al. 2017) or "one-sided"
            (Petzka, Fischer, Lukovnikov 2018).
        generator: Source of the initial parameters and of the points between, on the CPU.
        width: Hidden units.
        steps: Steps of Adam.
        rate: Its step size, which falls linearly to zero.
        penalty: Weight of the gradient penalty.
        clip: Where parameters are clamped.

    Returns:
        A `Critic`. Its `lower` is at most W1 (book equation `eq-wgan-lower`); its `estimate` is
        W1 up to an unknown factor, which is what is known of critics in higher dimensions.

    Raises:
        TypeError: If the entries are not floating point.
        ValueError: If a value is not finite, all are equal, or an option is not positive.
        ConvergenceError: If the training diverges.

    Example:
        >>> x, rng = torch.linspace(0, 1, 50), torch.Generator().manual_seed(0)
        >>> critic = fit_critic_1d(x + 1, x, kind="one-sided", generator=rng, steps=200)
        >>> critic.lower.item() <= 1
        True
    """
    check_points("x", x)
    check_points("y", y)
    for name, value in {"width": width, "steps": steps, "rate": rate, "clip": clip}.items():
        if not 0 < value < torch.inf:
            raise ValueError(f"fit_critic_1d needs a finite {name} > 0, got {value}.")
    if not 0 <= penalty < torch.inf:
        raise ValueError(f"fit_critic_1d needs a finite penalty >= 0, got {penalty}.")
    low, high = torch.cat([x, y]).min(), torch.cat([x, y]).max()
    if low == high:
        raise ValueError(f"all values are {low.item():.6g}: there is nothing to tell apart.")
    parameters = _initial(width, low, high, generator)
    if kind == "clip":
        parameters = [w.clamp(-clip, clip) for w in parameters]
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in parameters]
    history = x.new_empty(steps)
    for step in range(steps):
        parameters = [w.detach().requires_grad_() for w in parameters]
        gain = _value(x, *parameters).mean() - _value(y, *parameters).mean()
        history[step] = gain.detach()
        loss = -gain
        if kind != "clip":
            excess = _slope(_between(x, y, generator), *parameters).abs() - 1
            excess = excess.clamp(min=0) if kind == "one-sided" else excess
            loss = loss + penalty * excess.square().mean()
        slopes = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            parameters = [
                _adam(w, slope, *memory, step, rate * (1 - step / steps))
                for w, slope, memory in zip(parameters, slopes, moments, strict=True)
            ]
            if kind == "clip":
                parameters = [w.clamp(-clip, clip) for w in parameters]
    with torch.no_grad():
        estimate = _value(x, *parameters).mean() - _value(y, *parameters).mean()
        lipschitz = _largest_slope(low, high, *parameters)
    if not (torch.isfinite(estimate) and torch.isfinite(lipschitz)):
        raise ConvergenceError(
            f"fit_critic_1d diverged: its estimate is {estimate.item()} after {steps} steps with "
            f"rate={rate:.3g} and penalty={penalty:.3g}, for values from {low.item():.3g} to "
            f"{high.item():.3g}; lower rate or penalty, or rescale the values."
        )
    tiny = torch.finfo(x.dtype).tiny
    return Critic(estimate, lipschitz, estimate / lipschitz.clamp(min=tiny), history, *parameters)


def _value(t: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    return torch.relu(t[..., None] * weight + bias) @ out


def _slope(t: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    return (t[..., None] * weight + bias > 0).to(t) @ (weight * out)


def _initial(width: int, low: Tensor, high: Tensor, generator: Generator) -> list[Tensor]:
    """Units of slope 1 or -1 whose kinks lie spread over the data, and small outputs."""
    draws = torch.rand(3, width, generator=generator, dtype=torch.float64).to(low)
    weight = torch.where(draws[0] < 0.5, -1.0, 1.0).to(low)
    kinks = low + (high - low) * draws[1]
    return [weight, -weight * kinks, (2 * draws[2] - 1) / width]


def _between(x: Tensor, y: Tensor, generator: Generator) -> Tensor:
    """Random points between the members of random pairs."""
    num = max(len(x), len(y))
    draws = torch.rand(3, num, generator=generator, dtype=torch.float64).to(x)
    ends = [
        z[(draw * len(z)).long().clamp(max=len(z) - 1)]
        for z, draw in zip((x, y), draws[:2], strict=True)
    ]
    return ends[0] + draws[2] * (ends[1] - ends[0])


def _adam(w: Tensor, slope: Tensor, mean: Tensor, square: Tensor, step: int, rate: float) -> Tensor:
    # Our own Adam, a few lines: torch.optim costs a second to import.
    mean.lerp_(slope, 0.1)
    square.lerp_(slope.square(), 0.01)
    mean, square = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.99 ** (step + 1))
    return w - rate * mean / (square.sqrt() + 1e-8)


def _largest_slope(low: Tensor, high: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    kinks = -bias / torch.where(weight == 0, torch.inf, weight)
    ends = torch.cat([low[None], kinks[(kinks > low) & (kinks < high)], high[None]]).sort().values
    return _slope((ends[1:] + ends[:-1]) / 2, weight, bias, out).abs().max()
