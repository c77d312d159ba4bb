"""Sums over all pairs of two point clouds, a block at a time: O(n + m) memory beside the block."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from derive.transport._sweeps import exp_
from derive.transport._validate import check_points
from derive.transport.costs import Cost


class Clouds(NamedTuple):
    """Two clouds about their common centre, which keeps digits, and how to walk over pairs."""

    x: Tensor
    y: Tensor
    cost: Cost
    block: int  # elements of a block

    @property
    def turned(self) -> "Clouds":
        return Clouds(self.y, self.x, self.cost, self.block)

    @property
    def largest_cost(self) -> float:
        """An upper bound on the cost of any pair."""
        reach = (self.x.norm(dim=1).max() + self.y.norm(dim=1).max()).item()
        # As a product it becomes infinite where a power of Python's raises.
        return reach if self.cost == "euclidean" else reach * reach

    @property
    def margin(self) -> float:
        """What the rounding of the costs and of sums over them may amount to."""
        unit = torch.finfo(self.x.dtype).eps
        return 8 * (self.x.shape[1] + 4) * unit * self.largest_cost


def clouds(x: Tensor, y: Tensor, cost: Cost, block: int | None) -> Clouds:
    check_points("x", x)
    check_points("y", y)
    if block is not None and block < 1:
        raise ValueError(f"block must be at least 1 element, got {block}.")
    centre = (x.mean(dim=0) + y.mean(dim=0)) / 2
    # A block on a CPU should stay in its cache; a GPU wants enough to do.
    block = block or (2**18 if x.device.type == "cpu" else 2**25)
    pairs = Clouds(x - centre, y - centre, cost, block)
    # Distances are computed from their squares, which overflow first.
    if not pairs._replace(cost="sqeuclidean").largest_cost <= torch.finfo(x.dtype).max:
        sizes = f"x up to {x.abs().max().item():.3g}, y up to {y.abs().max().item():.3g}"
        raise ValueError(f"the costs overflow in {x.dtype}: got {sizes}; rescale.")
    return pairs


def cost_blocks(pairs: Clouds) -> Iterator[tuple[slice, Tensor]]:
    """Rows of the cost matrix, in order, in memory that the next step overwrites."""
    x, y, cost, _ = pairs
    rows = max(1, min(len(x), pairs.block // len(y)))
    room = torch.empty(rows, len(y), dtype=x.dtype, device=x.device)
    if cost == "euclidean":
        for part in _slices(len(x), rows):
            yield (
                part,
                torch.cdist(x[part], y, compute_mode="donot_use_mm_for_euclid_dist"),
            )
        return
    minus_two_y, x_square, y_square = -2 * y.T, x.square().sum(dim=1), y.square().sum(dim=1)
    for part in _slices(len(x), rows):
        C = room[: part.stop - part.start]
        torch.addmm(y_square, x[part], minus_two_y, out=C)
        yield part, C.add_(x_square[part, None]).clamp_(min=0)


def log_sum(pairs: Clouds, h: Tensor, epsilon: float) -> Tensor:
    r"""$\log\sum_j \exp(h_j - c(x_i, y_j)/\varepsilon)$ for every i."""
    result = torch.empty(len(pairs.x), dtype=h.dtype, device=h.device)
    if pairs.cost == "sqeuclidean":
        return _log_sum_of_products(pairs, h, epsilon, result)
    for part, C in cost_blocks(pairs):
        result[part] = _log_sum_rows(torch.add(h, C, alpha=-1 / epsilon, out=C))
    return result


def _log_sum_of_products(pairs: Clouds, h: Tensor, epsilon: float, result: Tensor) -> Tensor:
    # Softmax attention: queries 2x/epsilon, keys y, a bias for each key; |x|^2 stays outside.
    x, y, _, block = pairs
    rows = max(1, min(len(x), block // len(y)))
    room = torch.empty(rows, len(y), dtype=x.dtype, device=x.device)
    queries, keys = x * (2 / epsilon), y.T
    bias = h - y.square().sum(dim=1) / epsilon
    for part in _slices(len(x), rows):
        S = room[: part.stop - part.start]
        torch.addmm(bias, queries[part], keys, out=S)
        result[part] = _log_sum_rows(S)
    return result.sub_(x.square().sum(dim=1) / epsilon)


def _log_sum_rows(S: Tensor) -> Tensor:
    top = S.amax(dim=1, keepdim=True)
    return exp_(S.sub_(top)).sum(dim=1).log_().add_(top[:, 0])


def lowest(pairs: Clouds, g: Tensor) -> Tensor:
    r"""$\min_j (c(x_i, y_j) - g_j)$ for every i."""
    result = torch.empty(len(pairs.x), dtype=g.dtype, device=g.device)
    for part, C in cost_blocks(pairs):
        result[part] = C.sub_(g).amin(dim=1)
    return result


def spread(pairs: Clouds) -> Tensor:
    """The largest variation of the cost within a column."""
    low = torch.full_like(pairs.y[:, 0], torch.inf)
    high = torch.zeros_like(low)
    for _, C in cost_blocks(pairs):
        torch.minimum(low, C.amin(dim=0), out=low)
        torch.maximum(high, C.amax(dim=0), out=high)
    return (high - low).max()


def _slices(n: int, rows: int) -> Iterator[slice]:
    return (slice(start, min(start + rows, n)) for start in range(0, n, rows))
