"""Sign hashing: angles from single bits (chapter `jl-lemma`)."""

import torch
from jaxtyping import Float, Int, Int64, UInt8
from torch import Generator, Tensor

from derive._typing import typed
from derive.random_projection.matrices import check_dims, check_finite, gaussian_matrix

_CHUNK = 256  # bits at a time: neither all bits unpacked nor the whole matrix is ever held


@typed
def simhash(
    x: Float[Tensor, "n d"], bits: int, *, generator: Generator | None = None
) -> UInt8[Tensor, "n bytes"]:
    r"""Signs of `bits` Gaussian projections of each row, packed eight to a byte.

    Two rows at angle $\theta$ differ in each bit with probability $\theta/\pi$ (book equation
    `jl-arcsine`). O(n d bits) time; memory: the hashes, and 256 rows of the matrix at a time.

    Args:
        x: Data, one point a row; only directions matter.
        bits: Length of the hash; the last byte is filled up with zeros.
        generator: Source of randomness; hashes compare only if drawn in one call or from
            generators in the same state.

    Returns:
        The hashes; the first bit is the highest of the first byte, and the sign of 0 is bit 1.

    Raises:
        ValueError: If bits < 1 or x is not finite.

    Source:
        Goemans & Williamson (JACM 1995) for the angle; Charikar (STOC 2002) for the hash.

    Example:
        >>> import torch
        >>> simhash(torch.zeros(1, 3), 10)
        tensor([[255, 192]], dtype=torch.uint8)
    """
    n, d = x.shape
    check_dims(bits=bits, d=d)
    check_finite(x=x)
    out = torch.empty(n, -(-bits // 8), dtype=torch.uint8, device=x.device)
    place = (128 >> torch.arange(8)).to(x.device, torch.uint8)
    for start in range(0, bits, _CHUNK):
        count = min(_CHUNK, bits - start)
        A = gaussian_matrix(count, d, generator=generator, dtype=x.dtype, device=x.device)
        ones = torch.zeros(n, -(-count // 8) * 8, dtype=torch.uint8, device=x.device)
        ones[:, :count] = x @ A.T >= 0
        # Each place is there once, so that the sum stays below 256.
        octets = ones.unflatten(1, (-1, 8))
        out[:, start // 8 : (start + count + 7) // 8] = (octets * place).sum(-1)
    return out


@typed
def hamming(a: UInt8[Tensor, "n bytes"], b: UInt8[Tensor, "m bytes"]) -> Int64[Tensor, "n m"]:
    """Number of different bits between every hash of a and every hash of b.

    A matrix product of the bits as +-1, exact: O(n m bits) time, memory the result and 256 bits
    of each hash unpacked at a time.

    Args:
        a: Packed hashes, as from `simhash`.
        b: Packed hashes of the same length.

    Returns:
        The Hamming distances.

    Example:
        >>> import torch
        >>> hamming(torch.tensor([[7]], dtype=torch.uint8), torch.tensor([[1]], dtype=torch.uint8))
        tensor([[2]])
    """
    agree = torch.zeros(len(a), len(b), device=a.device)
    for left, right in zip(a.split(_CHUNK // 8, 1), b.split(_CHUNK // 8, 1), strict=True):
        agree.addmm_(_as_signs(left), _as_signs(right).T)
    return ((8 * a.shape[1] - agree) / 2).long()


@typed
def hamming_to_cosine(
    h: Float[Tensor, "..."] | Int[Tensor, "..."], bits: int
) -> Float[Tensor, "..."]:
    r"""Cosine estimated from Hamming distances: $\cos(\pi h / \mathrm{bits})$.

    Inverts `jl-arcsine`. The plain cosine of the signs, $1 - 2h/\mathrm{bits}$, tends to
    $\frac2\pi\arcsin\cos\theta$ instead, which is off by up to 0.2105. O(1) time an entry.

    Args:
        h: Hamming distances, between 0 and bits.
        bits: Length of the hashes.

    Returns:
        The estimates; consistent, slightly biased since the cosine is curved.

    Raises:
        ValueError: If bits < 1 or a distance is outside [0, bits].

    Example:
        >>> import torch
        >>> hamming_to_cosine(torch.tensor([0, 8, 16]), 16).round(decimals=6).abs()
        tensor([1., 0., 1.])
    """
    check_dims(bits=bits)
    if not ((h >= 0) & (h <= bits)).all():
        raise ValueError(f"distances must lie in [0, {bits}], got {h.min()} to {h.max()}.")
    return torch.cos(h * (torch.pi / bits))


def _as_signs(packed: Tensor) -> Tensor:
    places = 7 - torch.arange(8, device=packed.device)
    bits = (packed.unsqueeze(-1).int() >> places) & 1
    return (2 * bits - 1).flatten(1).float()
