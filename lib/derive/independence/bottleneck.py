"""Normalised HSIC and the layer-wise HSIC bottleneck objective (chapter `hsic`)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite, check_precision
from derive.independence.kernels import rbf_gram


@typed
def nhsic(K: Float[Tensor, "n n"], L: Float[Tensor, "n n"], *, epsilon: float) -> Float[Tensor, ""]:
    r"""Normalised HSIC: $\operatorname{tr}(R_K R_L)$, $R_K = \bar K(\bar K + \epsilon n I)^{-1}$.

    Book equation `hsic-nhsic`; a regularised sum of squared canonical correlations between the
    two feature spaces, by Cholesky solves in O(n³) time and O(n²) memory. Differentiable. It is
    not CKA: that divides by two norms, this whitens.

    Args:
        K: Gram matrix of the first variable, positive semi-definite.
        L: Gram matrix of the second variable, same observations in the same order.
        epsilon: Ridge, > 0. Below 1e-6 the solves are done in float64.

    Returns:
        A number between 0 and the smaller rank of the two centred matrices, at most n - 1. For
        full-rank matrices it tends to n - 1 as epsilon falls, dependent or not.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If n < 2, epsilon is not positive, or a matrix is not finite or, with its
            ridge, not positive definite.

    Source:
        Fukumizu, Gretton, Sun, Schölkopf (NeurIPS 20, 2007); Ma, Lewis, Kleijn (AAAI 2020).

    Example:
        >>> nhsic(torch.eye(3), torch.eye(3), epsilon=1.0)
        tensor(0.1250)
    """
    if len(K) < 2:
        raise ValueError(f"nhsic needs at least 2 paired observations, got n={len(K)}.")
    if not epsilon > 0:
        raise ValueError(f"epsilon must be positive, got {epsilon}.")
    R, S = _whitened("K", K, epsilon), _whitened("L", L, epsilon)
    return (R * S).sum().to(K.dtype)


@typed
def hsic_bottleneck_loss(
    z: Float[Tensor, "n k"],
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n c"],
    *,
    beta: float | int,
    sigma: float | int = 5.0,
    epsilon: float = 1e-5,
) -> Float[Tensor, ""]:
    r"""Loss of one layer: $\mathrm{nHSIC}(Z, X) - \beta\,\mathrm{nHSIC}(Z, Y)$.

    Every layer has its own loss on its own output z, so no gradient travels back from layer to
    layer. Gaussian kernels $e^{-d^2 / (2\sigma^2 w)}$, with w the width of the argument, as the
    authors' code has it. O(n³) time and O(n²) memory in the batch size n.

    Args:
        z: Output of the layer.
        x: Input of the network.
        y: One-hot labels.
        beta: Weight of the labels; beta = 0 would only forget. The first term may reach n - 1 and
            the second C - 1 (`hsic-nhsic`), so values of (n - 1) / (C - 1) and above are usual.
        sigma: Length of the kernels, before scaling with the width, > 0.
        epsilon: Ridge of `nhsic`.

    Returns:
        The loss, differentiable in z.

    Raises:
        TypeError: If the batches disagree or the entries are not floating point.
        ValueError: If beta is negative or infinite, sigma or epsilon not positive, or the data
            have no features or are not finite.

    Source:
        Ma, Lewis, Kleijn (AAAI 2020).

    Example:
        >>> z = torch.tensor([[0.0], [1.0]])
        >>> hsic_bottleneck_loss(z, z, z, beta=1.0)
        tensor(0.)
    """
    if not 0 <= beta < math.inf:
        raise ValueError(f"beta must be finite and not negative, got {beta}.")
    if not 1e-100 < sigma < 1e100:
        raise ValueError(f"sigma must be positive, and its square a float, got {sigma}.")
    for name, a in (("z", z), ("x", x), ("y", y)):
        if a.shape[1] == 0:
            raise ValueError(f"{name} has no features, got shape {tuple(a.shape)}.")
    K_z, K_x, K_y = (rbf_gram(a, 1 / (2 * sigma**2 * a.shape[1])) for a in (z, x, y))
    return nhsic(K_z, K_x, epsilon=epsilon) - beta * nhsic(K_z, K_y, epsilon=epsilon)


def _whitened(name: str, K: Tensor, epsilon: float) -> Tensor:
    """K̄ (K̄ + epsilon n I)^-1 for the doubly centred K̄."""
    n = len(K)
    check_finite(name, K)
    check_precision("nhsic", K)
    K = K.double() if epsilon < 1e-6 else K
    centred = K - K.mean(dim=0) - K.mean(dim=1, keepdim=True) + K.mean()
    ridge = epsilon * n * torch.eye(n, dtype=K.dtype, device=K.device)
    factor, failed = torch.linalg.cholesky_ex(centred + ridge)
    if failed:
        raise ValueError(
            f"nhsic: {name} is not positive semi-definite at epsilon={epsilon}; "
            "check the kernel, raise epsilon, or use float64."
        )
    return torch.cholesky_solve(centred, factor)
