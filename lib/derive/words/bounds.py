"""Bounds on text distances that need no transport problem (chapter `wmd-wrd`).

All take batches of texts filled up with words of weight zero.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import finite_or_explained
from derive.transport import cost_matrix
from derive.words.distances import directions, text_weights


@typed
def wcd(
    x: Float[Tensor, "*b n d"],
    y: Float[Tensor, "*b m d"],
    p: Float[Tensor, "*b n"] | None = None,
    q: Float[Tensor, "*b m"] | None = None,
) -> Float[Tensor, "*b"]:
    r"""Word centroid distance: between the weighted means, $\le$ WMD (equation `eq-wcd`).

    By Jensen; equal to WMD when one text is the other shifted. Not comparable with RWMD
    (`eq-no-chain`). O((n + m)d). Arguments and errors as for `wmd`.

    Example:
        >>> wcd(torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0]]))
        tensor(3.)
    """
    between = mean(x, text_weights("x", x, p)) - mean(y, text_weights("y", y, q))
    return finite_or_explained("wcd", between.norm(dim=-1), x=x, y=y)


@typed
def projected_bound(
    x: Float[Tensor, "*b n d"],
    y: Float[Tensor, "*b m d"],
    p: Float[Tensor, "*b n"] | None = None,
    q: Float[Tensor, "*b m"] | None = None,
    *,
    direction: Float[Tensor, "*b d"] | None = None,
) -> Float[Tensor, "*b"]:
    r"""$W_1$ of the texts' shadows on a line, $\le$ WMD (equation `eq-pwd`).

    Args:
        x, y, p, q: As for `wmd`.
        direction: Of the line, of any length but zero. Left out, it leads from one centroid to
            the other; the bound is then never below `wcd`.

    Raises:
        TypeError, ValueError: As for `wmd`; a zero direction is refused.

    Example:
        >>> x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0]])
        >>> wcd(x, y), projected_bound(x, y, direction=torch.ones(1))
        (tensor(0.), tensor(1.))
    """
    p, q = text_weights("x", x, p), text_weights("y", y, q)
    if direction is None:
        direction = mean(x, p) - mean(y, q)  # zero where the centroids agree: the bound is 0
    elif not torch.isfinite(direction).all() or not (direction.norm(dim=-1) > 0).all():
        raise ValueError(
            "projected_bound needs a finite direction other than zero, got one of length "
            f"{direction.norm(dim=-1).min().item():.3g}."
        )
    unit = direction / direction.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return on_a_line(x @ unit[..., None], y @ unit[..., None], p, q)


@typed
def rwmd(
    x: Float[Tensor, "*b n d"],
    y: Float[Tensor, "*b m d"],
    p: Float[Tensor, "*b n"] | None = None,
    q: Float[Tensor, "*b m"] | None = None,
) -> Float[Tensor, "*b"]:
    r"""Relaxed WMD: every word to its nearest, the larger of both sides (equation `eq-rwmd`).

    Zero whenever the texts use the same words, in whatever proportions. O(nmd) time, O(nm)
    memory. Arguments and errors as for `wmd`.

    Example:
        >>> rwmd(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0]]))
        tensor(2.)
    """
    p, q = text_weights("x", x, p), text_weights("y", y, q)
    return relaxed(cost_matrix(x, y, cost="euclidean"), p, q)


@typed
def ict(
    x: Float[Tensor, "*b n d"],
    y: Float[Tensor, "*b m d"],
    p: Float[Tensor, "*b n"] | None = None,
    q: Float[Tensor, "*b m"] | None = None,
) -> Float[Tensor, "*b"]:
    r"""RWMD with capacities: no word receives more from one word than it holds (`eq-ict`).

    Each word of one text fills the words of the other from the nearest on; the larger of both
    sides. RWMD $\le$ ICT $\le$ WMD. O(nm(d + log nm)) time, O(nm) memory. Arguments and errors
    as for `wmd`.

    Source:
        Atasu, Mittelholzer (ICML 2019), who call it iterative constrained transfers and stop
        after a few; this is the bound with all of them.

    Example:
        >>> x = torch.tensor([[0.0], [1.0]])
        >>> p, q = torch.tensor([9.0, 1.0]), torch.tensor([1.0, 9.0])
        >>> rwmd(x, x, p, q), ict(x, x, p, q)
        (tensor(0.), tensor(0.8000))
    """
    p, q = text_weights("x", x, p), text_weights("y", y, q)
    return capacitated(cost_matrix(x, y, cost="euclidean"), p, q)


class WRDBounds(NamedTuple):
    """What is known of a Word Rotator's distance before anything is solved."""

    mean: Tensor
    """Half the squared distance of the mean directions (`eq-wrd-seed`)."""
    gelbrich: Tensor
    """`upper` minus a nuclear norm; never below `mean` (`eq-wrd-gelbrich`)."""
    relaxed: Tensor
    """Every word to its nearest, the larger of both sides."""
    upper: Tensor
    """Cost of the independent coupling (`eq-wrd-upper`)."""


@typed
def wrd_bounds(
    x: Float[Tensor, "*b n d"],
    y: Float[Tensor, "*b m d"],
    p: Float[Tensor, "*b n"] | None = None,
    q: Float[Tensor, "*b m"] | None = None,
) -> WRDBounds:
    r"""Three lower bounds on the Word Rotator's distance, and an upper one.

    The upper bound is the cost under independence, which is what the cosine of summed vectors
    contains; Gelbrich's bound subtracts the nuclear norm of the centred matrix of cosines, the
    most that any coupling can gain. O(nmd + nm min(n, m)) time, O(nm) memory.

    Args:
        x, y, p, q: As for `wrd`.

    Raises:
        TypeError, ValueError: As for `wrd`.

    Source:
        Gelbrich (1990) for the second; the first is Su Jianlin's (2020).

    Example:
        >>> bounds = wrd_bounds(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
        >>> [round(bound.item(), 5) for bound in bounds]  # one word each: all agree
        [1.0, 1.0, 1.0, 1.0]
    """
    x, p = directions("x", x, p)
    y, q = directions("y", y, q)
    C = cost_matrix(x, y, cost="euclidean").square() / 2
    between = (mean(x, p) - mean(y, q)).square().sum(dim=-1) / 2
    return WRDBounds(between, gelbrich_of_cosines(C, p, q), relaxed(C, p, q), independent(C, p, q))


def mean(x: Tensor, p: Tensor) -> Tensor:
    """(*b, n, d), (*b, n) -> (*b, d)"""
    return (p[..., None, :] @ x)[..., 0, :]


def relaxed(C: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Each side to its nearest, where words of weight zero are nobody's nearest."""
    nearest_x = torch.where(q[..., None, :] > 0, C, torch.inf).amin(dim=-1)
    nearest_y = torch.where(p[..., :, None] > 0, C, torch.inf).amin(dim=-2)
    return torch.maximum((p * nearest_x).sum(dim=-1), (q * nearest_y).sum(dim=-1))


def capacitated(C: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Each side to its nearest, as far as they hold; costs are >= 0."""
    return torch.maximum(_fill_nearest(C, p, q), _fill_nearest(C.mT, q, p))


def _fill_nearest(C: Tensor, p: Tensor, q: Tensor) -> Tensor:
    costs, order = C.sort(dim=-1)
    room = q[..., None, :].expand_as(C).gather(-1, order)
    filled_before = room.cumsum(dim=-1) - room
    sent = torch.minimum(room, (p[..., :, None] - filled_before).clamp(min=0))
    return (sent * costs).sum(dim=(-2, -1))


def independent(C: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Cost of the coupling in which everything goes everywhere: an upper bound."""
    return (p[..., None, :] @ C @ q[..., :, None])[..., 0, 0]


def gelbrich_of_cosines(C: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Gelbrich's bound from C = 1 - cosines alone: centring needs no vectors."""
    K = 1 - C
    to_y, to_x = K @ q[..., :, None], p[..., None, :] @ K  # inner products with the means
    both = to_x @ q[..., :, None]
    centred = p[..., :, None].sqrt() * (K - to_y - to_x + both) * q[..., None, :].sqrt()
    gain = torch.linalg.svdvals(centred).sum(dim=-1)
    return (1 - both[..., 0, 0] - gain).clamp(min=0)


def on_a_line(a: Tensor, b: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """W1 of two weighted sets of numbers, shapes (*b, n, 1) and (*b, m, 1): area between CDFs."""
    places, order = torch.cat([a, b], dim=-2)[..., 0].sort(dim=-1)
    jumps = torch.cat([p, -q], dim=-1).gather(-1, order)
    difference = jumps.cumsum(dim=-1)[..., :-1].abs()
    return (difference * places.diff(dim=-1)).sum(dim=-1)
