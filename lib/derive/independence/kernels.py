"""Kernels, Gram matrices and the median heuristic (chapter `hsic`)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite, check_precision, finite_or_explained


@typed
@dataclass(frozen=True)
class Gaussian:
    r"""The Gaussian kernel $k(x, x') = e^{-\gamma\lVert x - x'\rVert^2}$, characteristic on R^d.

    Args:
        gamma: Inverse squared length, > 0. Papers write $1/\sigma^2$ or $1/(2\sigma^2)$ for it.

    Raises:
        ValueError: If gamma is not a positive finite number.

    Example:
        >>> Gaussian(1.0)(torch.zeros(1, 2), torch.zeros(1, 2))
        tensor([[1.]])
    """

    gamma: float | int

    def __post_init__(self) -> None:
        check_gamma(self.gamma)

    @typed
    def __call__(self, a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        centre = a.mean(dim=0)  # distances do not change, rounding does
        K = torch.exp(-self.gamma * _squared_distances(a - centre, b - centre))
        return finite_or_explained("the Gaussian kernel", K, a=a, b=b)


@dataclass(frozen=True)
class Linear:
    r"""The linear kernel $k(x, x') = \langle x, x'\rangle$: sees covariance and nothing else."""

    @typed
    def __call__(self, a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        return finite_or_explained("the linear kernel", a @ b.T, a=a, b=b)


@dataclass(frozen=True)
class Distance:
    r"""The kernel $k(x, x') = -\lVert x - x'\rVert$ of distance covariance.

    Conditionally positive definite: after centring its Gram matrices are positive semi-definite.
    """

    @typed
    def __call__(self, a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        check_precision("the distance kernel", a)
        # Differences first: |a|² + |b|² - 2ab would lose half the digits of a short distance.
        K = -torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
        return finite_or_explained("the distance kernel", K, a=a, b=b)


Kernel: TypeAlias = Gaussian | Linear | Distance | Callable[[Tensor, Tensor], Tensor]
"""A kernel takes the rows of two matrices to the matrix of their similarities."""


@typed
def rbf_gram(x: Float[Tensor, "n d"], gamma: float | int) -> Float[Tensor, "n n"]:
    r"""Gram matrix of the Gaussian kernel, $K_{ij} = e^{-\gamma\lVert x_i - x_j\rVert^2}$.

    O(n²d) time and O(n²) memory; exactly 1 on the diagonal, symmetric, differentiable in x.

    Args:
        x: One observation a row.
        gamma: Inverse squared length, > 0.

    Returns:
        The Gram matrix, same dtype and device as x.

    Raises:
        TypeError: If x is not a matrix of floating-point numbers.
        ValueError: If gamma is not positive, or x holds NaN, infinity, or numbers so large that
            their squares overflow.

    Example:
        >>> rbf_gram(torch.tensor([[0.0], [1.0]]), gamma=math.log(2.0))
        tensor([[1.0000, 0.5000],
                [0.5000, 1.0000]])
    """
    check_gamma(gamma)
    check_finite("x", x)
    centred = x - x.mean(dim=0)
    squared = _squared_distances(centred, centred)
    off_diagonal = 1 - torch.eye(len(x), dtype=x.dtype, device=x.device)
    return finite_or_explained("rbf_gram", torch.exp(-gamma * squared * off_diagonal), x=x)


@typed
def median_gamma(x: Float[Tensor, "n d"], *, max_points: int = 2000) -> float:
    r"""The median heuristic: $\gamma = 1 / (2 m^2)$, with m the median positive distance.

    Pairs i < j only: the n zeros on the diagonal and those of repeated points say nothing about
    scale. O(m²) time and memory, m = min(n, max_points); larger samples use every ceil(n / m)-th
    row, so that the answer needs no randomness.

    Args:
        x: One observation a row.
        max_points: The most rows to look at, at least 2.

    Returns:
        gamma for `Gaussian` and `rbf_gram`.

    Raises:
        ValueError: If x has fewer than 2 rows, holds NaN or infinity, or all its points coincide.

    Example:
        >>> median_gamma(torch.tensor([[0.0], [1.0], [2.0]]))
        0.5
    """
    if len(x) < 2:
        raise ValueError(f"median_gamma needs at least 2 observations, got n={len(x)}.")
    if max_points < 2:
        raise ValueError(f"median_gamma needs max_points >= 2, got {max_points}.")
    check_finite("x", x)
    step = math.ceil(len(x) / max_points)
    distances = torch.pdist(x.detach()[::step].double())
    distances = distances[distances > 0]
    if len(distances) == 0:
        raise ValueError(
            f"median_gamma: got {len(x)} points that all coincide, so the data have no length "
            "scale; give gamma."
        )
    return 1 / (2 * distances.median().item() ** 2)


def check_gamma(gamma: float | int) -> None:
    """Refuse a bandwidth that is not a positive finite number."""
    if not (gamma > 0 and math.isfinite(gamma)):
        raise ValueError(f"gamma must be a positive finite number, got {gamma}.")


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """All squared distances by one matrix product; callers centre first."""
    squares = (a * a).sum(dim=1)[:, None] + (b * b).sum(dim=1)[None, :]
    return (squares - 2 * a @ b.T).clamp_min(0)
