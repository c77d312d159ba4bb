"""How much signal and how much noise there is at each step (chapter `ddpm-three-ways`)."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite

Step = int | Int[Tensor, "..."]


class Transition(NamedTuple):
    """The forward kernel from s to t: x_t given x_s is N(ratio * x_s, variance I)."""

    ratio: Float64[Tensor, "..."]
    variance: Float64[Tensor, "..."]


class Posterior(NamedTuple):
    """The bridge: x_s given x_t and x_0 is N(x_t * (that) + x_0 * (that), variance I)."""

    x_t: Float64[Tensor, "..."]
    x_0: Float64[Tensor, "..."]
    variance: Float64[Tensor, "..."]


@typed
@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    r"""The marginals $x_t = \alpha_t x_0 + \sigma_t\varepsilon$ of a noising process, t = 0, …, T.

    Everything about the chain of noises is derived from these two lists: what is called beta
    elsewhere is `transition(t, t - 1).variance`. Index 0 is the data, so that `alpha[t]` is
    $\alpha_t$ as the book writes it; libraries that start at the first noise are off by one.

    Args:
        alpha: Factors of the signal, $\alpha_0 = 1$, not increasing, >= 0.
        sigma: Standard deviations of the noise, $\sigma_0 = 0$; the ratio alpha / sigma falls.

    Raises:
        TypeError: If the two are not float64 of one length, on one device.
        ValueError: If they are no schedule: not finite, too short, or the noise does not grow.

    Example:
        >>> s = NoiseSchedule.from_betas(torch.tensor([0.36, 0.75], dtype=torch.float64))
        >>> [round(a, 3) for a in s.alpha.tolist()], [round(a, 3) for a in s.sigma.tolist()]
        ([1.0, 0.8, 0.4], [0.0, 0.6, 0.917])
    """

    alpha: Float64[Tensor, " levels"]
    sigma: Float64[Tensor, " levels"]

    def __post_init__(self) -> None:
        alpha, sigma = self.alpha, self.sigma
        if alpha.is_meta or sigma.is_meta or alpha.device != sigma.device:
            raise TypeError(
                "a schedule needs alpha and sigma on one device that holds numbers, got "
                f"{alpha.device} and {sigma.device}."
            )
        if len(alpha) < 2 or len(alpha) != len(sigma):
            raise ValueError(
                "a schedule needs alpha and sigma at t = 0 and at least one noise level, got "
                f"{len(alpha)} and {len(sigma)} values."
            )
        check_finite("alpha", alpha)
        check_finite("sigma", sigma)
        if alpha[0] != 1 or sigma[0] != 0:
            raise ValueError(
                f"a schedule starts at the data, alpha = 1 and sigma = 0, got {alpha[0].item():g} "
                f"and {sigma[0].item():g}."
            )
        self._require_at_every_step(
            (alpha.diff() <= 0) & (alpha[1:] >= 0) & (sigma[1:] > 0),
            "alpha must stay >= 0 and never grow, and sigma be > 0 after t = 0",
        )
        # Compared as products: the ratio of the two is infinite at t = 0.
        self._require_at_every_step(
            sigma[:-1] * alpha[1:] < sigma[1:] * alpha[:-1],
            "the ratio alpha / sigma must fall at every step",
        )

    def _require_at_every_step(self, holds: Tensor, law: str) -> None:
        if not holds.all():
            t = 1 + int((~holds).nonzero()[0])
            alpha, sigma = (
                f"{x[t - 1].item():g}, {x[t].item():g}" for x in (self.alpha, self.sigma)
            )
            raise ValueError(f"{law}, got alpha = {alpha} and sigma = {sigma} at t = {t - 1}, {t}.")

    @staticmethod
    @typed
    def from_betas(betas: Float[Tensor, " T"]) -> "NoiseSchedule":
        r"""The variance-preserving schedule, $\alpha_t^2 + \sigma_t^2 = 1$, of Ho et al.'s betas.

        $\sigma_t^2 = -\operatorname{expm1}\sum_{u\le t}\log(1-\beta_u)$ keeps all digits where
        $1 - \prod(1-\beta_u)$ loses half of them (in float32, three of seven are left at t = 1).

        Raises:
            ValueError: If a beta is outside (0, 1), or there is none.
        """
        if len(betas) == 0 or not ((betas > 0) & (betas < 1)).all():
            raise ValueError(f"betas must lie in (0, 1), got {_range(betas)}.")
        logs = torch.log1p(-betas.double()).cumsum(dim=0)
        start = logs.new_zeros(1)
        return NoiseSchedule(
            torch.cat([start + 1, (logs / 2).exp()]), torch.cat([start, (-logs.expm1()).sqrt()])
        )

    @staticmethod
    @typed
    def ho_linear(
        T: int = 1000, *, beta_start: float | int = 1e-4, beta_end: float | int = 0.02
    ) -> "NoiseSchedule":
        """Ho et al. (2020): betas in T equal steps from `beta_start` to `beta_end`."""
        _require_length(T)
        return NoiseSchedule.from_betas(
            torch.linspace(beta_start, beta_end, T, dtype=torch.float64)
        )

    @staticmethod
    @typed
    def su_linear(T: int = 1000) -> "NoiseSchedule":
        r"""Su (2022): $\alpha_{t|t-1}^2 = 1 - 0.02\,t/T$."""
        _require_length(T)
        return NoiseSchedule.from_betas(0.02 * torch.arange(1, T + 1, dtype=torch.float64) / T)

    @staticmethod
    @typed
    def cosine(
        T: int = 1000, *, s: float | int = 0.008, largest: float | int = 0.999
    ) -> "NoiseSchedule":
        """Nichol and Dhariwal (2021): alpha falls as a cosine; betas are cut at `largest`."""
        _require_length(T)
        if not s >= 0:
            raise ValueError(f"cosine needs an offset s >= 0, got {s}.")
        t = torch.linspace(0, 1, T + 1, dtype=torch.float64)
        curve = torch.cos((t + s) / (1 + s) * math.pi / 2).square()
        return NoiseSchedule.from_betas((1 - curve[1:] / curve[:-1]).clamp(max=largest))

    @property
    def T(self) -> int:
        """The number of noise levels; t runs from 0 to T."""
        return len(self.alpha) - 1

    @typed
    def to(self, device: torch.device | str) -> "NoiseSchedule":
        """The same schedule on another device.

        Raises:
            ValueError: If torch knows no such device.
        """
        try:
            alpha, sigma = self.alpha.to(device), self.sigma.to(device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"a schedule cannot be moved to {device!r}: {error}") from error
        return NoiseSchedule(alpha, sigma)

    @typed
    def snr(self, t: Step) -> Float64[Tensor, "..."]:
        r"""Signal-to-noise ratio $\alpha_t^2/\sigma_t^2$; infinite at t = 0."""
        t = self._time("t", t, 0)
        return (self.alpha[t] / self.sigma[t]).square()

    @typed
    def log_snr(self, t: Step) -> Float64[Tensor, "..."]:
        r"""Its logarithm, $2\log(\alpha_t/\sigma_t)$; infinite at t = 0."""
        t = self._time("t", t, 0)
        return 2 * (self.alpha[t].log() - self.sigma[t].log())

    @typed
    def transition(self, t: Step, s: Step) -> Transition:
        r"""The forward kernel from s to t: $\alpha_{t|s}$ and $\sigma_{t|s}^2$ (`merge-noise`).

        Raises:
            ValueError: Unless 0 <= s < t <= T.
        """
        return self._kernel(*self._pair(t, s))

    def _kernel(self, t: Tensor, s: Tensor) -> Transition:
        ratio = self.alpha[t] / self.alpha[s]
        # (sigma_t - ratio sigma_s)(sigma_t + ratio sigma_s) cancels once where the difference of
        # squares cancels twice.
        left, right = self.sigma[t], ratio * self.sigma[s]
        return Transition(ratio, (left - right) * (left + right))

    @typed
    def posterior(self, t: Step, s: Step) -> Posterior:
        r"""The bridge $p(x_s\mid x_t,x_0)$ (book equation `posterior`).

        Raises:
            ValueError: Unless 0 <= s < t <= T.
        """
        t, s = self._pair(t, s)
        ratio, variance = self._kernel(t, s)
        total = self.sigma[t].square()
        return Posterior(
            ratio * self.sigma[s].square() / total,
            self.alpha[s] * variance / total,
            self.sigma[s].square() * variance / total,
        )

    @typed
    def at(
        self, t: Int[Tensor, " n"], like: Float[Tensor, "n *d"]
    ) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "n ..."]]:
        """alpha and sigma of each sample of a batch, shaped to multiply `like`.

        Of `like` only shape, dtype and device count, whatever numbers it holds.

        Raises:
            ValueError: If a time is outside 0..T.
        """
        return levels_at(self, t, like)

    def _pair(self, t: Step, s: Step) -> tuple[Tensor, Tensor]:
        t, s = self._time("t", t, 1), self._time("s", s, 0)
        try:
            late = s >= t
        except RuntimeError:
            raise ValueError(
                f"t and s must fit each other, got shapes {tuple(t.shape)} and {tuple(s.shape)}."
            ) from None
        if late.any():
            raise ValueError(
                "needs s < t, since the forward process runs from s to t, got t: "
                f"{_range(t)}, s: {_range(s)}, and s >= t in {int(late.sum())} places."
            )
        return t, s

    def _time(self, name: str, t: Step, least: int) -> Tensor:
        index = torch.as_tensor(t, device=self.alpha.device)
        if not ((index >= least) & (index <= self.T)).all():
            raise ValueError(f"{name} must lie in {least}..{self.T}, got {_range(index)}.")
        return index


def levels_at(schedule: NoiseSchedule, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """`NoiseSchedule.at` for functions that have checked the types already."""
    t = schedule._time("t", t, 0)
    shape = (-1, *[1] * (like.ndim - 1))
    return schedule.alpha[t].view(shape).to(like), schedule.sigma[t].view(shape).to(like)


@typed
def step_grid(
    T: int, num_steps: int, *, kind: Literal["trailing", "leading"] = "trailing"
) -> list[int]:
    """The times that a sampler with few steps visits, increasing, from 0.

    Args:
        T: Length of the schedule.
        num_steps: How many reverse steps; the list has one entry more.
        kind: "trailing": multiples of T / num_steps, rounded; ends in T, where the sampler
            starts from pure noise. "leading": 0, 1, 1 + T // num_steps, …, as in the DDIM paper;
            it stops short of T, so that the first input is noisier than the model was told.

    Raises:
        ValueError: Unless 1 <= num_steps <= T.

    Example:
        >>> step_grid(1000, 4), step_grid(1000, 4, kind="leading")
        ([0, 250, 500, 750, 1000], [0, 1, 251, 501, 751])
    """
    if not 1 <= num_steps <= T:
        raise ValueError(f"step_grid needs 1 <= num_steps <= T={T}, got {num_steps}.")
    if kind == "leading":
        return [0, *range(1, 1 + num_steps * (T // num_steps), T // num_steps)]
    return [(2 * k * T + num_steps) // (2 * num_steps) for k in range(num_steps + 1)]


def _require_length(T: int) -> None:
    if T < 1:
        raise ValueError(f"a schedule needs T >= 1 noise levels, got {T}.")


def _range(values: Tensor) -> str:
    if values.numel() == 0:
        return "nothing"
    return f"values from {values.min().item():g} to {values.max().item():g}"
