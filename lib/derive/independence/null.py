"""What HSIC looks like when nothing is there: its moments under independence (chapter `hsic`)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from scipy.special import gammaincc
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite, finite_or_explained


class Moments(NamedTuple):
    """Mean and variance of the V-statistic `hsic_v` under independence."""

    mean: float
    variance: float


@typed
def permutation_moments(K: Float[Tensor, "n n"], L: Float[Tensor, "n n"]) -> Moments:
    r"""Exact mean and variance of `hsic_v` over all n! pairings of the two samples.

    Book equations `hsic-perm-mean` and `hsic-perm-var`, in O(n²) time: of the centred matrices
    only the trace, the squared Frobenius norm and the sum of the squared diagonal enter. Nothing
    is estimated: these are the moments of the very distribution that a permutation test samples.

    Args:
        K: Gram matrix of the first variable, symmetric.
        L: Gram matrix of the second variable.

    Returns:
        Mean and variance.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If n < 4, where the formula for the variance divides by zero, or an entry is
            not finite.

    Source:
        Kazi-Aoual, Hitier, Sabatier, Lebreton (Comput. Stat. Data Anal. 20, 1995).

    Example:
        >>> import torch
        >>> permutation_moments(torch.eye(4), torch.eye(4))
        Moments(mean=0.1875, variance=0.0)
    """
    if len(K) < 4:
        raise ValueError(f"permutation_moments needs at least 4 observations, got n={len(K)}.")
    K_sums, L_sums = _centred_sums("K", K), _centred_sums("L", L)
    return permutation_moments_from_sums(K_sums, L_sums, len(K))


@typed
def gretton_moments(K: Float[Tensor, "n n"], L: Float[Tensor, "n n"]) -> Moments:
    r"""Estimated mean and variance of `hsic_v` under independence, after Gretton et al.

    The mean is $\hat A\hat B / n$ with $\hat A$ the average of the diagonal less the average off
    it; the variance is $2(n-4)(n-5)/(n)_4$ times the average of
    $(\bar K_{ij}\bar L_{ij})^2$ over i ≠ j. O(n²) time and memory.

    Args:
        K: Gram matrix of the first variable, symmetric.
        L: Gram matrix of the second variable, same observations in the same order.

    Returns:
        Mean and variance; unlike `permutation_moments` both carry an error of relative order 1/n.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If n < 6, where the variance is not positive, or an entry is not finite.

    Source:
        Gretton, Fukumizu, Teo, Song, Schölkopf, Smola (NeurIPS 20, 2007), theorems 3 and 4; their
        mean is written for kernels with k(x, x) = 1, ours for any.

    Example:
        >>> import torch
        >>> gretton_moments(torch.eye(8), torch.eye(8)).mean
        0.125
    """
    n = len(K)
    if n < 6:
        raise ValueError(f"gretton_moments needs at least 6 observations, got n={n}.")
    contrasts = [
        M.diagonal().mean() - (M.sum() - M.diagonal().sum()) / (n * (n - 1)) for M in (K, L)
    ]
    products = (_centred(K) * _centred(L)).square()
    average = (products.sum() - products.diagonal().sum()) / (n * (n - 1))
    factor = 2 * (n - 4) * (n - 5) / (n * (n - 1) * (n - 2) * (n - 3))
    both = torch.stack([contrasts[0] * contrasts[1] / n, factor * average])
    return Moments(*finite_or_explained("gretton_moments", both, K=K, L=L).tolist())


@typed
def gamma_pvalue(statistic: float, moments: Moments) -> float:
    r"""Upper tail of the gamma law with the given mean and variance.

    Args:
        statistic: The observed `hsic_v`.
        moments: Its mean and variance under independence.

    Returns:
        $P(\Gamma \ge \text{statistic})$; 1 if the law is a point, as for a constant variable.

    Raises:
        ValueError: If a moment is negative, or one of the three is no finite number.

    Example:
        >>> round(gamma_pvalue(1.0, Moments(mean=1.0, variance=1.0)), 4)
        0.3679
    """
    mean, variance = moments
    for name, value in (("statistic", statistic), ("mean", mean), ("variance", variance)):
        if not (isinstance(value, int | float) and math.isfinite(value)):
            raise ValueError(f"gamma_pvalue needs a finite {name}, got {value!r}.")
    if not (mean >= 0 and variance >= 0):
        raise ValueError(f"moments must be non-negative, got {moments}.")
    # A mean or variance at the level of rounding is no law to compare with.
    if variance <= 1e-24 * max(1.0, mean * mean) or mean == 0:
        return 1.0
    return float(gammaincc(mean**2 / variance, max(statistic, 0.0) * mean / variance))


class CentredSums(NamedTuple):
    """Trace, sum of squares and sum of squared diagonal entries of a centred Gram matrix."""

    trace: float
    squares: float
    diagonal_squares: float


def centred_sums(rows: Tensor, diagonal: Tensor, squares: Tensor) -> CentredSums:
    """The three numbers from row sums, diagonal and sum of squares of the matrix itself."""
    n = len(rows)
    total = rows.sum()
    centred_diagonal = diagonal - 2 * rows / n + total / n**2
    centred_squares = squares - 2 * rows.square().sum() / n + total**2 / n**2
    sums = (centred_diagonal.sum(), centred_squares, centred_diagonal.square().sum())
    return CentredSums(*(value.item() for value in sums))


def permutation_moments_from_sums(k: CentredSums, ell: CentredSums, n: int) -> Moments:
    """Kazi-Aoual et al., with the letters of the book's equation `hsic-perm-var`."""
    (T, T2, S2), (U, U2, R2) = k, ell
    mean = T * U / (n - 1)
    largest = max(map(abs, (*k, *ell)))
    if largest > 1e70:  # products of four of them go into the variance
        raise ValueError(
            f"the moments under permutation overflow: got sums up to {largest:.3g} over the "
            "centred Gram matrices; rescale."
        )
    spread = 2 * ((n - 1) * T2 - T**2) * ((n - 1) * U2 - U**2)
    spread /= (n - 1) ** 2 * (n + 1) * (n - 2)
    peaks_k = n * (n + 1) * S2 - (n - 1) * (T**2 + 2 * T2)
    peaks_l = n * (n + 1) * R2 - (n - 1) * (U**2 + 2 * U2)
    variance = spread + peaks_k * peaks_l / ((n + 1) * n * (n - 1) * (n - 2) * (n - 3))
    return Moments(mean / n**2, max(variance, 0.0) / n**4)


def _centred_sums(name: str, K: Tensor) -> CentredSums:
    check_finite(name, K)
    K = (K - K.mean()).double()
    return centred_sums(K.sum(dim=1), K.diagonal(), K.square().sum())


def _centred(K: Tensor) -> Tensor:
    return K - K.mean(dim=0) - K.mean(dim=1, keepdim=True) + K.mean()
