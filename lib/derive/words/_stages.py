"""Lower bounds from one query to many documents at once: the stages of a search."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from derive.words import bounds
from derive.words._index import Query

Stage = Literal["centroid", "projected", "half", "relaxed", "prices", "capacity", "gelbrich"]


def centroid(query: Query, some: np.ndarray) -> np.ndarray:
    """WCD, or for WRD half the squared distance of the mean directions. O(Nd)."""
    difference = query.index.centroids[some] - query.centroid
    return query.cost_of(np.einsum("nd,nd->n", difference, difference))


def projected(query: Query, some: np.ndarray) -> np.ndarray:
    """W1 along the line through both centroids."""
    index = query.index
    found = np.empty(len(some))
    for part, batch in index.padded(some, index.vectors.shape[1]):
        direction = query.centroid - index.centroids[some[part]]
        length = np.linalg.norm(direction, axis=1, keepdims=True)
        direction /= np.maximum(length, np.finfo(float).tiny)
        a = query.x @ direction.T  # (n, b)
        b = np.einsum("bmd,bd->bm", index.vectors[batch.words], direction)
        p = np.broadcast_to(query.p, (len(part), len(query.p))).copy()
        places = (torch.from_numpy(np.ascontiguousarray(t))[..., None] for t in (a.T, b))
        weights = (torch.from_numpy(w) for w in (p, batch.weights))
        found[part] = bounds.on_a_line(*places, *weights).numpy()
    return found


def half(query: Query, some: np.ndarray) -> np.ndarray:
    """Every word of a document to the query's nearest: one minimum a word of the vocabulary."""
    nearest = query.cost_of(query.table.min(axis=0))
    if len(some) == len(query.index):
        return query.index.sums(nearest)
    entries, starts = query.index.entries(some)
    return np.add.reduceat(
        nearest[query.index.words[entries]] * query.index.weights[entries], starts
    )


def relaxed(query: Query, some: np.ndarray) -> np.ndarray:
    """Every word of the query to the document's nearest; with `half`, the two sides of RWMD."""
    entries, starts = query.index.entries(some)
    nearest = np.minimum.reduceat(query.table[:, query.index.words[entries]], starts, axis=1)
    return query.p @ query.cost_of(nearest)


def price(query: Query, some: np.ndarray, f: np.ndarray) -> np.ndarray:
    """What any prices f of the query's words prove: f.p + sum of q_j min_i (C_ij - f_i).

    `half` is f = 0. Prices that are optimal for one document are good for those like it.
    """
    entries, starts = query.index.entries(some)
    words, place = np.unique(query.index.words[entries], return_inverse=True)
    other = (query.cost_of(query.table[:, words]) - f[:, None]).min(axis=0)
    return f @ query.p + np.add.reduceat(other[place] * query.index.weights[entries], starts)


def capacity(query: Query, some: np.ndarray) -> np.ndarray:
    """Both sides of ICT."""
    return _on_costs(bounds.capacitated, query, some)


def gelbrich(query: Query, some: np.ndarray) -> np.ndarray:
    """Gelbrich's bound on WRD."""
    return _on_costs(bounds.gelbrich_of_cosines, query, some)


def _on_costs(bound: Callable, query: Query, some: np.ndarray) -> np.ndarray:
    found = np.empty(len(some))
    for part, batch in query.index.padded(some, len(query.p)):
        found[part] = bound(*query.costs_to(batch)).numpy()
    return found


STAGES: dict[str, Callable[[Query, np.ndarray], np.ndarray]] = {
    "centroid": centroid,
    "projected": projected,
    "half": half,
    "relaxed": relaxed,
    "capacity": capacity,
    "gelbrich": gelbrich,
}
ONLY_FOR = {"projected": "wmd", "gelbrich": "wrd"}
