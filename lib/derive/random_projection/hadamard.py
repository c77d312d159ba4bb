"""Hadamard matrices: fast transform, and single entries of any order (chapter `jl-lemma`)."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive.random_projection.matrices import check_finite

_RADIX = 32  # a transform of length 2^14 is three small matrix products, not 14 passes
_BLOCK = 2**19  # numbers transformed at a time, so that a block and its copy stay in cache


@typed
def fwht(x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    r"""Orthonormal Walsh-Hadamard transform along the last axis.

    Multiplies by $H / \sqrt d$, $H_{ij} = (-1)^{\text{number of common binary ones of } i, j}$
    (Sylvester's order), which is its own inverse. O(d log d) time a vector; besides the result
    no more memory than a cache-sized block.

    Args:
        x: Vectors along the last axis, whose length is a power of two.

    Returns:
        The transformed vectors, a new tensor.

    Raises:
        ValueError: If d is not a power of two, or x holds NaN or infinity, or asks for gradients
            (the transform works in place; detach x first).

    Source:
        Fino & Algazi (IEEE Trans. Computers 1976). The butterflies of five levels are done at
        once as a product with the 32 x 32 matrix: more operations, far fewer passes.

    Example:
        >>> import torch
        >>> fwht(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """
    d = x.shape[-1]
    if d < 1 or d & (d - 1):
        raise ValueError(f"fwht needs a length that is a power of two, got d={d}; pad with zeros.")
    if torch.is_grad_enabled() and x.requires_grad:
        raise ValueError("fwht works in place: got x with requires_grad, pass x.detach().")
    out = x.clone(memory_format=torch.contiguous_format)
    for rows in out.view(-1, d).split(max(1, _BLOCK // d)):
        transform_in_place(rows)
    # The first entry of each row is the sum of its numbers: one of them that is not finite shows.
    if not torch.isfinite(out[..., 0].sum()):
        check_finite(x=x)
    return out


def transform_in_place(rows: Tensor) -> None:
    """Orthonormal transform of contiguous (m, d) rows, d a power of two; one copy of them."""
    d, done = rows.shape[1], 1
    while done < d:
        radix = min(_RADIX, d // done)
        H = _sylvester(radix, rows.dtype, rows.device)
        if done == 1:
            part = rows.view(-1, radix)
            part.copy_(part @ H)
        else:  # axes: everything slower | this factor | the factors already done
            part = rows.view(-1, radix, done)
            part.copy_(H @ part)
        done *= radix


@cache
def _sylvester(order: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    i = torch.arange(order)
    return (hadamard_entries(order, i[:, None], i[None, :]) / order**0.5).to(device, dtype)


def hadamard_entries(order: int, rows: Tensor, cols: Tensor) -> Tensor:
    r"""Entries +-1 (float64) of a Hadamard matrix at integer `rows` and `cols`, which broadcast.

    Orders: 1, 2, q + 1 (Paley I, prime q = 3 mod 4), 2(q + 1) (Paley II, prime q = 1 mod 4), and
    twice any of them (Sylvester). Orthogonal rows of +-1 whose number is close to any multiple
    of four: this is what lets a transform of length about d do without padding to a power of two.
    """
    rows, cols = torch.broadcast_tensors(rows, cols)
    if order == 1:
        return torch.ones(rows.shape, dtype=torch.float64)
    half = order // 2
    if order > 2 and order & (order - 1) and _is_prime(order - 1):
        # I + S with S skew-symmetric and S S^T = q I: the cross terms S + S^T vanish.
        return (rows == cols).double() + _conference(order - 1, rows, cols)
    if order & (order - 1) and half % 4 == 2 and _is_prime(half - 1):
        # S symmetric here: S (x) [[1, 1], [1, -1]] + I (x) [[1, -1], [-1, -1]].
        i, j, u, v = rows // 2, cols // 2, rows % 2, cols % 2
        outer = 1.0 - 2.0 * (u * v)
        inner = torch.where((u == 0) & (v == 0), 1.0, -1.0).double()
        return _conference(half - 1, i, j) * outer + (i == j) * inner
    both = (rows // half) * (cols // half)
    return hadamard_entries(half, rows % half, cols % half) * (1.0 - 2.0 * both)


def next_hadamard_order(m: int) -> int:
    """The smallest order >= m that `hadamard_entries` knows."""
    while not is_hadamard_order(m):
        m += 1
    return m


def is_hadamard_order(m: int) -> bool:
    """Whether `hadamard_entries` can build a matrix of this order."""
    if m in (1, 2):
        return True
    if m % 4:
        return False
    return _is_prime(m - 1) or (m % 8 == 4 and _is_prime(m // 2 - 1)) or is_hadamard_order(m // 2)


def _conference(q: int, rows: Tensor, cols: Tensor) -> Tensor:
    """Paley's conference matrix of order q + 1: zero diagonal, S S^T = q I."""
    residue = torch.full((q,), -1.0, dtype=torch.float64)
    residue[torch.arange(1, q).square() % q] = 1.0
    residue[0] = 0.0
    border = torch.where((rows == 0) | (q % 4 == 1), 1.0, -1.0).double()
    border = torch.where((rows == 0) & (cols == 0), 0.0, border)
    return torch.where((rows == 0) | (cols == 0), border, residue[(rows - cols) % q])


@cache
def _is_prime(m: int) -> bool:
    return m > 1 and all(m % f for f in range(2, int(m**0.5) + 1))
