"""Centred kernel alignment of two representations (chapter `hsic`)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite
from derive.independence.estimators import hsic_u, hsic_v


@typed
def cka(
    X: Float[Tensor, "n p"], Y: Float[Tensor, "n q"], *, debiased: bool = True
) -> Float[Tensor, ""]:
    r"""Linear centred kernel alignment: a correlation between two sets of features.

    $\mathrm{HSIC}(X, Y) / \sqrt{\mathrm{HSIC}(X, X)\,\mathrm{HSIC}(Y, Y)}$ with linear kernels,
    from V-statistics or, debiased, from U-statistics. By feature covariances, O(n (p + q)²) time
    and O((p + q)²) memory, when p and q are below n; by Gram matrices, O(n²(p + q)) and O(n²),
    otherwise.

    Args:
        X: Features of n inputs, one input a row.
        Y: Other features of the same inputs in the same order.
        debiased: Use unbiased estimates. The biased index of independent random features is near
            $\sqrt{pq / ((p + n)(q + n))}$ (book equation `hsic-cka-bias`), not 0.

    Returns:
        The index, in [0, 1]; debiased, in [-1, 1] and near 0 for independent features.

    Raises:
        TypeError: If the numbers of rows disagree or the entries are not floating point.
        ValueError: If n < 4 (debiased) or n < 2, if a set of features is empty or constant, or on
            NaN.

    Source:
        Kornblith, Norouzi, Lee, Hinton (ICML 2019); debiased as Nguyen, Raghu, Kornblith (2021).

    Example:
        >>> X = torch.tensor([[1.0], [2.0], [3.0], [5.0]])
        >>> cka(X, -2 * X, debiased=False)
        tensor(1.)
    """
    for name, features in (("X", X), ("Y", Y)):
        if features.shape[1] == 0:
            raise ValueError(f"cka: {name} has no features, got shape {tuple(features.shape)}.")
    n, least = len(X), 4 if debiased else 2
    if n < least:
        raise ValueError(f"cka needs at least {least} inputs, got n={n}.")
    X, Y = _centred_features("X", X), _centred_features("Y", Y)
    estimate: Callable[[Tensor, Tensor], Tensor]
    if max(X.shape[1], Y.shape[1]) < n:
        estimate = _hsic_u_of_features if debiased else _hsic_v_of_features
        values = [estimate(X, Y), estimate(X, X), estimate(Y, Y)]
    else:
        estimate = hsic_u if debiased else hsic_v
        K, L = X @ X.T, Y @ Y.T
        values = [estimate(K, L), estimate(K, K), estimate(L, L)]
    # HSIC_u(K, K) is a squared norm too, of the U-centred matrix, and can vanish: one feature an
    # input, all orthogonal, makes every pair of inputs equally similar. tr K = 1 sets the scale.
    for name, value in zip(("X", "Y"), values[1:], strict=True):
        if value * n**2 <= 4 * torch.finfo(X.dtype).eps:
            raise ValueError(f"cka: {name} does not vary beyond rounding; the index is 0/0.")
    return values[0] / (values[1].sqrt() * values[2].sqrt())


def _centred_features(name: str, X: Tensor) -> Tensor:
    check_finite(name, X)
    centred = X - X.mean(dim=0)
    size = X.abs().max()
    if centred.abs().max() <= 4 * torch.finfo(X.dtype).eps * size:
        raise ValueError(f"cka: {name} is constant, so there is no alignment to speak of.")
    # The scale cancels in the index, and overflow goes with it.
    unit, norm = torch.finfo(X.dtype), centred.norm()
    if not unit.tiny**0.25 < norm < unit.max**0.5:  # its squares went out of range
        centred = centred / centred.abs().max()
        norm = centred.norm()
    return centred / norm


def _hsic_v_of_features(X: Tensor, Y: Tensor) -> Tensor:
    return (X.T @ Y).square().sum() / len(X) ** 2


def _hsic_u_of_features(X: Tensor, Y: Tensor) -> Tensor:
    """`hsic_u(X Xᵀ, Y Yᵀ)` for centred features: each row of a centred Gram matrix sums to 0."""
    n = len(X)
    # so without its diagonal a row sums to -|x_i|²
    x, y = X.square().sum(dim=1), Y.square().sum(dim=1)
    inner = (X.T @ Y).square().sum() - torch.dot(x, y)
    total = inner + x.sum() * y.sum() / ((n - 1) * (n - 2)) - 2 * torch.dot(x, y) / (n - 2)
    return total / (n * (n - 3))
