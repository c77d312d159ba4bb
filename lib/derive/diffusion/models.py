"""Perfect networks: denoisers, scores and densities known in closed form (`ddpm-three-ways`)."""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from derive._typing import typed
from derive._validate import check_finite, check_precision
from derive.diffusion._validate import check_call, check_count, check_weights, finite_at


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
        TypeError: If shapes or dtypes disagree, or they are in half precision.
        ValueError: If the weights are no probability or a covariance is none.

    Every method raises ValueError where alpha and sigma are no noise level, x has other columns
    than the means, is not finite, or the answer is not.

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
        check_precision("an exact model", means)
        check_weights(weights)
        if means.shape[1] == 0:
            raise ValueError(f"means must be not empty, got shape {tuple(means.shape)}.")
        check_finite("means", means)
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
        log_prob = torch.logsumexp(self._log_parts(*self._centred(x, alpha, sigma)), dim=1)
        return finite_at("log_prob", log_prob, x, alpha, sigma)

    @typed
    def score(
        self, x: Float[Tensor, "n d"], alpha: float | int = 1.0, sigma: float | int = 0.0
    ) -> Float[Tensor, "n d"]:
        """The gradient of `log_prob` in x."""
        z, spread, shares = self._explained(x, alpha, sigma)
        score = -self._mean_over_parts(shares, z / spread)
        return finite_at("score", score, x, alpha, sigma)

    @typed
    def denoise(
        self, x: Float[Tensor, "n d"], alpha: float | int, sigma: float | int
    ) -> Float[Tensor, "n d"]:
        r"""$\hat x_0 = \mathbb E[x_0\mid x]$, the perfect network."""
        z, spread, shares = self._explained(x, alpha, sigma)
        shrunk = alpha * self.variances / spread * z
        mean = self._mean_over_parts(shares, shrunk) + shares @ self.means
        return finite_at("denoise", mean, x, alpha, sigma)

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
        within = torch.einsum("nk,kij->nij", shares, inside)
        between = torch.einsum("nk,nki,nkj->nij", shares, offset, offset)
        return finite_at("denoise_cov", within + between, x, alpha, sigma)

    @typed
    def denoise_cov_trace(
        self, x: Float[Tensor, "n d"], alpha: float | int, sigma: float | int
    ) -> Float[Tensor, " n"]:
        """The trace of `denoise_cov`, without forming it."""
        z, spread, shares = self._explained(x, alpha, sigma)
        parts = self._turn_back(alpha * self.variances / spread * z) + self.means
        offset = parts - (shares[:, :, None] * parts).sum(dim=1, keepdim=True)
        inside = (sigma**2 * self.variances / spread).sum(dim=1)
        trace = (shares * (inside + offset.square().sum(dim=2))).sum(dim=1)
        return finite_at("denoise_cov_trace", trace, x, alpha, sigma)

    @typed
    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n d"]:
        """n >= 1 draws of the data, made on the generator's device."""
        check_count("n", n)
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
        check_call(x, self.means, alpha, sigma)
        spread = alpha**2 * self.variances + sigma**2
        if not (spread > 0).all():
            raise ValueError(
                "at sigma = 0 this law has no density: a variance is zero. Use sigma > 0, got "
                f"{sigma}."
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


def _diagonalise(covs: Tensor, means: Tensor) -> tuple[Tensor, Tensor | None]:
    """Variances (K, d) and, for full matrices, the axes in which they hold."""
    check_finite("covs", covs)
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
