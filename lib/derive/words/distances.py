"""Word Mover's and Word Rotator's distance of two texts, exactly (chapter `wmd-wrd`)."""

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import finite_or_explained
from derive.transport import cost_matrix, emd_cost


@typed
def wmd(
    x: Float[Tensor, "*b n d"],
    y: Float[Tensor, "*b m d"],
    p: Float[Tensor, "*b n"] | None = None,
    q: Float[Tensor, "*b m"] | None = None,
) -> Float[Tensor, "*b"]:
    r"""Word Mover's distance: optimal transport between two texts, Euclidean cost.

    $W_1$ of the texts' normalised bags of words (book equation `eq-wmd-def`). With equal numbers
    of words and no weights it is an assignment problem (`eq-wmd-token`), far faster. O(n³) time
    at worst, O(nm) memory.

    Args:
        x: Vectors of the first text, one word a row; a word may stand in several rows.
        y: Vectors of the second text.
        p: Weights of the first text's rows, such as counts: >= 0, divided by their sum. Equal
            weights if left out.
        q: Weights of the second text's rows.

    Returns:
        The distance, in units of the vectors; exactly 0 for identical texts.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If a text has no word, an entry is not finite, or weights are negative or
            all zero.

    Source:
        Kusner, Sun, Kolkin, Weinberger (ICML 2015).

    Example:
        >>> wmd(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
        tensor(5.)
    """
    p, q = text_weights("x", x, p), text_weights("y", y, q)
    return _solve(cost_matrix(x, y, cost="euclidean"), p, q)


@typed
def wrd(
    x: Float[Tensor, "*b n d"],
    y: Float[Tensor, "*b m d"],
    p: Float[Tensor, "*b n"] | None = None,
    q: Float[Tensor, "*b m"] | None = None,
) -> Float[Tensor, "*b"]:
    r"""Word Rotator's distance: norms are the weights, 1 - cosine is the cost.

    Book equation `eq-wrd-def`; it is half of a squared $W_2$ on the sphere (`eq-wrd-w2`), so
    that its root is a metric and it is none. Unchanged if all vectors of a text are multiplied
    by one positive number. O(n³) time at worst, O(nm) memory.

    Args:
        x: Vectors of the first text, one word a row, none of them zero.
        y: Vectors of the second text.
        p: How often each row counts (default: once); its weight is this times its norm.
        q: The same for the second text.

    Returns:
        The distance in [0, 2]; exactly 0 for identical texts.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If a text has no word, a vector is zero or not finite, or weights are negative
            or all zero.

    Source:
        Yokoi, Takahashi, Akama, Suzuki, Inui (EMNLP 2020).

    Example:
        >>> wrd(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])).round(decimals=5)
        tensor(1.)
    """
    x, p = directions("x", x, p)
    y, q = directions("y", y, q)
    return _solve(cost_matrix(x, y, cost="euclidean").square() / 2, p, q)


@typed
def wrd_similarity(
    x: Float[Tensor, "*b n d"],
    y: Float[Tensor, "*b m d"],
    p: Float[Tensor, "*b n"] | None = None,
    q: Float[Tensor, "*b m"] | None = None,
) -> Float[Tensor, "*b"]:
    """Mean cosine under the best coupling, 1 - WRD: in [-1, 1]; arguments as for `wrd`.

    Example:
        >>> wrd_similarity(torch.tensor([[2.0, 0.0]]), torch.tensor([[-1.0, 0.0]]))
        tensor(-1.)
    """
    return 1 - wrd(x, y, p, q)


def text_weights(name: str, x: Tensor, p: Tensor | None) -> Tensor:
    """The weights of a text's rows, with sum 1; equal ones if none are given."""
    if x.shape[-2] == 0 or x.shape[-1] == 0:
        raise ValueError(f"{name} has no word, got shape {tuple(x.shape)}.")
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} must hold finite vectors, got NaN or infinity.")
    if p is None:
        return x.new_full(x.shape[:-1], 1 / x.shape[-2])
    if not torch.isfinite(p).all() or (p < 0).any() or not (p.sum(dim=-1) > 0).all():
        raise ValueError(f"the weights of {name} must be finite, >= 0 and not all zero.")
    return p / p.sum(dim=-1, keepdim=True)


def directions(name: str, x: Tensor, p: Tensor | None) -> tuple[Tensor, Tensor]:
    """Unit vectors, and weights proportional to count times norm."""
    counts = text_weights(name, x, p)
    norms = x.norm(dim=-1)
    finite_or_explained("the norm of a word", norms, **{name: x})
    zero = (norms == 0) & (counts > 0)
    if zero.any():
        row = int(zero.nonzero()[0, -1])
        raise ValueError(f"word {row} of {name} has the zero vector, which has no direction.")
    weights = counts * norms
    unit = x / torch.where(norms > 0, norms, 1.0)[..., None]  # padding may be zero
    return unit, weights / weights.sum(dim=-1, keepdim=True)


def _solve(C: Tensor, p: Tensor, q: Tensor) -> Tensor:
    even = p.shape == q.shape and all((w == w.flatten()[0]).all() for w in (p, q))
    return emd_cost(C) if even else emd_cost(C, p, q)
