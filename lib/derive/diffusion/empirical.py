"""A finite data set as the law of the data: the network that memorises (`ddpm-three-ways`)."""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from derive._typing import typed
from derive._validate import check_finite, check_precision
from derive.diffusion._validate import check_call, check_count, check_weights, finite_at


class EmpiricalModel:
    r"""The exact model of N data points: what a network that fits perfectly would compute.

    $\hat x_0 = \sum_i r_ip_i$ with $r = \operatorname{softmax}_i(\log w_i -
    \|x-\alpha p_i\|^2/2\sigma^2)$. The points are visited in blocks, with running maxima and
    sums of exponentials: O(nNd) time, O(n (chunk + d)) memory beside the points, and no overflow
    as sigma goes to zero, where the softmax picks the nearest point.

    Args:
        points: The data, one a row.
        weights: Their probabilities; equal if left out. Zero excludes a point.
        chunk: Points in a block.

    Raises:
        TypeError: If shapes or dtypes disagree, or the points are in half precision.
        ValueError: If there is no point, one is not finite, or the weights are no probability.

    Every method wants sigma > 0, and raises ValueError where alpha and sigma are no noise level,
    x has other columns than the points, is not finite, or the answer is not.

    Example:
        >>> model = EmpiricalModel(torch.tensor([[-1.0], [1.0]]))
        >>> model.denoise(torch.tensor([[0.0], [0.2]]), 1.0, 1e-3)
        tensor([[0.],
                [1.]])
    """

    @typed
    def __init__(
        self,
        points: Float[Tensor, "N d"],
        weights: Float[Tensor, " N"] | None = None,
        *,
        chunk: int = 4096,
    ):
        check_precision("EmpiricalModel", points)
        if points.numel() == 0:
            raise ValueError(f"points must be not empty, got shape {tuple(points.shape)}.")
        check_finite("points", points)
        if chunk < 1:
            raise ValueError(f"chunk must be >= 1, got {chunk}.")
        if weights is not None:
            check_weights(weights)
        self.points, self.chunk = points, chunk
        self.weights = (
            points.new_full((len(points),), 1 / len(points)) if weights is None else weights
        )
        self._centre = points.mean(dim=0)
        self._centred = points - self._centre
        self._squares = self._centred.square().sum(dim=1)

    @property
    def dimension(self) -> int:
        """The number of coordinates d."""
        return self.points.shape[1]

    @typed
    def log_prob(
        self, x: Float[Tensor, "n d"], alpha: float | int, sigma: float | int
    ) -> Float[Tensor, " n"]:
        """Log density of noisy data: a kernel density estimate of width sigma."""
        peak, mass, _ = self._stream(x, alpha, sigma)
        square = (x - alpha * self._centre).square().sum(dim=1) / (2 * sigma**2)
        normaliser = self.dimension * math.log(2 * math.pi * sigma**2) / 2
        log_prob = peak + mass.log() - square - normaliser
        return finite_at("log_prob", log_prob, x, alpha, sigma)

    @typed
    def denoise(
        self, x: Float[Tensor, "n d"], alpha: float | int, sigma: float | int
    ) -> Float[Tensor, "n d"]:
        r"""$\hat x_0 = \mathbb E[x_0\mid x]$: a softmax-weighted mean of the data."""
        _, mass, total = self._stream(x, alpha, sigma)
        mean = total / mass[:, None] + self._centre
        return finite_at("denoise", mean, x, alpha, sigma)

    @typed
    def score(
        self, x: Float[Tensor, "n d"], alpha: float | int, sigma: float | int
    ) -> Float[Tensor, "n d"]:
        """The gradient of `log_prob` in x."""
        score = (alpha * self.denoise(x, alpha, sigma) - x) / sigma**2
        return finite_at("score", score, x, alpha, sigma)

    @typed
    def denoise_cov_trace(
        self, x: Float[Tensor, "n d"], alpha: float | int, sigma: float | int
    ) -> Float[Tensor, " n"]:
        """The trace of the data's covariance given x, in a second pass around the mean."""
        peak, mass, total = self._stream(x, alpha, sigma)
        mean = total / mass[:, None]
        trace = torch.zeros_like(mass)
        for points, logits in self._blocks(x, alpha, sigma):
            share = (logits - peak[:, None]).exp_()
            square = torch.cdist(mean, points, compute_mode="donot_use_mm_for_euclid_dist")
            trace += (share * square.square()).sum(dim=1)
        return finite_at("denoise_cov_trace", trace / mass, x, alpha, sigma)

    @typed
    def denoise_cov(
        self, x: Float[Tensor, "n d"], alpha: float | int, sigma: float | int
    ) -> Float[Tensor, "n d d"]:
        """The data's covariance given x. O(nd²) memory; time O(nNd²)."""
        peak, mass, total = self._stream(x, alpha, sigma)
        mean = total / mass[:, None]
        rows = []
        for i in range(len(x)):
            cov = x.new_zeros(self.dimension, self.dimension)
            for points, logits in self._blocks(x[i : i + 1], alpha, sigma):
                offset = points - mean[i]
                cov += (offset * (logits[0] - peak[i]).exp()[:, None]).mT @ offset
            rows.append(cov / mass[i])
        covs = torch.stack(rows) if rows else x.new_zeros(0, self.dimension, self.dimension)
        return finite_at("denoise_cov", covs, x, alpha, sigma)

    @typed
    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n d"]:
        """n >= 1 draws of the data, with replacement."""
        check_count("n", n)
        weights = self.weights.to(generator.device)
        picked = torch.multinomial(weights, n, replacement=True, generator=generator)
        return self.points[picked.to(self.points.device)]

    def _stream(self, x: Tensor, alpha: float, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
        """Largest logit, sum of exponentials relative to it, and that sum weighting the points.

        What comes of the three does not depend on which number is subtracted from the logits, so
        that no gradient needs to go through the largest.
        """
        peak = x.new_full((len(x),), -math.inf)
        mass, total = x.new_zeros(len(x)), torch.zeros_like(x)
        for points, logits in self._blocks(x, alpha, sigma):
            higher = torch.maximum(peak, logits.detach().amax(dim=1))
            shrink = torch.where(peak == higher, 1.0, (peak - higher).exp())  # no inf - inf
            lowest = torch.finfo(x.dtype).min  # a block of zero weights has only -inf
            share = logits.sub_(higher.clamp(min=lowest)[:, None]).exp_()
            mass = mass * shrink + share.sum(dim=1)
            total = total * shrink[:, None] + share @ points
            peak = higher
        return peak, mass, total

    def _blocks(self, x: Tensor, alpha: float, sigma: float):
        """Blocks of centred points, and their logits without the part that all points share.

        Centring keeps the two terms of the logit small, so that their difference keeps digits.
        """
        check_call(x, self.points, alpha, sigma)
        if sigma**2 == 0:
            raise ValueError(
                "a finite data set has no density at sigma = 0; use sigma > 0, with a square that "
                f"does not underflow, got {sigma}."
            )
        scaled = (x - alpha * self._centre) * (alpha / sigma**2)
        ratio = alpha / sigma
        for start in range(0, len(self.points), self.chunk):
            block = slice(start, start + self.chunk)
            prior = self.weights[block].log() - self._squares[block] * (ratio * ratio) / 2
            yield self._centred[block], torch.addmm(prior, scaled, self._centred[block].mT)
