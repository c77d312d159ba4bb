"""HSIC of two samples: V- and U-statistics, streamed, and the exact Gaussian value."""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite, finite_or_explained
from derive.independence._evaluate import evaluators
from derive.independence.kernels import Distance, Kernel, check_gamma

Estimator = Literal["u", "v"]


@typed
def hsic_v(K: Float[Tensor, "n n"], L: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    r"""Biased (V-statistic) estimate of the Hilbert-Schmidt independence criterion.

    Computes $\operatorname{tr}(KHLH) / n^2$ with $H = I - 11^\top / n$ (book equation `hsic-v`)
    from row sums, in O(n²) time and O(n) extra memory; $H$ is never formed.

    Args:
        K: Gram matrix of the first variable, symmetric.
        L: Gram matrix of the second variable, same observations in the same order.

    Returns:
        The estimate, in units of K times units of L; >= 0 for positive semi-definite kernels.
        Under independence its mean is positive and O(1/n), not zero. Differentiable.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If n < 2, where centring leaves nothing to estimate, or an entry is not finite.

    Source:
        Gretton, Bousquet, Smola, Schölkopf (ALT 2005), who divide by (n-1)² instead.

    Example:
        >>> import torch
        >>> hsic_v(torch.eye(4), torch.eye(4))
        tensor(0.1875)
    """
    n = len(K)
    if n < 2:
        raise ValueError(f"hsic_v needs at least 2 paired observations, got n={n}.")
    # Constants drop out when a Gram matrix is centred; taking the mean off first saves digits.
    K, L = K - K.mean(), L - L.mean()
    k, ell = K.sum(dim=1), L.sum(dim=1)
    value = _from_sums_v(torch.dot(K.reshape(-1), L.reshape(-1)), k, ell)
    return finite_or_explained("hsic_v", value, K=K, L=L)


@typed
def hsic_u(K: Float[Tensor, "n n"], L: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    r"""Unbiased (U-statistic) estimate of the Hilbert-Schmidt independence criterion.

    The formula of Song et al. (book equation `hsic-u`), from row sums of the Gram matrices with
    their diagonals set to zero, in O(n²) time and O(n) extra memory.

    Args:
        K: Gram matrix of the first variable, symmetric.
        L: Gram matrix of the second variable, same observations in the same order.

    Returns:
        The estimate; its mean is the population value, so under independence it is as often
        negative as the skewness of its law allows. Differentiable.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If n < 4 (four different observations go into each term), or an entry is not
            finite.

    Source:
        Song, Smola, Gretton, Bedo, Borgwardt (JMLR 13, 2012), equation 5.

    Example:
        >>> import torch
        >>> K = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2))
        >>> hsic_u(K, K)
        tensor(0.6667)
    """
    n = len(K)
    if n < 4:
        raise ValueError(f"hsic_u needs at least 4 paired observations, got n={n}.")
    K, L = K - K.mean(), L - L.mean()
    K, L = K - torch.diag(K.diagonal()), L - torch.diag(L.diagonal())
    k, ell = K.sum(dim=1), L.sum(dim=1)
    value = _from_sums_u(torch.dot(K.reshape(-1), L.reshape(-1)), k, ell)
    return finite_or_explained("hsic_u", value, K=K, L=L)


@typed
def hsic(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n p"],
    kernel_x: Kernel,
    kernel_y: Kernel,
    *,
    estimator: Estimator = "u",
    block: int | None = None,
) -> Float[Tensor, ""]:
    r"""HSIC of two samples without ever storing an n x n matrix.

    Upper triangles of both Gram matrices are computed tile by tile, both tiles in the cache, and
    reduced to $\langle K, L\rangle$ and row sums on the spot: O(n²(d + p)) time, O(block) memory
    on top of the data. Not differentiable: `hsic_v` and `hsic_u` of Gram matrices are.

    Args:
        x: First variable, one observation a row.
        y: Second variable, same observations in the same order.
        kernel_x: `Gaussian(gamma)`, `Linear()`, `Distance()`, or a function of two matrices.
        kernel_y: The same for y.
        estimator: "u", unbiased, or "v", biased and never negative.
        block: Elements of a tile; the default fits the cache of a CPU or fills a GPU.

    Returns:
        The estimate, in the dtype of x; sums are accumulated in float64.

    Raises:
        TypeError: If the lengths disagree or the entries are not floating point.
        ValueError: If the data hold NaN or infinity, a kernel gives such or overflows, or n < 4
            ("u") or n < 2 ("v").

    Example:
        >>> from derive.independence import Linear
        >>> x = torch.tensor([[-1.0], [0.0], [1.0]])
        >>> hsic(x, x, Linear(), Linear(), estimator="v")
        tensor(0.4444)
    """
    sums = gram_sums(x, y, kernel_x, kernel_y, block=block)
    n = len(x)
    if estimator == "v":
        if n < 2:
            raise ValueError(f"hsic (v) needs at least 2 paired observations, got n={n}.")
        value = _from_sums_v(sums.inner, sums.k, sums.ell).to(x.dtype)
        return finite_or_explained("hsic", value, x=x, y=y)
    if n < 4:
        raise ValueError(f"hsic (u) needs at least 4 paired observations, got n={n}.")
    inner = sums.inner - torch.dot(sums.diagonal_k, sums.diagonal_l)
    value = _from_sums_u(inner, sums.k - sums.diagonal_k, sums.ell - sums.diagonal_l).to(x.dtype)
    return finite_or_explained("hsic", value, x=x, y=y)


@typed
def dcov2(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n p"],
    *,
    estimator: Estimator = "u",
    block: int | None = None,
) -> Float[Tensor, ""]:
    r"""Squared distance covariance: HSIC with the kernel $-\lVert x - x'\rVert$ (`hsic-dcov`).

    O(n²(d + p)) time, O(block) memory on top of the data.

    Args:
        x: First variable, one observation a row.
        y: Second variable, same observations in the same order.
        estimator: "u", unbiased, or "v", the original of Székely et al.
        block: Elements of a tile, as in `hsic`.

    Returns:
        The estimate of dCov², in units of x times units of y.

    Raises:
        TypeError: If the lengths disagree or the entries are not floating point.
        ValueError: As `hsic`.

    Source:
        Székely, Rizzo, Bakirov (Ann. Stat. 35, 2007), whose V is the square root of estimator "v".

    Example:
        >>> x = torch.tensor([[0.0], [1.0]])
        >>> dcov2(x, x, estimator="v")
        tensor(0.2500)
    """
    return hsic(x, y, Distance(), Distance(), estimator=estimator, block=block)


@typed
def hsic_gaussian_population(
    rho: float | int,
    gamma_x: float | int,
    gamma_y: float | int,
    *,
    var_x: float | int = 1.0,
    var_y: float | int = 1.0,
) -> float:
    r"""Population HSIC of a bivariate normal law under Gaussian kernels: the truth, exactly.

    With $a = 1 + 4\gamma_x v_x$ and $b = 1 + 4\gamma_y v_y$ and
    $q = \rho^2 \gamma_x v_x \gamma_y v_y$ the value is
    $(ab - 16q)^{-1/2} + (ab)^{-1/2} - 2(ab - 4q)^{-1/2}$ (book equation `hsic-gauss`).

    Args:
        rho: Correlation, in [-1, 1].
        gamma_x: Bandwidth parameter of the kernel on x, > 0.
        gamma_y: The same for y.
        var_x: Variance of x, > 0.
        var_y: Variance of y, > 0.

    Returns:
        HSIC(X, Y), >= 0; zero for rho = 0 alone.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> round(hsic_gaussian_population(0.5, 1.0, 1.0), 8)
        0.0099696
    """
    check_gamma(gamma_x)
    check_gamma(gamma_y)
    if not -1 <= rho <= 1:
        raise ValueError(f"rho must be in [-1, 1], got {rho}.")
    for name, variance in (("var_x", var_x), ("var_y", var_y)):
        if not (variance > 0 and math.isfinite(variance)):
            raise ValueError(f"{name} must be a positive finite number, got {variance}.")
    ab = (1 + 4 * gamma_x * var_x) * (1 + 4 * gamma_y * var_y)
    q = rho**2 * gamma_x * var_x * gamma_y * var_y
    return (ab - 16 * q) ** -0.5 + ab**-0.5 - 2 * (ab - 4 * q) ** -0.5


class GramSums(NamedTuple):
    """What two Gram matrices have to say about dependence: O(n) numbers in float64."""

    inner: Tensor  # sum of K_ij L_ij
    k: Tensor  # row sums of K
    ell: Tensor  # row sums of L
    diagonal_k: Tensor
    diagonal_l: Tensor
    square_k: Tensor | None  # sum of K_ij², if asked for
    square_l: Tensor | None


@torch.no_grad()
def gram_sums(
    x: Tensor,
    y: Tensor,
    kernel_x: Kernel,
    kernel_y: Kernel,
    *,
    squares: bool = False,
    block: int | None = None,
) -> GramSums:
    """One pass over the upper triangles of both Gram matrices, tile by tile."""
    check_finite("x", x)
    check_finite("y", y)
    if block is not None and block < 1:
        raise ValueError(f"block must be at least 1 element, got {block}.")
    n = len(x)
    source_x, source_y = evaluators(kernel_x, x, kernel_y, y)
    block = block or (2**18 if x.device.type == "cpu" else 2**24)
    height = max(1, min(n, math.isqrt(block // 32)))  # flat tiles: fewer, longer rows
    width = max(1, min(n, block // height))
    room = torch.empty(2, height * width, dtype=source_x.dtype, device=x.device)
    rows, diagonals = torch.zeros(2, 2, n, dtype=room.dtype, device=x.device)
    products = []  # of each tile: <K, L>, and if asked for <K, K> and <L, L>
    for top in range(0, n, height):
        down = slice(top, min(top + height, n))
        size = down.stop - top
        for left in range(top, n, width):
            across = slice(left, min(left + width, n))
            flat = room[:, : size * (across.stop - left)]
            tiles = flat.view(2, size, -1)
            source_x.tile(down, across, tiles[0])
            source_y.tile(down, across, tiles[1])
            if left == top:
                # The square on the diagonal holds both triangles. All the rest counts twice.
                square = tiles[:, :, :size].clone()
                tiles[:, :, :size] = 0
                rows[:, down] += square.sum(dim=2)
                diagonals[:, down] = square.diagonal(dim1=1, dim2=2)
                products += _products(*square.flatten(1) / 2**0.5, squares=squares)
            products += _products(*flat, squares=squares)
            rows[:, down] += tiles.sum(dim=2)
            rows[:, across] += tiles.sum(dim=1)
    inner, *squared = 2 * torch.stack(products).double().view(-1, 3 if squares else 1).sum(dim=0)
    return GramSums(inner, *rows.double(), *diagonals.double(), *(squared or (None, None)))


def _products(K: Tensor, L: Tensor, *, squares: bool) -> list[Tensor]:
    pairs = [(K, L), (K, K), (L, L)] if squares else [(K, L)]
    return [torch.dot(a, b) for a, b in pairs]


def _from_sums_v(inner: Tensor, k: Tensor, ell: Tensor) -> Tensor:
    n = len(k)
    return inner / n**2 + k.sum() * ell.sum() / n**4 - 2 * torch.dot(k, ell) / n**3


def _from_sums_u(inner: Tensor, k: Tensor, ell: Tensor) -> Tensor:
    n = len(k)
    total = inner + k.sum() * ell.sum() / ((n - 1) * (n - 2)) - 2 * torch.dot(k, ell) / (n - 2)
    return total / (n * (n - 3))
