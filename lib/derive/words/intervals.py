"""Intervals around the distances of many pairs of texts at once (chapter `wmd-wrd`)."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from derive._typing import typed
from derive.device import as_device
from derive.transport import certificate, gibbs_plan, sinkhorn
from derive.words._index import Distance, Index, Query, Texts, compact, query_of
from derive.words.documents import Documents

_ROUNDING = 1e-13  # of the largest cost: sums of a few thousand products in float64
_SAME = 1e-12  # texts that share all but so much of their mass are the same but for rounding


class Intervals(NamedTuple):
    """lower <= distance <= upper for every pair."""

    lower: Float64[Tensor, "queries docs"]
    upper: Float64[Tensor, "queries docs"]


@typed
def all_pairs_intervals(docs: Documents, *, distance: Distance = "wmd") -> Intervals:
    r"""Intervals around all distances within a collection, without solving anything.

    Lower end: RWMD (for WRD the same relaxation) and the centroid bound. One side of RWMD comes
    from one minimum over a text's words for each word of the vocabulary; the other side is the
    transposed matrix. Upper end: the words that two texts share stay where they are, and the rest
    goes everywhere (independent coupling of the residuals), which the matrix and its transpose
    give too. For N texts of n words with E entries in all, O(N(nVd + E + n²N)) time, and memory
    for eight N x N matrices: 1.6 GB for 5000 texts.

    Args:
        docs: The collection.
        distance: "wmd" or "wrd".

    Returns:
        Two symmetric matrices; zero on the diagonal up to the margin for rounding.

    Raises:
        ValueError: If (WRD) a word has the zero vector.

    Example:
        >>> from derive.words import WordVectors, documents
        >>> line = WordVectors(["a", "b"], torch.tensor([[0.0], [1.0]]))
        >>> bounds = all_pairs_intervals(documents([["a"], ["a", "b"]], line))
        >>> [round(bound[0, 1].item(), 6) for bound in bounds]
        [0.5, 0.5]
    """
    docs = compact(docs)
    texts, index = Texts(docs, distance), Index(docs, distance)
    n = len(index)
    near, upper, sent, rest = (np.empty((n, n)) for _ in range(4))
    largest = 0.0
    for i in range(n):
        query = query_of(texts, i, index)
        largest = max(largest, query.largest_cost)
        cost = query.cost_of(query.table)
        near[i] = index.sums(cost.min(axis=0))
        upper[i], sent[i], rest[i] = _residuals(query, cost, i)
    lower = np.maximum(near, near.T)
    np.maximum(lower, _between_centroids(index), out=lower)
    upper -= sent.T  # what ends in a shared word; `_residuals` took off what begins in one
    rest = np.maximum(rest, rest.T)
    same = rest < _SAME  # what moves then, moves at most `largest`
    rest[same] = 1
    upper /= rest
    upper = np.maximum(upper, upper.T)  # equal but for rounding
    upper[same] = largest * _SAME
    margin = _ROUNDING * largest
    lower = np.maximum(lower - margin, 0)
    return Intervals(*map(torch.from_numpy, (lower, np.maximum(upper, lower) + margin / rest)))


def _residuals(query: Query, cost: np.ndarray, number: int) -> tuple[np.ndarray, ...]:
    """Independent coupling of what one text does not share with each document: three (N,) arrays.

    The cost of everything going everywhere, less what begins in a shared word, plus what begins
    and ends in shared words (taken off twice by the caller); what begins in a shared word; the
    mass that is not shared. The caller divides by the last.
    """
    index = query.index
    own = slice(index.offsets[number], index.offsets[number + 1])
    weight, place = np.zeros(len(index.vectors)), np.full(len(index.vectors), -1)
    weight[index.words[own]] = index.weights[own]
    place[index.words[own]] = np.arange(len(query.p))
    to_word = query.p @ cost  # what it costs to go from everywhere to one word
    common = np.minimum(weight[index.words], index.weights)
    begins = index.offsets[:-1]
    sent = np.add.reduceat(common * to_word[index.words], begins)
    # Shared words against shared words: a dense (n, N) matrix, which is mostly zero.
    entries = np.flatnonzero(common)
    document = np.searchsorted(index.offsets, entries, side="right") - 1
    both = np.zeros((len(query.p), len(index)))
    both[place[index.words[entries]], document] = common[entries]
    stay = np.einsum("in,in->n", both, cost[:, index.words[own]].T @ both)
    return index.sums(to_word) - sent + stay, sent, 1 - np.add.reduceat(common, begins)


def _between_centroids(index: Index) -> np.ndarray:
    x = torch.from_numpy(index.centroids)
    between = torch.cdist(x, x, compute_mode="use_mm_for_euclid_dist").numpy()
    # The root of a rounding error is large: what is below it counts as zero.
    noise = np.sqrt(1e-13 * np.einsum("nd,nd->n", index.centroids, index.centroids).max())
    between = np.maximum(np.maximum(between, between.T) - noise, 0)
    return between if index.distance == "wmd" else between**2 / 2


@typed
def sinkhorn_intervals(
    queries: Documents,
    docs: Documents,
    *,
    distance: Distance = "wmd",
    epsilon: float = 0.05,
    num_sweeps: int = 20,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> Intervals:
    r"""Certified intervals from a few Sinkhorn sweeps on batches of padded pairs.

    Each pair gets prices and a rounded plan, hence an interval that holds at any number of
    sweeps (book equation `eq-batch-cert`). O(num_sweeps nm) a pair; batches of about a million
    matrix elements, on the device and in the precision asked for.

    Args:
        queries: Texts on one side.
        docs: Texts on the other.
        distance: "wmd" or "wrd".
        epsilon: Strength of the entropy, as a share of each pair's mean cost.
        num_sweeps: Sweeps for each pair.
        device: Where to iterate.
        dtype: float32 costs some width, and is several times faster.

    Raises:
        TypeError: If dtype is not float32 or float64.
        ValueError: If epsilon or num_sweeps is not positive, there is no such device, or (WRD) a
            word has the zero vector.

    Example:
        >>> from derive.words import WordVectors, documents
        >>> line = WordVectors(["a", "b"], torch.tensor([[0.0], [1.0]]))
        >>> found = sinkhorn_intervals(documents([["a"]], line), documents([["a", "b"]], line))
        >>> [round(bound.item(), 6) for bound in found]
        [0.5, 0.5]
    """
    if queries.vectors.shape[1] != docs.vectors.shape[1]:
        raise ValueError(
            f"queries have vectors of {queries.vectors.shape[1]} dimensions, documents of "
            f"{docs.vectors.shape[1]}: distances need a common space."
        )
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(f"sinkhorn_intervals computes in float32 or float64, got {dtype}.")
    device = as_device(device)
    texts, index = Texts(queries, distance), Index(compact(docs), distance)
    everything = np.arange(len(index))
    lower = torch.empty(len(queries), len(index), dtype=torch.float64)
    upper = torch.empty_like(lower)
    for i in range(len(queries)):
        query = query_of(texts, i, index)
        for part, batch in index.padded(everything, len(query.p)):
            C, p, q = (t.to(device, dtype) for t in query.costs_to(batch))
            scale = torch.einsum("bn,bnm,bm->b", p, C, q).clamp(min=1e-30)[:, None, None]
            scaled = C / scale
            swept = sinkhorn(p, q, scaled, epsilon=epsilon, num_sweeps=num_sweeps)
            plan = gibbs_plan(p, q, scaled, swept.f, swept.g, epsilon=epsilon)
            proof = certificate(p, q, scaled, swept.f, plan)
            scale = scale[:, 0, 0].double()
            lower[i, part] = (proof.lower * scale).clamp(min=0).cpu()
            upper[i, part] = (proof.upper * scale).cpu()
    return Intervals(lower, upper)
