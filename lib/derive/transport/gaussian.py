"""Transport between normal laws in closed form, and what it says of all others (`wasserstein`)."""

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite, check_precision, finite_or_explained
from derive.transport._validate import check_epsilon, check_points, check_probability, uniform


@typed
def bures_wasserstein(
    m1: Float[Tensor, "*b d"],
    S1: Float[Tensor, "*b d d"],
    m2: Float[Tensor, "*b d"],
    S2: Float[Tensor, "*b d d"],
) -> Float[Tensor, "*b"]:
    r"""The squared 2-Wasserstein distance between two normal laws.

    $\|m_1 - m_2\|^2 + \operatorname{tr}(A + B) - 2\|A^{1/2}B^{1/2}\|_*$ for covariances A and B
    (book equation `eq-ot-bures`). Singular covariances are fine: the nuclear norm comes from
    singular values, where roots of the eigenvalues of AB would turn a rounding error of 1e-16
    into 1e-8. O(d³) time, O(d²) memory.

    Args:
        m1: Mean of the first law.
        S1: Its covariance, symmetric and positive semi-definite.
        m2: Mean of the second.
        S2: Its covariance.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If a number is not finite, or a covariance is not symmetric or has an
            eigenvalue below -1e-10 (1e-5 in float32) times its largest.

    Source:
        Dowson and Landau (1982). Texts that drop the inner root, or write $\operatorname{tr}
        \sqrt{A}\sqrt{B}$, are right only for covariances that commute.

    Example:
        >>> zero, eye = torch.zeros(2), torch.eye(2)
        >>> bures_wasserstein(zero, eye, zero, 4 * eye)
        tensor(2.)
    """
    roots = _singular_values(S1, S2)
    traces = _trace(S1) + _trace(S2)
    result = (m1 - m2).square().sum(dim=-1) + (traces - 2 * roots.sum(dim=-1)).clamp(min=0)
    return finite_or_explained("bures_wasserstein", result, m1=m1, S1=S1, m2=m2, S2=S2)


@typed
def gaussian_map(
    S1: Float[Tensor, "*b d d"], S2: Float[Tensor, "*b d d"]
) -> Float[Tensor, "*b d d"]:
    r"""The linear map that transports one centred normal law to another at the least cost.

    $T = A^{-1/2}(A^{1/2}BA^{1/2})^{1/2}A^{-1/2}$, the only positive semi-definite solution of
    $TAT = B$ (book equation `eq-ot-bures`). O(d³) time, O(d²) memory.

    Args:
        S1: Covariance A of the law that is moved, positive definite.
        S2: Covariance B of the other, positive semi-definite.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If A is singular, or one of them is no covariance.

    Example:
        >>> gaussian_map(torch.eye(2), 4 * torch.eye(2))
        tensor([[2., 0.],
                [0., 2.]])
    """
    values, vectors = _eigen("S1", S1)
    if (values <= torch.finfo(S1.dtype).eps * values.amax(dim=-1, keepdim=True)).any():
        raise ValueError(
            "gaussian_map needs a positive definite S1, got an eigenvalue "
            f"{values.min().item():.3g}; no map spreads a flat law."
        )
    _eigen("S2", S2)
    root = _power(values, vectors, 0.5)
    inverse = _power(values, vectors, -0.5)
    middle = root @ S2 @ root
    inner, turn = torch.linalg.eigh((middle + middle.mT) / 2)
    T = inverse @ _power(inner.clamp(min=0), turn, 0.5) @ inverse
    return finite_or_explained("gaussian_map", (T + T.mT) / 2, S1=S1, S2=S2)


@typed
def gaussian_sinkhorn(
    m1: Float[Tensor, "*b d"],
    S1: Float[Tensor, "*b d d"],
    m2: Float[Tensor, "*b d"],
    S2: Float[Tensor, "*b d d"],
    *,
    epsilon: float | int,
) -> Float[Tensor, "*b"]:
    r"""Entropic transport between two normal laws for the squared Euclidean cost.

    With $\sigma^2 = \varepsilon/2$ and $D = (4A^{1/2}BA^{1/2} + \sigma^4I)^{1/2}$ it is
    $\|m_1-m_2\|^2 + \operatorname{tr}(A+B-D) + d\sigma^2(1-\log 2\sigma^2) +
    \sigma^2\log\det(D+\sigma^2I)$ (book equation `eq-sk-gauss`). Exact. O(d³) time.

    Args:
        m1: Mean of the first law.
        S1: Its covariance, symmetric and positive semi-definite.
        m2: Mean of the second.
        S2: Its covariance.
        epsilon: Strength of the entropy, relative to the product of the laws.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If epsilon <= 0 or beyond all scales, a number is not finite, or one of S1, S2
            is no covariance.

    Source:
        Janati, Muzellec, Peyré, Cuturi (NeurIPS 2020), theorem 1.

    Example:
        >>> zero, eye = torch.zeros(1), torch.eye(1)
        >>> round(gaussian_sinkhorn(zero, eye, zero, eye, epsilon=2.0).item(), 4)
        1.2451
    """
    check_epsilon(epsilon)
    if not 1e-150 < epsilon < 1e150:
        raise ValueError(f"epsilon must have a square that is a float, got {epsilon}.")
    variance = epsilon / 2
    D = (4 * _singular_values(S1, S2).square() + variance**2).sqrt()
    # d sigma² (1 - log 2 sigma²) + sigma² log det(D + sigma²), joined before they cancel.
    entropy = variance * (1 + ((D + variance) / (2 * variance)).log())
    means = (m1 - m2).square().sum(dim=-1)
    result = means + _trace(S1) + _trace(S2) + (entropy - D).sum(dim=-1)
    return finite_or_explained("gaussian_sinkhorn", result, m1=m1, S1=S1, m2=m2, S2=S2)


@typed
def gelbrich(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    p: Float[Tensor, " n"] | None = None,
    q: Float[Tensor, " m"] | None = None,
) -> Float[Tensor, ""]:
    r"""A lower bound on the squared 2-Wasserstein distance, from means and covariances alone.

    The formula of `bures_wasserstein` for the moments of the two samples, whatever their laws
    (book equation `eq-ot-gelbrich`). The nuclear norm is that of the centred, weighted cross-Gram
    matrix, reduced by QR when d is small: O((n + m) d²) time, or O(nm min(n, m)) when d is
    larger than n or m; no covariance is formed.

    Args:
        x: Points, one a row.
        y: Points of the same dimension.
        p: Weights of x, sum 1; uniform if left out.
        q: Weights of y, sum 1; uniform if left out.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If a coordinate is not finite, or p or q is no probability.

    Source:
        Gelbrich (Mathematische Nachrichten 147, 1990).

    Example:
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> gelbrich(x, 2 * x + 1)
        tensor(5.)
    """
    check_points("x", x)
    check_points("y", y)
    check_precision("gelbrich", x)
    moments = []
    for name, points, given in (("p", x, p), ("q", y, q)):
        weights = uniform(points) if given is None else given
        check_probability(name, weights)
        mean = weights @ points
        moments.append((mean, weights.sqrt()[:, None] * (points - mean)))
    (mean_x, X), (mean_y, Y) = moments
    if x.shape[1] < min(len(x), len(y)):
        # The derivative of R asks for Q.
        mode = "reduced" if X.requires_grad or Y.requires_grad else "r"
        left, right = (torch.linalg.qr(half, mode=mode).R for half in (X, Y))
    else:
        left, right = X, Y
    nuclear = torch.linalg.svdvals(left @ right.mT).sum()
    bures = (X.square().sum() + Y.square().sum() - 2 * nuclear).clamp(min=0)
    result = (mean_x - mean_y).square().sum() + bures
    return finite_or_explained("gelbrich", result, x=x, y=y)


def _singular_values(S1: Tensor, S2: Tensor) -> Tensor:
    roots = [
        _power(values.clamp(min=0), vectors, 0.5)
        for values, vectors in (_eigen("S1", S1), _eigen("S2", S2))
    ]
    return torch.linalg.svdvals(roots[0] @ roots[1])


def _eigen(name: str, S: Tensor) -> tuple[Tensor, Tensor]:
    check_precision("an eigendecomposition", S)
    check_finite(name, S)
    if S.numel() == 0:
        raise ValueError(f"{name} must not be empty, got shape {tuple(S.shape)}.")
    tolerance = 1e-10 if S.dtype == torch.float64 else 1e-5
    size = S.abs().amax(dim=(-2, -1), keepdim=True)
    if ((S - S.mT).abs() > tolerance * size).any():
        raise ValueError(f"{name} must be symmetric; it is off by {(S - S.mT).abs().max():.2g}.")
    values, vectors = torch.linalg.eigh(S)
    if (values < -tolerance * size[..., 0]).any():
        raise ValueError(
            f"{name} must be positive semi-definite, got an eigenvalue {values.min().item():.3g}."
        )
    return values, vectors


def _power(values: Tensor, vectors: Tensor, exponent: float) -> Tensor:
    return (vectors * values[..., None, :] ** exponent) @ vectors.mT


def _trace(S: Tensor) -> Tensor:
    return S.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
