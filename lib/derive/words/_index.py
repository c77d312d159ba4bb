"""What a search prepares once for its documents, and once for each query (chapter `wmd-wrd`).

NumPy inside: these are loops over thousands of small arrays, where every call counts.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from derive.words.documents import Documents

Distance = Literal["wmd", "wrd"]

# Squared distances from inner products lose digits where they are small beside the squared
# norms: below this share they are computed again from differences, exactly 0 for equal vectors.
_CLOSE = 1e-4
_TILE = 2**20  # elements of a padded batch


class Padded(NamedTuple):
    """Some documents as a batch, filled up with words of weight zero."""

    words: np.ndarray  # (b, m)
    weights: np.ndarray  # (b, m)


def compact(docs: Documents) -> Documents:
    """The same documents on the vectors that occur in them."""
    used, words = torch.unique(docs.words, return_inverse=True)
    return Documents(docs.vectors[used], docs.offsets, words, docs.weights, docs.dropped)


class Texts:
    """Documents with weights of sum 1 on NumPy arrays; on unit vectors if the distance is WRD."""

    def __init__(self, docs: Documents, distance: Distance):
        self.distance = distance
        self.vectors = docs.vectors.detach().double().cpu().numpy()
        largest = np.abs(self.vectors).max(initial=0)
        if largest > 1e150:
            raise ValueError(f"distances overflow: got vectors with entries up to {largest:.3g}.")
        self.words, self.offsets = docs.words.numpy(), docs.offsets.numpy()
        self.lengths = np.diff(self.offsets)
        weights = docs.weights.detach().numpy()
        if distance == "wrd":
            norms = np.sqrt(np.einsum("vd,vd->v", self.vectors, self.vectors))
            _require_directions(self.words, self.offsets, norms)
            weights = weights * norms[self.words]
            self.vectors = self.vectors / np.where(norms > 0, norms, 1.0)[:, None]
        totals = np.add.reduceat(weights, self.offsets[:-1])
        self.weights = weights / np.repeat(totals, self.lengths)

    def __len__(self) -> int:
        return len(self.lengths)


class Index(Texts):
    """Texts to be searched; a query's table covers all their vectors: see `compact`."""

    def __init__(self, docs: Documents, distance: Distance):
        super().__init__(docs, distance)
        self.squares = np.einsum("vd,vd->v", self.vectors, self.vectors)
        self.largest_square = self.squares.max()

    @cached_property
    def centroids(self) -> np.ndarray:
        from scipy.sparse import csr_array

        table = csr_array((self.weights, self.words, self.offsets), (len(self), len(self.vectors)))
        return table @ self.vectors

    def sums(self, value_of_word: np.ndarray) -> np.ndarray:
        """Weighted sum over each document of a value given for each word: (..., V) -> (..., N)."""
        values = value_of_word[..., self.words] * self.weights
        return np.add.reduceat(values, self.offsets[:-1], axis=-1)

    def entries(self, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the entries of some documents, and where each document begins."""
        lengths = self.lengths[some]
        starts = np.cumsum(lengths) - lengths
        return np.arange(lengths.sum()) + np.repeat(self.offsets[some] - starts, lengths), starts

    def padded(self, some: np.ndarray, width: int) -> Iterator[tuple[np.ndarray, Padded]]:
        """Some documents in batches of at most _TILE / width words, with their places in `some`."""
        order = np.argsort(self.lengths[some], kind="stable")  # equal lengths waste no padding
        longest = int(self.lengths[some].max()) if len(some) else 1
        for part in np.array_split(order, max(1, -(-len(some) * longest * width // _TILE))):
            if not len(part):
                continue
            lengths = self.lengths[some[part]]
            inside = np.arange(lengths.max()) < lengths[:, None]
            positions, _ = self.entries(some[part])
            words = np.zeros(inside.shape, dtype=np.int64)
            weights = np.zeros(inside.shape)
            words[inside], weights[inside] = self.words[positions], self.weights[positions]
            yield part, Padded(words, weights)


class Query:
    """One text, and its squared distances to every word of an index."""

    def __init__(self, x: np.ndarray, p: np.ndarray, index: Index):
        self.x, self.p, self.index = x, p, index
        squares = np.einsum("nd,nd->n", x, x)
        scale = squares[:, None] + index.squares
        table = x @ index.vectors.T
        table *= -2
        table += scale
        scale *= _CLOSE
        i, j = np.nonzero(table < scale)
        difference = x[i] - index.vectors[j]
        table[i, j] = np.einsum("ed,ed->e", difference, difference)
        self.table = table  # (n, V), >= 0
        self.centroid = p @ x
        # The triangle inequality through the origin; only a scale for what rounding may do.
        self.largest_cost = float(self.cost_of(2 * (squares.max() + index.largest_square)))

    def cost_of(self, squared: np.ndarray) -> np.ndarray:
        """The cost that belongs to a squared distance: its root (WMD), or its half (WRD)."""
        return np.sqrt(squared) if self.index.distance == "wmd" else squared / 2

    def cost_to(self, document: int) -> tuple[np.ndarray, np.ndarray]:
        """Cost matrix to one document, and the document's weights."""
        low, high = self.index.offsets[document], self.index.offsets[document + 1]
        words = self.index.words[low:high]
        return self.cost_of(self.table[:, words]), self.index.weights[low:high]

    def costs_to(self, batch: Padded) -> tuple[Tensor, Tensor, Tensor]:
        """Cost matrices (b, n, m), and the weights of both sides, as tensors."""
        C = self.cost_of(self.table[:, batch.words]).transpose(1, 0, 2)
        p = np.broadcast_to(self.p, (len(C), len(self.p))).copy()
        return (
            torch.from_numpy(np.ascontiguousarray(C)),
            torch.from_numpy(p),
            torch.from_numpy(batch.weights),
        )


def query_of(queries: Texts, number: int, index: Index) -> Query:
    low, high = queries.offsets[number], queries.offsets[number + 1]
    return Query(queries.vectors[queries.words[low:high]], queries.weights[low:high], index)


def _require_directions(words: np.ndarray, offsets: np.ndarray, norms: np.ndarray) -> None:
    if norms[words].all():
        return
    entry = int(np.argmin(norms[words]))
    document = int(np.searchsorted(offsets, entry, side="right")) - 1
    raise ValueError(
        f"word {int(words[entry])} of document {document} has the zero vector, which has no "
        "direction: leave the word out."
    )
