"""Fast random maps: choosing one, drawing it, applying it (chapter `jl-lemma`)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from derive._typing import typed
from derive.device import as_device
from derive.random_projection.hadamard import is_hadamard_order, next_hadamard_order
from derive.random_projection.maps import (
    CosineMap,
    DenseMap,
    HadamardMap,
    KroneckerMap,
    RandomMap,
)
from derive.random_projection.matrices import (
    check_dims,
    check_finite,
    gaussian_matrix,
    random_signs,
    sign_matrix,
)

Kind = Literal["auto", "gaussian", "sign", "kronecker", "dct", "srht"]
_FFT_DTYPES = (torch.float32, torch.float64)


@typed
def random_map(
    d: int,
    k: int,
    *,
    kind: Kind = "auto",
    generator: Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> RandomMap:
    r"""A random linear map from d to k dimensions that keeps squared norms: draw once, apply often.

    For every kind $\mathbb E\|y\|^2 = \|x\|^2$ exactly and $\mathrm{Var}\|y\|^2 \le 2/k$ for a
    unit vector (book equations `jl-var`, `jl-same-var`; derived in `maps`); the structured kinds
    sample without replacement from a transform of length p >= d and gain a further factor of
    about $1 - k/p$.

    | kind | operations a row | numbers kept | law of $\|y\|^2$ |
    |---|---|---|---|
    | gaussian | 2dk | dk | exactly chi-square |
    | sign | 2dk | dk | tails no heavier than a Gaussian matrix |
    | kronecker | 2d(b + k/b), b near sqrt(k) | d(b + k/b) | stratified SRHT |
    | dct | O(d log d) | d + 3k | sampled cosine transform |
    | srht | O(p log p), p = 2^m >= d | d + k | sampled Hadamard transform |

    `auto` takes the cheapest of sign, kronecker and dct by operation counts, weighted as measured
    (`bench/random_projection.py`); the returned map's `reason` says why. Low precision is left to
    the caller (`dtype=torch.bfloat16`, or `torch.set_float32_matmul_precision("medium")`): signs
    stay exactly +-1 inside and the scale comes last, so norms stay unbiased, but rounded data no
    longer tell close points apart.

    Args:
        d: Dimension of the data.
        k: Dimension to project to; the structured kinds need k <= p.
        kind: Which family to draw from.
        generator: Source of randomness; draws are made on its device.
        dtype: Floating-point type of the data that the map will take.
        device: Device of the data that the map will take.

    Returns:
        A callable: `y = m(x)` for x of shape (n, d), or `m(x, out=y)` for one block of a stream.

    Raises:
        ValueError: If d < 1, k < 1, k is too large for the kind, or dtype is not floating point.

    Source:
        Ailon & Chazelle (SICOMP 2009) and Tropp (2011) for sampled transforms; stratifying the
        sample so that a Kronecker factorisation pays is ours.

    Example:
        >>> import torch
        >>> m = random_map(1024, 512, generator=torch.Generator().manual_seed(0))
        >>> m.kind, m(torch.zeros(3, 1024)).shape
        ('kronecker', torch.Size([3, 512]))
    """
    check_dims(d=d, k=k)
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a real floating-point type, got {dtype}.")
    reason = "asked for"
    if kind == "auto":
        kind, reason = _cheapest(d, k, dtype)
    drawn = _DRAW[kind](d, k, generator, dtype, as_device(device))
    drawn.reason = reason
    return drawn


@typed
def project(
    x: Float[Tensor, "n d"],
    k: int,
    *,
    kind: Kind = "auto",
    generator: Generator | None = None,
) -> Float[Tensor, "n k"]:
    """Project the rows of x to k dimensions by a fresh `random_map` in x's dtype and device.

    Time as `random_map` says; memory: the map, the output, and a few MB.

    Args:
        x: Data, one point a row.
        k: Dimension to project to.
        kind: Family of the map (see `random_map`).
        generator: Source of randomness.

    Returns:
        The projected points, in the same order.

    Raises:
        ValueError: If k is out of range for the kind, or x is not finite.

    Example:
        >>> import torch
        >>> project(torch.eye(4), 4, kind="srht").norm(dim=1)  # k = d: only a rotation
        tensor([1., 1., 1., 1.])
    """
    return random_map(
        x.shape[1], k, kind=kind, generator=generator, dtype=x.dtype, device=x.device
    )(x)


@typed
def srht(
    x: Float[Tensor, "n d"],
    k: int,
    *,
    generator: Generator | None = None,
    replace: bool = False,
) -> Float[Tensor, "n k"]:
    r"""Subsampled randomised Hadamard transform of the rows of x: signs, transform, sample, scale.

    $y = \sqrt{p/k}\, R H D \tilde x$ with random signs D, the orthonormal Hadamard matrix H of
    order p (d rounded up to a power of two, x padded with zeros) and k sampled coordinates R:
    $\mathbb E\|y\|^2 = \|x\|^2$. For a unit vector the variance is
    $\frac2k(1 - \sum_j x_j^4)$ with replacement and $\frac{p-k}{p-1}$ times that without (book
    equation `jl-same-var`). O(p log p) time a row; memory: the output and a few MB.

    Args:
        x: Data, one point a row.
        k: Dimension to project to; at most p unless `replace`.
        generator: Source of randomness.
        replace: Sample the coordinates with replacement (for comparison; never better).

    Returns:
        The projected points.

    Raises:
        ValueError: If k < 1, k > p without replacement, or x is not finite.

    Source:
        Tropp (Adv. Adapt. Data Anal. 2011); Ailon & Chazelle (SICOMP 2009).

    Example:
        >>> import torch
        >>> srht(torch.eye(3), 4).norm(dim=1)  # k = p = 4: only a rotation
        tensor([1., 1., 1.])
    """
    check_dims(k=k, d=x.shape[1])
    drawn = _draw_srht(x.shape[1], k, generator, x.dtype, x.device, replace=replace)
    return drawn(x)


@typed
def count_sketch(
    x: Float[Tensor, "n d"],
    k: int,
    nnz: int = 1,
    *,
    generator: Generator | None = None,
) -> Float[Tensor, "n k"]:
    r"""Count sketch (nnz = 1) or block-sparse projection (nnz > 1) of the rows of x.

    Each feature goes, with a random sign and weight $1/\sqrt{nnz}$, to one random coordinate in
    each of nnz blocks of k/nnz coordinates: the sparsest maps that keep squared norms. Same
    variance $\frac2k(1 - \sum_j x_j^4)$ as random signs (book equation `jl-same-var`), far
    heavier tails (`jl-diff-tail`). O(n d nnz) time; memory: the output and a few MB, never a
    k x d matrix.

    Args:
        x: Data, one point a row.
        k: Dimension to project to.
        nnz: Non-zeros in each column of the map; must divide k.
        generator: Source of randomness.

    Returns:
        The projected points.

    Raises:
        ValueError: If k < 1, nnz does not divide k, or x is not finite.

    Source:
        Charikar, Chen & Farach-Colton (2002); Clarkson & Woodruff (STOC 2013); Kane & Nelson
        (JACM 2014) for nnz > 1.

    Example:
        >>> import torch
        >>> count_sketch(torch.tensor([[3.0]]), 4, nnz=4).abs()
        tensor([[1.5000, 1.5000, 1.5000, 1.5000]])
    """
    n, d = x.shape
    check_dims(k=k, d=d, nnz=nnz)
    if k % nnz:
        raise ValueError(f"nnz must divide k, got nnz={nnz}, k={k}.")
    check_finite(x=x)
    source = "cpu" if generator is None else generator.device
    width = k // nnz
    buckets = torch.randint(width, (nnz, d), generator=generator, device=source)
    buckets = (buckets + width * torch.arange(nnz, device=source)[:, None]).to(x.device)
    signs = (random_signs(nnz * d, generator) / nnz**0.5).view(nnz, d, 1).to(x)
    out = x.new_empty(n, k)
    step = max(1, 2**20 // max(d, k))
    for start in range(0, n, step):
        # Features as rows: scattering whole rows is several times faster than single numbers.
        block = x[start : start + step].T.contiguous()
        sums = x.new_zeros(k, block.shape[1])
        for bucket, sign in zip(buckets, signs, strict=True):
            sums.index_add_(0, bucket, block * sign)
        out[start : start + step] = sums.T
    return out


def _draw_gaussian(d, k, generator, dtype, device) -> RandomMap:
    A = gaussian_matrix(k, d, generator=generator, dtype=dtype, device=device)
    return DenseMap(A, kind="gaussian")


def _draw_sign(d, k, generator, dtype, device) -> RandomMap:
    A = sign_matrix(k, d, generator=generator, dtype=dtype, device=device)
    return DenseMap(A.sign_(), kind="sign", scale=k**-0.5)


def _draw_kronecker(d, k, generator, dtype, device) -> RandomMap:
    b, a = _kronecker_shape(d, k)
    _check_length(k, a * b, "kronecker")
    source = "cpu" if generator is None else generator.device
    signs = random_signs(d, generator)
    counts = torch.full((b,), k // b)
    counts[torch.randperm(b, generator=generator, device=source)[: k % b].cpu()] += 1
    # The order of independent uniform numbers is a uniform permutation: its start is a sample.
    orders = torch.rand(b, a, generator=generator, dtype=torch.float64, device=source).argsort(1)
    draws = [order[:r].sort().values for order, r in zip(orders, counts.tolist(), strict=True)]
    return KroneckerMap(signs, draws, a, dtype=dtype, device=device)


def _draw_dct(d, k, generator, dtype, device) -> RandomMap:
    if dtype not in _FFT_DTYPES:
        raise ValueError(f"kind='dct' needs float32 or float64, got {dtype}.")
    p = _smooth_length(d)
    _check_length(k, p, "dct")
    signs = random_signs(d, generator)
    return CosineMap(signs, _sample(p, k, generator), p, dtype=dtype, device=device)


def _draw_srht(d, k, generator, dtype, device, replace=False) -> RandomMap:
    p = 1 << (d - 1).bit_length()
    signs = random_signs(d, generator)
    if replace:
        source = "cpu" if generator is None else generator.device
        draws = torch.randint(p, (k,), generator=generator, device=source)
    else:
        _check_length(k, p, "srht")
        draws = _sample(p, k, generator)
    return HadamardMap(signs, draws, dtype=dtype, device=device)


_DRAW = {
    "gaussian": _draw_gaussian,
    "sign": _draw_sign,
    "kronecker": _draw_kronecker,
    "dct": _draw_dct,
    "srht": _draw_srht,
}


def _cheapest(d: int, k: int, dtype: torch.dtype) -> tuple[Kind, str]:
    """The kind with the least work a row and feature, in multiply-adds of a large product."""
    b, a = _kronecker_shape(d, k)
    p = _smooth_length(d)
    # Small products run at about two thirds of the rate of a large one, and moving the data
    # through a stage costs as much as a hundred multiply-adds of one. Fitted to measurements on
    # one CPU thread; the order of the kinds is what matters, and near a tie either will do.
    costs: dict[Kind, float] = {"sign": float(k)}
    if k <= a * b:
        costs["kronecker"] = 120 + 1.5 * (b + k / b)
    if k <= p and dtype in _FFT_DTYPES:
        costs["dct"] = (36 * p + 8.2 * p * p.bit_length() + 7500 + 140 * k) / d
    kind = min(costs, key=costs.__getitem__)
    listed = ", ".join(f"{name} {cost:.0f}" for name, cost in costs.items())
    return kind, f"least work for d={d}, k={k} (multiply-adds a feature: {listed})"


def _kronecker_shape(d: int, k: int) -> tuple[int, int]:
    """Orders (b, a) of the two Hadamard factors: b + k/b nearly least, a b >= d nearly tight."""
    orders = [b for b in range(1, 257) if is_hadamard_order(b) and b <= max(1, d)]
    b = min(orders, key=lambda b: b + k / b)
    return b, next_hadamard_order(-(-d // b))


def _smooth_length(d: int) -> int:
    """The smallest length >= d, a power of two or a multiple of 16, without primes above 5.

    FFTs of other lengths take two to fifteen times as long (measured with MKL).
    """
    best = 1 << (d - 1).bit_length()
    five = 1
    while five < best:
        odd = five
        while odd < best:
            rest = max(16, -(-d // odd))
            best = min(best, odd << (rest - 1).bit_length())
            odd *= 3
        five *= 5
    return best


def _sample(p: int, k: int, generator: Generator | None) -> Tensor:
    source = "cpu" if generator is None else generator.device
    # In order, so that reading them is a forward walk through memory; the law is the same.
    return torch.randperm(p, generator=generator, device=source)[:k].sort().values


def _check_length(k: int, p: int, kind: str) -> None:
    if k > p:
        raise ValueError(
            f"kind={kind!r} samples from p={p} coordinates without replacement, got k={k}; "
            "take k <= p, or a dense kind."
        )
