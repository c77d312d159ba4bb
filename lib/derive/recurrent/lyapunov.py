"""Lyapunov exponents: the rates at which products of Jacobians grow (chapter `rnn-gradients`)."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import check_precision


class Spectrum(NamedTuple):
    """Lyapunov exponents in units of 1/step, largest first, and how well they are known."""

    exponents: Tensor  # (k,); -inf for directions that some factor maps to zero
    stderr: Tensor  # (k,); from block averages; NaN beside -inf
    num_steps: int  # factors that were averaged, over all chains
    num_dead: int  # how many of the exponents are -inf


@typed
def lyapunov(
    jacobians: Iterable[Float[Tensor, "*b n n"]],
    *,
    k: int | None = None,
    burn_in: int = 0,
    reorth: int = 1,
    num_blocks: int = 20,
) -> Spectrum:
    r"""The k largest Lyapunov exponents of a product of matrices, by repeated QR.

    With $J_tQ_{t-1} = Q_tR_t$ the exponents are the means of $\log|R_{ii}|$; the product itself,
    which would overflow, is never formed. For k = n they add up to the mean of $\log|\det J_t|$
    (book equation `eq-lyap-sum`). O(T n² k) time, O(nk) memory beside the factors.

    Args:
        jacobians: The factors in time order: a tensor with time first, or an iterable. A batch
            axis holds independent chains, which are averaged.
        k: How many exponents; all if left out.
        burn_in: First factors to leave out of the averages, while Q turns to the directions
            that grow.
        reorth: Factors that are multiplied before each QR; more is faster, and less accurate.
        num_blocks: Blocks of time for the standard error, which assumes that a block is longer
            than the memory of the process.

    Returns:
        The exponents, standard errors, the number of factors averaged, and how many exponents
        are -inf: directions that some factor maps to zero, whose standard error is NaN.

    Raises:
        TypeError: If a factor is not a square matrix of float32 or float64, as the first one.
        ValueError: If a factor is not finite or overflows in a single step, its shape is not that
            of the first one, k is not in 1..n, or fewer than 2 factors are left for a block.

    Source:
        Benettin, Galgani, Giorgilli, Strelcyn (Meccanica 15, 1980).

    Example:
        >>> spectrum = lyapunov(torch.diag(torch.tensor([0.5, 4.0])).expand(60, 2, 2), burn_in=9)
        >>> (spectrum.exponents / torch.tensor(2.0).log()).round(decimals=3)
        tensor([ 2., -1.])
    """
    if burn_in < 0 or reorth < 1 or num_blocks < 2:
        raise ValueError(
            "lyapunov needs burn_in >= 0, reorth >= 1 and num_blocks >= 2, "
            f"got {burn_in}, {reorth} and {num_blocks}."
        )
    rows, Q, seen = [], None, 0
    pending: int = 0
    held: Tensor | float = 0.0  # logarithm of what was divided out since the last QR
    for J in jacobians:
        if Q is None:
            _require_square(J)
            Q, first = _first_directions(J, k), J
        _require_alike(J, first, seen)
        Q = J @ Q
        if not torch.isfinite(Q).all():
            raise ValueError(
                f"lyapunov: factor {seen} is not finite, or overflows; got entries up to "
                f"{J.abs().max().item():.3g}."
            )
        seen, pending = seen + 1, pending + 1
        if pending == reorth or seen == burn_in:
            Q, growth = _turn(Q)
            if seen > burn_in:
                rows.append((growth + held) / pending)
            pending, held = 0, 0.0
        else:
            Q, stretch = _scaled(Q)
            held = held + stretch
    if len(rows) < 2 * num_blocks:
        raise ValueError(
            f"lyapunov needs at least {2 * num_blocks} QR steps after burn-in for {num_blocks} "
            f"blocks, got {len(rows)} (of {seen} factors, burn_in={burn_in}, reorth={reorth})."
        )
    logs = torch.stack(rows).reshape(len(rows), -1, rows[0].shape[-1])  # (steps, chains, k)
    dead = torch.isneginf(logs).flatten(0, 1).any(dim=0)
    return Spectrum(
        logs.mean(dim=(0, 1)),
        torch.where(dead, torch.nan, _block_error(logs, num_blocks)),
        len(rows) * reorth * logs.shape[1],
        int(dead.sum()),
    )


def _require_square(J: Tensor) -> None:
    """The first factor is a matrix that QR can work with."""
    if not isinstance(J, Tensor) or J.ndim < 2 or J.shape[-1] != J.shape[-2]:
        raise TypeError(f"lyapunov needs square matrices, got {_described(J)}.")
    check_precision("lyapunov", J)


def _require_alike(J: Tensor, first: Tensor, place: int) -> None:
    """The factors of one product have one shape, type and device."""
    if not isinstance(J, Tensor) or (J.dtype, J.device) != (first.dtype, first.device):
        raise TypeError(
            f"lyapunov: factor 0 is {_described(first)}, but factor {place} is {_described(J)}."
        )
    if J.shape != first.shape:
        raise ValueError(
            f"lyapunov: factor 0 has shape {tuple(first.shape)}, but factor {place} "
            f"{tuple(J.shape)}."
        )


def _described(J: object) -> str:
    if not isinstance(J, Tensor):
        return f"a {type(J).__name__}"
    return f"{J.dtype} of shape {tuple(J.shape)} on {J.device}"


def _first_directions(J: Tensor, k: int | None) -> Tensor:
    """Orthonormal columns in general position: the axes may be invariant, and stay unsorted."""
    n = J.shape[-1]
    k = n if k is None else k
    if not 1 <= k <= n:
        raise ValueError(f"lyapunov needs 1 <= k <= n={n}, got k={k}.")
    fixed = torch.Generator().manual_seed(n)
    start = torch.randn(n, n, generator=fixed, dtype=torch.float64)
    return torch.linalg.qr(start).Q[:, :k].to(J).expand(*J.shape[:-2], n, k)


def _scaled(Y: Tensor) -> tuple[Tensor, Tensor]:
    """Divided by its largest entry, whose logarithm stands aside: nothing over- or underflows."""
    largest = Y.abs().amax(dim=(-2, -1), keepdim=True)
    largest = torch.where(largest > 0, largest, 1)
    return Y / largest, largest.log()[..., 0]


def _turn(Y: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal directions and the logarithms of their stretching."""
    Q, R = torch.linalg.qr(Y)
    size = R.diagonal(dim1=-2, dim2=-1).abs()
    # A direction that was mapped to zero comes back from QR as rounding noise.
    noise = Y.shape[-2] * torch.finfo(Y.dtype).eps * size.amax(dim=-1, keepdim=True)
    return Q, torch.where(size > noise, size, 0).log()


def _block_error(logs: Tensor, num_blocks: int) -> Tensor:
    """Standard error of the mean: blocks of time, of all chains, as independent draws."""
    length = len(logs) // num_blocks
    blocks = logs[: length * num_blocks].unflatten(0, (num_blocks, length)).mean(dim=1)
    draws = torch.where(torch.isneginf(blocks), 0, blocks).flatten(0, 1)
    return draws.std(dim=0) / len(draws) ** 0.5
