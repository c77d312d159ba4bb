"""How far a map changes squared distances, over all pairs (chapter `jl-lemma`)."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from derive._typing import typed
from derive.random_projection.matrices import check_dims, check_finite

_LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BINS = 64
# Errors are counted by the leading bits of their float32 form: 10 bits of mantissa, that is
# 1 part in 2000 at every scale, without keeping n² numbers or knowing their range beforehand.
_DROPPED_BITS = 13
_KEYS = 2 ** (31 - _DROPPED_BITS)


class DistortionReport(NamedTuple):
    """Errors e = |y_i - y_j|² / |x_i - x_j|² - 1 of *squared* distances over pairs i < j.

    An error of epsilon here is one of about epsilon/2 in the distance itself.
    """

    max: float  # largest |e|
    low: float  # smallest e
    high: float  # largest e
    mean: float  # of e
    std: float  # of e, around its mean
    quantiles: dict[float, float]  # share of pairs -> quantile of |e|, to 1 part in 2000
    counts: Int64[Tensor, "bins"]  # histogram of e: 64 equal bins
    edges: Float[Tensor, "edges"]  # their 65 edges, from low to high
    pairs: int  # pairs compared
    skipped: int  # pairs at distance 0 in x, which have no relative error


@typed
def distortion(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n k"], *, block: int = 2048
) -> DistortionReport:
    r"""Relative errors of all squared distances when the points x become the points y.

    Over all $\binom n2$ pairs (book equation `jl-lemma`): extremes, moments, quantiles and a
    histogram of $e_{ij} = \|y_i - y_j\|^2 / \|x_i - x_j\|^2 - 1$. O(n²(d + k)) time, O(block²)
    memory. Squared distances come from float64 Gram matrices, and where these would cancel
    (close pairs) from direct differences, so that near-duplicates are right and duplicates are
    found exactly; they are skipped and counted.

    Args:
        x: Original points.
        y: Their images, in the same order; the dimension may differ.
        block: Points compared at a time.

    Returns:
        A `DistortionReport`.

    Raises:
        ValueError: If n < 2, block < 1, x or y is not finite, or all points coincide.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
        >>> report = distortion(x, x * torch.tensor([1.0, 0.5]))
        >>> report.max, report.pairs, report.skipped
        (0.75, 5, 1)
    """
    n = len(x)
    if n < 2:
        raise ValueError(f"distortion needs at least 2 points, got n={n}.")
    check_dims(block=block, d=x.shape[1], k=y.shape[1])
    check_finite(x=x, y=y)
    tally = _Tally(x.device)
    starts = range(0, n, block)
    for i in starts:
        for j in starts[i // block :]:
            before = _squared_distances(x, i, j, block)
            after = _squared_distances(y, i, j, block)
            if i == j:
                pairs = torch.ones_like(before, dtype=torch.bool).triu_(1)
                before, after = before[pairs], after[pairs]
            tally.add(before.flatten(), after.flatten())
    return tally.report()


class _Tally:
    """What is kept of the errors seen so far."""

    def __init__(self, device: torch.device):
        self.counts = torch.zeros(2 * _KEYS, dtype=torch.int64, device=device)
        self.pairs = self.skipped = 0
        self.low, self.high = float("inf"), -float("inf")
        self.mean = self.squares = 0.0

    def add(self, before: Tensor, after: Tensor) -> None:
        apart = before > 0
        self.skipped += int((~apart).sum())
        e = (after[apart] / before[apart]).sub_(1)
        if not len(e):
            return
        if not torch.isfinite(e.sum()):
            raise ValueError("ratios of squared distances overflow; rescale x and y.")
        # Means and squares of groups combine by the parallel formula of Chan, Golub & LeVeque.
        count, mean = len(e), e.mean().item()
        total, step = self.pairs + count, mean - self.mean
        self.squares += ((e - mean) ** 2).sum().item() + step**2 * self.pairs * count / total
        self.mean += step * count / total
        self.pairs = total
        self.low, self.high = min(self.low, e.min().item()), max(self.high, e.max().item())
        bits = e.float().view(torch.int32)
        keys = ((bits & 0x7FFFFFFF) >> _DROPPED_BITS) + _KEYS * (bits < 0)
        self.counts += torch.bincount(keys, minlength=2 * _KEYS)

    def report(self) -> DistortionReport:
        if not self.pairs:
            raise ValueError(f"all points of x coincide: {self.skipped} pairs at distance 0.")
        keys = torch.arange(_KEYS, dtype=torch.int32, device=self.counts.device)
        middles = ((keys << _DROPPED_BITS) + 2 ** (_DROPPED_BITS - 1)).view(torch.float32).double()
        largest = max(abs(self.low), abs(self.high))
        positive, negative = self.counts[:_KEYS], self.counts[_KEYS:]
        below = (positive + negative).cumsum(0).double()
        levels = torch.tensor(_LEVELS, dtype=torch.float64, device=below.device)
        at = torch.searchsorted(below, levels * self.pairs)
        quantiles = middles[at].clamp(max=largest)
        # One wide bin more than nothing when all errors are the same number.
        width = max(self.high - self.low, 1e-12) / _BINS
        counts = self._histogram(positive, middles, width)
        counts += self._histogram(negative, -middles, width)
        return DistortionReport(
            max=largest,
            low=self.low,
            high=self.high,
            mean=self.mean,
            std=(self.squares / self.pairs) ** 0.5,
            quantiles=dict(zip(_LEVELS, quantiles.tolist(), strict=True)),
            counts=counts.cpu(),
            edges=self.low + width * torch.arange(_BINS + 1, dtype=torch.float64),
            pairs=self.pairs,
            skipped=self.skipped,
        )

    def _histogram(self, counts: Tensor, values: Tensor, width: float) -> Tensor:
        seen = counts > 0
        bins = ((values[seen] - self.low) / width).clamp(0, _BINS - 1).long()
        return torch.zeros(_BINS, dtype=torch.int64, device=counts.device).index_add_(
            0, bins, counts[seen]
        )


def _squared_distances(x: Tensor, i: int, j: int, block: int) -> Tensor:
    """Squared distances between two blocks of rows, float64, exact where they are small."""
    # Distances do not change when a point of the block becomes the origin; cancellation does.
    left = x[i : i + block].double()
    right = x[j : j + block].double()
    origin = left.mean(dim=0)
    left, right = left - origin, right - origin
    sizes = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1)[None, :]
    squares = torch.addmm(sizes, left, right.T, alpha=-2)
    # A relative error of 1e-15 in `sizes` is one of 1e-9 here; closer pairs are done directly.
    close = torch.nonzero(squares <= 1e-6 * sizes)
    for some in close.split(max(1, 2**20 // x.shape[1])):
        a, b = some.unbind(1)
        difference = x[i + a].double() - x[j + b].double()
        squares[a, b] = difference.square().sum(dim=1)
    return squares
