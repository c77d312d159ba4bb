"""HSIC in linear time with random Fourier features (chapter `hsic`)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from derive._typing import typed
from derive._validate import check_finite
from derive.independence.kernels import check_gamma, median_gamma


@typed
def hsic_rff(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n p"],
    *,
    n_features: int,
    generator: Generator,
    gamma_x: float | int | None = None,
    gamma_y: float | int | None = None,
    block: int = 4096,
) -> Float[Tensor, ""]:
    r"""Random-feature estimate of HSIC with Gaussian kernels, in one pass over the data.

    $\lVert \hat C_{\phi\psi}\rVert_F^2$, the squared norm of the covariance of D random cosines
    and sines of x with D others of y. Over the features, for the data as they are, its mean is
    `hsic_v` exactly (book equation `hsic-rff`), its spread O(1 / sqrt(D)). O(n D (D + d + p))
    time, O(D² + block D) memory: a million observations are one stream.

    Args:
        x: First variable, one observation a row.
        y: Second variable, same observations in the same order.
        n_features: D, features a variable; even, half cosines and half sines.
        generator: Source of randomness, on the CPU: every device sees the same features.
        gamma_x: Bandwidth parameter on x; `median_gamma(x)` if left out.
        gamma_y: The same for y.
        block: Observations at a time.

    Returns:
        The estimate, >= 0, in the dtype of x; sums are accumulated in float64.

    Raises:
        TypeError: If the lengths disagree or the entries are not floating point.
        ValueError: If n_features is odd or < 2, n < 2, a gamma is not positive, block < 1, or the
            data hold NaN or infinity.

    Source:
        Zhang, Filippi, Gretton, Sejdinovic (Stat. Comput. 28, 2018), with features of paired
        cosines and sines.

    Example:
        >>> x = torch.zeros(5, 1)
        >>> rng = torch.Generator().manual_seed(0)
        >>> hsic_rff(x, x, n_features=4, generator=rng, gamma_x=1.0, gamma_y=1.0)
        tensor(0.)
    """
    n = len(x)
    if n < 2:
        raise ValueError(f"hsic_rff needs at least 2 paired observations, got n={n}.")
    if n_features < 2 or n_features % 2:
        raise ValueError(f"n_features must be even and at least 2, got {n_features}.")
    if block < 1:
        raise ValueError(f"block must be at least 1 observation, got {block}.")
    check_finite("x", x)
    check_finite("y", y)
    gamma_x = median_gamma(x) if gamma_x is None else gamma_x
    gamma_y = median_gamma(y) if gamma_y is None else gamma_y
    check_gamma(gamma_x)
    check_gamma(gamma_y)
    frequencies_x = _frequencies(x, gamma_x, n_features // 2, generator)
    frequencies_y = _frequencies(y, gamma_y, n_features // 2, generator)

    new: dict[str, Any] = {"dtype": torch.float64, "device": x.device}
    products = torch.zeros(n_features, n_features, **new)
    sum_x, sum_y = torch.zeros(2, n_features, **new)
    origin_x, origin_y = None, None
    for rows_x, rows_y in zip(x.detach().split(block), y.detach().split(block), strict=True):
        phi = _features(rows_x, frequencies_x)
        psi = _features(rows_y, frequencies_y)
        if origin_x is None or origin_y is None:
            # Any fixed origin leaves the covariance alone; one near the mean keeps its digits.
            origin_x, origin_y = phi.mean(dim=0), psi.mean(dim=0)
        phi, psi = phi - origin_x, psi - origin_y
        products += phi.T @ psi
        sum_x += phi.sum(dim=0)
        sum_y += psi.sum(dim=0)
    covariance = products / n - torch.outer(sum_x, sum_y) / n**2
    return covariance.square().sum().to(x.dtype)


def _frequencies(x: Tensor, gamma: float, count: int, generator: Generator) -> Tensor:
    """Draws from the kernel's spectral measure N(0, 2 gamma I), by Bochner's theorem."""
    normal = torch.randn(x.shape[1], count, generator=generator, dtype=torch.float64)
    return (normal * (2 * gamma) ** 0.5).to(x)


def _features(x: Tensor, frequencies: Tensor) -> Tensor:
    """Features whose inner products estimate the kernel: cosines, then sines."""
    angles = x @ frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1) / frequencies.shape[1] ** 0.5
