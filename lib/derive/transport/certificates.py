"""Intervals that contain the transport cost, from any prices and any plan (`wasserstein`)."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from derive._typing import typed
from derive.transport._validate import check_cost, check_same_total, check_weights, dot


class Certificate(NamedTuple):
    """lower <= W <= upper, and what proves either side."""

    lower: Tensor
    upper: Tensor
    plan: Tensor
    """A plan with the right sums; it costs `upper`."""
    f: Tensor
    """Feasible prices, worth `lower`."""
    g: Tensor


@typed
def c_transform(f: Float[Tensor, "*b n"], C: Float[Tensor, "*b n m"]) -> Float[Tensor, "*b m"]:
    r"""The best prices of the columns, given those of the rows.

    $f^c_j = \min_i (C_{ij} - f_i)$ (book equation `eq-ot-ctrans`); the other direction is
    `c_transform(g, C.mT)`. O(nm) time and memory.

    Args:
        f: Prices of the rows; -inf takes a row out of the minimum.
        C: Costs.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If a cost is NaN or -inf, or a price NaN or +inf.

    Example:
        >>> c_transform(torch.tensor([0.0, 1.0]), torch.tensor([[4.0, 1.0], [2.0, 3.0]]))
        tensor([1., 1.])
    """
    check_cost(C)
    if not (f < torch.inf).all():
        raise ValueError("prices must be < inf, got NaN or +inf; -inf takes a row out.")
    return (C - f[..., :, None]).amin(dim=-2)


@typed
def round_plan(
    G: Float[Tensor, "*b n m"], p: Float[Tensor, "*b n"], q: Float[Tensor, "*b m"]
) -> Float[Tensor, "*b n m"]:
    r"""A plan with row sums p and column sums q that is close to G.

    Scales down the rows that are too heavy, then the columns, and adds what is missing as a
    product of the two deficits. Moves at most $2(\|G1-p\|_1 + \|G^\top 1-q\|_1)$ of mass (book
    equation `eq-sk-round`). O(nm) time and memory.

    Args:
        G: Any matrix with entries >= 0.
        p: Wanted row sums.
        q: Wanted column sums, of the same total.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If an entry of G is negative or not finite, or p and q are no weights of
            equal total.

    Source:
        Altschuler, Weed, Rigollet (NeurIPS 2017), algorithm 2.

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> round_plan(torch.ones(2, 2), half, half)
        tensor([[0.2500, 0.2500],
                [0.2500, 0.2500]])
    """
    _check_plan(G, p, q)
    return _rounded(G, p, q)


def _check_plan(G: Tensor, p: Tensor, q: Tensor) -> None:
    check_weights("p", p)
    check_weights("q", q)
    check_same_total(p, q)
    if not torch.isfinite(G).all() or (G < 0).any():
        raise ValueError(
            f"a plan to round has finite entries >= 0, got entries from {G.min().item():.3g} to "
            f"{G.max().item():.3g}; an overflowed one is none."
        )


def _rounded(G: Tensor, p: Tensor, q: Tensor) -> Tensor:
    G = G * _shrink(G.sum(dim=-1), p)[..., :, None]
    G = G * _shrink(G.sum(dim=-2), q)[..., None, :]
    rows = (p - G.sum(dim=-1)).clamp(min=0)
    columns = (q - G.sum(dim=-2)).clamp(min=0)
    missing = columns.sum(dim=-1).clamp(min=torch.finfo(G.dtype).tiny)
    return G + rows[..., :, None] * (columns / missing[..., None])[..., None, :]


def _shrink(sums: Tensor, wanted: Tensor) -> Tensor:
    heavy = sums > wanted
    return torch.where(heavy, wanted / torch.where(heavy, sums, 1.0), 1.0)


@typed
def certificate(
    p: Float[Tensor, "*b n"],
    q: Float[Tensor, "*b m"],
    C: Float[Tensor, "*b n m"],
    f: Float[Tensor, "*b n"],
    G: Float[Tensor, "*b n m"],
) -> Certificate:
    r"""An interval that contains the transport cost W, from any prices f and any matrix G >= 0.

    $f^{cc}\cdot p + f^{c}\cdot q \le W \le \langle R, C\rangle$ with R the rounded G (book
    equation `eq-sk-cert`). Computed in float64 whatever the input's dtype, and widened on both
    sides by the largest cost times the total weight times 8 machine epsilons of that dtype (for
    the rounding of the costs) plus the rounding by which the two totals differ. O(nm) time and
    memory.

    Args:
        p: Weights of the rows; rows of weight zero count for nothing.
        q: Weights of the columns, of the same total.
        C: Costs; +inf forbids a route.
        f: Prices of the rows: a Sinkhorn potential, a guess, zeros.
        G: A plan, or nearly one.

    Returns:
        A `Certificate`; its bounds are in float64. `upper` is infinite where rounding has to
        use a forbidden route.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If weights, costs or G are invalid, or f is not finite.

    Example:
        >>> half, C = torch.tensor([0.5, 0.5]), torch.tensor([[4.0, 1.0], [2.0, 3.0]])
        >>> bounds = certificate(half, half, C, torch.zeros(2), torch.ones(2, 2))
        >>> [round(bound.item(), 3) for bound in bounds[:2]]
        [1.5, 2.5]
    """
    check_cost(C)
    _check_plan(G, p, q)
    if not torch.isfinite(f).all():
        raise ValueError(
            "certificate needs finite prices f, got NaN or infinity; zeros are always allowed."
        )
    unit = torch.finfo(C.dtype).eps
    p, q, C, f, G = (x.detach().double() for x in (p, q, C, f, G))
    excess = p.sum(dim=-1) / q.sum(dim=-1)
    q = q * excess[..., None]
    plan = _rounded(G, p, q)
    nowhere = C.new_tensor(-torch.inf)
    g = _reachable(c_transform(torch.where(p > 0, f, nowhere), C))
    f = _reachable(c_transform(torch.where(q > 0, g, nowhere), C.mT))
    largest = torch.where(torch.isfinite(C), C.abs(), 0.0).amax(dim=(-2, -1))
    margin = (8 * unit + (excess - 1).abs()) * largest * p.sum(dim=-1)
    lower = dot(f, p) + dot(g, q) - margin
    upper = dot(C.flatten(-2), plan.flatten(-2)) + margin
    return Certificate(lower, upper, plan, f, g)


def _reachable(prices: Float64[Tensor, "*b n"]) -> Tensor:
    # What no route reaches may have any price: 0.
    return torch.where(torch.isinf(prices), 0.0, prices)
