"""Perfect networks: denoisers, scores and densities known in closed form (`ddpm-three-ways`)."""

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from derive._typing import typed
from derive.diffusion._validate import check_noise, check_weights


@runtime_checkable
class ExactModel(Protocol):
    r"""A data law that can take a network's place; $x = \alpha x_0 + \sigma\varepsilon$."""

    @property
    def dimension(self) -> int: ...

    def log_prob(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """Log density of the noisy x, one number a row."""

    def score(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """Its gradient."""

    def denoise(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """The mean of the data, given x: what a perfectly trained network returns."""

    def denoise_cov_trace(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """The trace of the data's covariance given x: the error that nobody can avoid."""

    def denoise_cov(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """The data's covariance given x."""

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        """n draws of the data."""


class MixtureModel:
    r"""A Gaussian mixture as data: everything a diffusion model estimates, exactly.

    $p(x_0) = \sum_k w_k\,\mathcal N(m_k, \Sigma_k)$. Noise turns component k into
    $\mathcal N(\alpha m_k, \alpha^2\Sigma_k+\sigma^2I)$; covariances are diagonalised once, so
    that no noise level needs another factorisation. A call costs O(nKd) time and memory, with
    full covariances O(nKd²) time. Densities are added up in logarithms.

    Args:
        weights: w, >= 0 with sum 1.
        means: m, one a row.
        covs: Variances: one number a component, (K, d) diagonals, or (K, d, d) matrices. They
            may be singular; the density then exists only for sigma > 0.

    Raises:
        TypeError: If shapes or dtypes disagree.
        ValueError: If the weights are no probability or a covariance is none.

    Example:
        >>> two = MixtureModel(torch.ones(2) / 2, torch.tensor([[-1.0], [1.0]]), torch.zeros(2))
        >>> two.denoise(torch.tensor([[0.0], [50.0]]), 0.5, 1.0)
        tensor([[0.],
                [1.]])
    """

    @typed
    def __init__(
        self,
        weights: Float[Tensor, " K"],
        means: Float[Tensor, "K d"],
        covs: Float[Tensor, " K"] | Float[Tensor, "K d"] | Float[Tensor, "K d d"],
    ):
        check_weights(weights)
        if not torch.isfinite(means).all() or means.shape[1] == 0:
            raise ValueError(f"means must be finite and not empty, got shape {tuple(means.shape)}.")
        self.weights, self.means = weights, means
        self.variances, self.axes = _diagonalise(covs, means)

    @property
    def dimension(self) -> int:
        """The number of coordinates d."""
        return self.means.shape[1]

    @typed
    def log_prob(
        self, x: Float[Tensor, "n d"], alpha: float | int = 1.0, sigma: float | int = 0.0
    ) -> Float[Tensor, " n"]:
        """Log density of noisy data; with alpha = 1 and sigma = 0 of the data themselves."""
        return torch.logsumexp(self._log_parts(*self._centred(x, alpha, sigma)), dim=1)

    @typed
    def score(
        self, x: Float[Tensor, "n d"], alpha: float | int = 1.0, sigma: float | int = 0.0
    ) -> Float[Tensor, "n d"]:
        """The gradient of `log_prob` in x."""
        z, spread, shares = self._explained(x, alpha, sigma)
        return -self._mean_over_parts(shares, z / spread)

    @typed
    def denoise(
        self, x: Float[Tensor, "n d"], alpha: float | int, sigma: float | int
    ) -> Float[Tensor, "n d"]:
        r"""$\hat x_0 = \mathbb E[x_0\mid x]$, the perfect network."""
        z, spread, shares = self._explained(x, alpha, sigma)
        shrunk = alpha * self.variances / spread * z
        return self._mean_over_parts(shares, shrunk) + shares @ self.means

    @typed
    def denoise_cov(
        self, x: Float[Tensor, "n d"], alpha: float | int, sigma: float | int
    ) -> Float[Tensor, "n d d"]:
        r"""$\operatorname{Cov}(x_0\mid x)$: within the components, and between their means."""
        z, spread, shares = self._explained(x, alpha, sigma)
        parts = self._turn_back(alpha * self.variances / spread * z) + self.means
        offset = parts - (shares[:, :, None] * parts).sum(dim=1, keepdim=True)
        inside = torch.diag_embed(sigma**2 * self.variances / spread)
        if self.axes is not None:
            inside = self.axes @ inside @ self.axes.mT
        return torch.einsum("nk,kij->nij", shares, inside) + torch.einsum(
            "nk,nki,nkj->nij", shares, offset, offset
        )

    @typed
    def denoise_cov_trace(
        self, x: Float[Tensor, "n d"], alpha: float | int, sigma: float | int
    ) -> Float[Tensor, " n"]:
        """The trace of `denoise_cov`, without forming it."""
        z, spread, shares = self._explained(x, alpha, sigma)
        parts = self._turn_back(alpha * self.variances / spread * z) + self.means
        offset = parts - (shares[:, :, None] * parts).sum(dim=1, keepdim=True)
        inside = (sigma**2 * self.variances / spread).sum(dim=1)
        return (shares * (inside + offset.square().sum(dim=2))).sum(dim=1)

    @typed
    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n d"]:
        """n draws of the data, made on the generator's device."""
        where = generator.device
        picked = torch.multinomial(
            self.weights.to(where), n, replacement=True, generator=generator
        ).to(self.means.device)
        z = torch.randn(
            n, self.dimension, generator=generator, dtype=self.means.dtype, device=where
        ).to(self.means.device)
        z = z * self.variances[picked].sqrt()
        if self.axes is not None:
            z = torch.einsum("nij,nj->ni", self.axes[picked], z)
        return self.means[picked] + z

    def _explained(
        self, x: Tensor, alpha: float | int, sigma: float | int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`_centred`, and each component's share in explaining x."""
        z, spread = self._centred(x, alpha, sigma)
        return z, spread, self._log_parts(z, spread).softmax(dim=1)

    def _centred(self, x: Tensor, alpha: float, sigma: float) -> tuple[Tensor, Tensor]:
        """x minus each component's mean, in that component's axes, and the variances there."""
        check_noise(alpha, sigma)
        spread = alpha**2 * self.variances + sigma**2
        if not (spread > 0).all():
            raise ValueError(
                "at sigma = 0 this law has no density: a variance is zero. Use sigma > 0."
            )
        z = x[:, None, :] - alpha * self.means
        if self.axes is not None:
            z = torch.einsum("nki,kij->nkj", z, self.axes)
        return z, spread

    def _log_parts(self, z: Tensor, spread: Tensor) -> Tensor:
        """Log of weight times density, for each point and component."""
        normaliser = (2 * math.pi * spread).log().sum(dim=1) / 2
        return self.weights.log() - normaliser - (z.square() / spread).sum(dim=2) / 2

    def _turn_back(self, z: Tensor) -> Tensor:
        return z if self.axes is None else torch.einsum("nkj,kij->nki", z, self.axes)

    def _mean_over_parts(self, shares: Tensor, z: Tensor) -> Tensor:
        return (shares[:, :, None] * self._turn_back(z)).sum(dim=1)


class GaussianModel(MixtureModel):
    """Normal data: the mixture of one component, with its spectrum at hand.

    The covariance is diagonalised once, O(d³); a call then costs O(nd²). It may be singular, as
    that of images with pixels that never change: everything but the noise-free density exists.

    Args:
        mean: Mean of the data.
        cov: Covariance, symmetric and positive semi-definite.

    Example:
        >>> model = GaussianModel(torch.zeros(1), torch.eye(1))
        >>> model.denoise(torch.tensor([[1.0]]), 0.5, 1.0)
        tensor([[0.4000]])
    """

    @typed
    def __init__(self, mean: Float[Tensor, " d"], cov: Float[Tensor, "d d"]):
        super().__init__(mean.new_ones(1), mean[None], cov[None])

    @property
    def eigenvalues(self) -> Tensor:
        """Variances along the principal axes, increasing."""
        return self.variances[0]


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
        num_draws: How many.

    Raises:
        ValueError: If a ratio is negative or not finite, or draws are needed without a generator.

    Example:
        >>> unit = GaussianModel(torch.zeros(3), torch.eye(3))
        >>> mmse(unit, torch.tensor([0.0, 1.0], dtype=torch.float64)).value
        tensor([3.0000, 1.5000], dtype=torch.float64)
    """
    if not isinstance(model, ExactModel):
        raise TypeError(f"mmse needs an ExactModel, got {type(model).__name__}.")
    if not (torch.isfinite(snr) & (snr >= 0)).all():
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
    # The rule's error falls as exp(-2 pi a / h), a the distance of the nearest pole: where one
    # component hands over to another, about pi narrow^2 / apart from the real line.
    narrow, apart = spread.min().item(), (centre.max() - centre.min()).item()
    step = narrow / (15 + 2 * apart / narrow)
    num = math.ceil((high - low) / step)
    x = torch.linspace(low, high, num, dtype=model.means.dtype)[:, None].to(model.means)
    density = model.log_prob(x, ratio, 1.0).exp()
    return torch.trapezoid(density * model.denoise_cov_trace(x, ratio, 1.0), x[:, 0]).double()


def _diagonalise(covs: Tensor, means: Tensor) -> tuple[Tensor, Tensor | None]:
    """Variances (K, d) and, for full matrices, the axes in which they hold."""
    if not torch.isfinite(covs).all():
        raise ValueError("covs must be finite.")
    if covs.ndim < 3:
        if (covs < 0).any():
            raise ValueError(f"variances must be >= 0, got {covs.min().item():g}.")
        return (covs if covs.ndim == 2 else covs[:, None]).expand_as(means), None
    tolerance = 1e-10 if covs.dtype == torch.float64 else 1e-5
    size = covs.abs().amax()
    if ((covs - covs.mT).abs() > tolerance * size).any():
        raise ValueError(f"cov must be symmetric, it is off by {(covs - covs.mT).abs().max():.2g}.")
    values, axes = torch.linalg.eigh(covs)
    if (values < -tolerance * size).any():
        raise ValueError(
            f"cov must be positive semi-definite, got an eigenvalue {values.min().item():.3g}."
        )
    return values.clamp(min=0), axes
