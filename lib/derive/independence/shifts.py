"""HSIC for all n cyclic shifts at once, by fast Fourier transforms (chapter `hsic`)."""

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite, check_precision, finite_or_explained
from derive.independence._evaluate import evaluators
from derive.independence.kernels import Kernel

# Up to here the n x n matrix of y is kept, and many relabellings share one batch of transforms.
_SMALL = 512
_BATCH_ELEMENTS = 2**20


@typed
def cyclic_shift_statistics(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n p"],
    kernel_x: Kernel,
    kernel_y: Kernel,
    *,
    orders: Int[Tensor, "c n"] | None = None,
    block: int | None = None,
) -> Float64[Tensor, "c n"]:
    r"""HSIC (V-statistic) of x and every cyclic shift of y, in O(n²(d + log n)) for all n of them.

    Entry (c, s) is the estimate for the pairs $(x_i, y_{\sigma_c(i + s)})$, indices modulo n (book
    equation `hsic-shift`). Along the t-th diagonal the Gram matrix of x is a signal
    $k_t(i) = K_{i,i+t}$; shifting y moves every such signal of L by s, so
    $\langle K, L_s\rangle$ is a sum of circular cross-correlations: one real FFT a diagonal, and
    one inverse FFT in the end. By symmetry half of the diagonals do. Memory is O(n block): no
    Gram matrix is stored beyond n = 512.

    Args:
        x: First variable, one observation a row.
        y: Second variable, same observations in the same order.
        kernel_x: `Gaussian(gamma)`, `Linear()`, `Distance()`, or a function of two matrices.
        kernel_y: The same for y.
        orders: Relabellings of y, one a row; the order of the data alone if left out.
        block: Diagonals that are transformed together.

    Returns:
        The statistics, in float64 (transforms are in the dtype of the data, sums are not);
        column 0 of the identity relabelling is `hsic_v`.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If n < 2, the data hold NaN or infinity, a kernel gives such or overflows,
            orders has no row or one that is no permutation, or block < 1.

    Example:
        >>> from derive.independence import Linear
        >>> x = torch.tensor([[-1.0], [0.0], [1.0]])
        >>> cyclic_shift_statistics(x, x, Linear(), Linear())
        tensor([[0.4444, 0.1111, 0.1111]], dtype=torch.float64)
    """
    n = len(x)
    if n < 2:
        raise ValueError(f"cyclic_shift_statistics needs at least 2 observations, got n={n}.")
    if orders is None:
        orders = torch.arange(n, device=x.device)[None]
    elif not torch.equal(orders.sort(dim=1).values, torch.arange(n).to(orders).expand_as(orders)):
        raise ValueError(f"each row of orders must be a permutation of 0 … {n - 1}.")
    elif len(orders) == 0:
        raise ValueError(f"orders must have a row, got shape {tuple(orders.shape)}.")
    check_finite("x", x)
    check_finite("y", y)
    return shift_statistics(x, y, kernel_x, kernel_y, orders, block)[0]


@torch.no_grad()
def shift_statistics(
    x: Tensor, y: Tensor, kernel_x: Kernel, kernel_y: Kernel, orders: Tensor, block: int | None
) -> tuple[Tensor, float]:
    """The statistics in float64, and a bound on the rounding between two that should be equal."""
    n = len(x)
    check_precision("the transform of cyclic shifts", x)
    if block is not None and block < 1:
        raise ValueError(f"block must be at least 1 diagonal, got {block}.")
    if n <= _SMALL:
        K, L = (_gram(source) for source in evaluators(kernel_x, x, kernel_y, y))
        batch = max(1, _BATCH_ELEMENTS // (n * (n // 2 + 1)))
        parts = [_from_stored(K, L, some) for some in orders.split(batch)]
        statistics = finite_or_explained("HSIC of cyclic shifts", torch.cat(parts), x=x, y=y)
        return statistics, _rounding(K.norm(), L.norm(), n, K.dtype)
    block = min(block or (64 if x.device.type == "cpu" else 256), n)
    done = [
        _from_bands(*(_Bands(source, block) for source in evaluators(kernel_x, x, kernel_y, moved)))
        for moved in (y[order] for order in orders)
    ]
    statistics = torch.stack([statistics for statistics, _ in done])
    finite_or_explained("HSIC of cyclic shifts", statistics, x=x, y=y)
    return statistics, max(bound for _, bound in done)


def _from_bands(x: "_Bands", y: "_Bands") -> tuple[Tensor, float]:
    n = x.source.n
    length = _transform_length(n)
    spectrum = torch.zeros(length // 2 + 1, dtype=torch.complex128, device=x.room.device)
    for start in range(0, n // 2 + 1, x.width):
        K, L = (torch.fft.rfft(bands.read(start), n=length) for bands in (x, y))
        # Diagonals t and n - t are one signal, moved: they correlate to the same sums.
        spectrum += 2 * torch.linalg.vecdot(K, L, dim=0)
        for t in _unpaired(n, start, len(K)):
            spectrum -= K[t].conj() * L[t]
    rounding = _rounding(x.norm, y.norm, n, x.room.dtype)
    return _centred(spectrum, x.rows, y.rows), rounding


class _Bands:
    """The diagonals 0 … n/2 of a Gram matrix, a block at a time; row sums are kept on the way."""

    def __init__(self, source, width: int):
        self.source, self.width, n = source, width, source.n
        source.wrap(n // 2 + 3 * width)
        # A band stands on the right; on its left its last columns are repeated (see _mirrored).
        self.room = torch.empty(width, width + n, dtype=source.dtype, device=source.device)
        self.rows = torch.zeros(n, dtype=torch.float64, device=source.device)
        # Centring ignores constants. Without the mean, single precision keeps three digits more.
        first = source.band(0, self.room[:, width:])
        self.mean = first.mean()
        self.norm = n * (first - self.mean).square().mean().sqrt()  # about |K|: each row is in it

    def read(self, start: int) -> Tensor:
        """Diagonals start, start + 1, … as the rows of a matrix; add them to the row sums."""
        n, width = self.source.n, min(self.width, self.source.n // 2 + 1 - start)
        band = self.source.band(start, self.room[:width, self.width :])
        band -= self.mean
        self.rows += band.sum(dim=0) + self._mirrored(width).roll(start)
        for t in _unpaired(n, start, width):
            self.rows -= band[t].roll(start + t)
        return band

    def _mirrored(self, width: int) -> Tensor:
        """Sum over t of the band's entry (t, i - t): these are K_{i, i-t}, by symmetry."""
        n, row = self.source.n, self.width + self.source.n
        self.room[:width, : self.width] = self.room[:width, n:]
        return self.room.as_strided((width, n), (row - 1, 1), self.width).sum(dim=0)


def _from_stored(K: Tensor, L: Tensor, orders: Tensor) -> Tensor:
    """The same sums from Gram matrices in memory, for a batch of relabellings of L."""
    n = len(K)
    index = torch.arange(n, device=K.device)
    across = (index + index[: n // 2 + 1, None]) % n  # (t, i) -> i + t
    weights = torch.full((len(across), 1), 2.0, dtype=K.dtype, device=K.device)
    weights[_unpaired(n, 0, len(across))] = 1.0
    length = _transform_length(n)
    K_hat = torch.fft.rfft(weights * K[index, across], n=length)
    L_hat = torch.fft.rfft(L.take(orders[:, None, :] * n + orders[:, across]), n=length)
    spectrum = (K_hat.conj() * L_hat).sum(dim=1)
    return _centred(spectrum.to(torch.complex128), K.sum(dim=1), L.sum(dim=1)[orders])


def _gram(source) -> Tensor:
    everything, n = slice(0, source.n), source.n
    room = torch.empty(n, n, dtype=source.dtype, device=source.device)
    K = source.tile(everything, everything, room)
    return K - K.mean()


def _unpaired(n: int, start: int, width: int) -> list[int]:
    """Rows of a band whose diagonal is its own mirror image: t = 0, and t = n/2 for even n."""
    unpaired = [0] if n % 2 else [0, n // 2]
    return [t - start for t in unpaired if start <= t < start + width]


def _transform_length(n: int) -> int:
    """n where a fast transform of that length exists, else a good length of at least 2n."""
    if n <= _SMALL or _is_smooth(n):
        return n
    length = 2 * n
    while not _is_smooth(length):
        length += 1
    return length


def _is_smooth(n: int) -> bool:
    for prime in (2, 3, 5, 7, 11, 13):
        while n % prime == 0:
            n //= prime
    return n == 1


def _centred(spectrum: Tensor, k: Tensor, ell: Tensor) -> Tensor:
    """From the spectrum of all sums and the row sums to V-statistics, one a shift."""
    n = len(k)
    k, ell = k.double(), ell.double()
    length = _transform_length(n)
    inner = torch.fft.irfft(spectrum, n=length)
    # Zeros behind the signals leave the lags s and s - n apart: the circle joins them.
    inner = inner if length == n else inner[..., :n] + inner[..., -n:]
    cross = torch.fft.irfft(torch.fft.rfft(k).conj() * torch.fft.rfft(ell), n=n)
    return inner / n**2 + k.sum() * ell.sum(dim=-1, keepdim=True) / n**4 - 2 * cross / n**3


def _rounding(K_norm: Tensor, L_norm: Tensor, n: int, dtype: torch.dtype) -> float:
    """Each sum is at most |K| |L| by Cauchy-Schwarz; equal ones differ by a few units of that."""
    return 2 * torch.finfo(dtype).eps * (K_norm * L_norm).item() / n**2
