"""The nearest texts, exactly, with few transport problems solved (chapter `wmd-wrd`)."""

import heapq
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from derive._typing import typed
from derive.words._index import Distance, Index, Query, Texts, compact, query_of
from derive.words._solve import Solver, solver
from derive.words._stages import ONLY_FOR, STAGES, Stage, price
from derive.words.documents import Documents

# A bound may exceed the distance by the rounding of its sums, and must not prune then.
_SLACK = 1e-10
_PROMISING = 50  # documents beside the first k among which all bounds choose where to begin
_PRICES = 10  # of the problems solved first, those whose prices are tried on all documents
_ROUND = 2  # later, one in so many problems has its prices tried on what is left


class SearchStats(NamedTuple):
    """What a search did, summed over its queries."""

    total: int
    """Pairs of a query and a document."""
    solved: int
    """Transport problems solved."""
    left: dict[str, int]
    """Pairs that were left after each bound, in order."""


class Neighbours(NamedTuple):
    """The nearest documents of each query, the nearest first."""

    indices: Int64[Tensor, "queries k"]
    distances: Float64[Tensor, "queries k"]
    stats: SearchStats


@typed
def knn_search(
    queries: Documents,
    docs: Documents,
    k: int,
    *,
    distance: Distance = "wmd",
    bounds: Sequence[Stage] = ("half", "prices", "relaxed"),
    shards: int = 1,
) -> Neighbours:
    r"""The k nearest documents of each query: the same as by brute force, for any bounds.

    First k documents that look promising are solved. Then the bounds are computed one after
    another, each for the documents that are left, and only those stay whose bound is at most the
    k-th best distance so far. What is left is solved in the order of its bounds until the next
    bound exceeds the k-th best: nothing behind it can enter (book equation `eq-topk`).

    For a query of n words the default needs O(nVd) for one table of distances to the vocabulary,
    O(entries) for the first bound, O(n) for each entry that is left for the others, and O(n³)
    for each transport problem, of which a few per cent remain. Memory O(nV).

    Args:
        queries: Texts to find neighbours for.
        docs: Texts among which to find them, on vectors of the same dimension.
        k: How many neighbours.
        distance: "wmd", or "wrd" (weights times norms, cost 1 - cosine).
        bounds: Any of "half" (each word of the document to its nearest), "relaxed" (the other
            half: both are RWMD), "prices" (what the optimal prices of the documents solved first
            prove about all others: `half` is the special case of prices zero), "capacity" (ICT),
            "centroid" (WCD, or the mean bound of WRD), "projected" (WMD only), "gelbrich" (WRD
            only), in the order in which they are to be tried. None at all is brute force.
        shards: In how many parts to search, each by one joblib task. Where they run is joblib's
            configuration: `with joblib.parallel_config("dask"):` or "loky", n_jobs=2, or "ray".
            Every part solves its own first k, so that a few more problems are solved.

    Returns:
        `Neighbours`; equal distances come in the order of the documents.

    Raises:
        TypeError: If an argument has the wrong type, or a bound has no such name.
        ValueError: If k is not in [1, number of documents], a bound does not belong to the
            distance, the dimensions differ, shards is not in [1, number of documents], or (WRD)
            a word has the zero vector.
        ConvergenceError: If the transport solver gives up.

    Source:
        Kusner et al. (ICML 2015) prefetch and prune with one side of RWMD.

    Example:
        >>> from derive.words import WordVectors, documents
        >>> line = WordVectors(["a", "b", "c"], torch.tensor([[0.0], [1.0], [5.0]]))
        >>> docs = documents([["a"], ["c"], ["b", "c"]], line)
        >>> found = knn_search(documents([["a", "b"]], line), docs, 2)
        >>> found.indices.tolist(), found.distances.tolist()
        ([[0, 2]], [[0.5, 2.5]])
    """
    _require(queries, docs, k, distance, bounds, shards)
    # Before any splitting: on one table of vectors all parts round alike, and ties stay ties.
    docs = compact(docs)
    if shards == 1:
        parts = [_search_part(queries, docs, 0, k, distance, bounds)]
    else:
        from joblib import Parallel, delayed

        edges = [round(len(docs) * i / shards) for i in range(shards + 1)]
        parts = Parallel()(
            delayed(_search_part)(queries, docs.part(low, high), low, k, distance, bounds)
            for low, high in pairwise(edges)
        )
    found = [
        sorted(pair for part, _, _ in parts for pair in part[number])[:k]
        for number in range(len(queries))
    ]
    left: dict[str, int] = {stage: sum(counts[stage] for _, _, counts in parts) for stage in bounds}
    stats = SearchStats(len(queries) * len(docs), sum(solved for _, solved, _ in parts), left)
    return Neighbours(
        torch.tensor([[number for _, number in row] for row in found]),
        torch.tensor([[value for value, _ in row] for row in found], dtype=torch.float64),
        stats,
    )


def _require(queries, docs, k, distance, bounds, shards) -> None:
    if not 1 <= k <= len(docs):
        raise ValueError(f"k must be between 1 and the {len(docs)} documents, got {k}.")
    if not 1 <= shards <= len(docs):
        raise ValueError(f"shards must be between 1 and {len(docs)} documents, got {shards}.")
    if queries.vectors.shape[1] != docs.vectors.shape[1]:
        raise ValueError(
            f"queries have vectors of {queries.vectors.shape[1]} dimensions, documents of "
            f"{docs.vectors.shape[1]}: distances need a common space."
        )
    for stage in bounds:
        if not isinstance(stage, str) or stage not in (*STAGES, "prices"):
            names = ", ".join((*STAGES, "prices"))
            raise TypeError(f"bounds must be among {names}; got {stage!r}.")
        if ONLY_FOR.get(stage, distance) != distance:
            raise ValueError(f"the bound {stage!r} is for {ONLY_FOR[stage]}, not for {distance}.")


def _search_part(
    queries: Documents, docs: Documents, first: int, k: int, distance: Distance, bounds
) -> tuple[list[list[tuple[float, int]]], int, dict[str, int]]:
    """For every query the nearest (distance, number) among some documents, and what it took."""
    texts, index = Texts(queries, distance), Index(docs, distance)
    found, solved, left, solve = [], 0, dict.fromkeys(bounds, 0), solver()
    for number in range(len(queries)):
        search = _OneQuery(query_of(texts, number, index), min(k, len(docs)), solve)
        if bounds:
            search.begin(bounds)
        for stage in bounds:
            left[stage] += search.prune(stage)
        search.finish(with_prices="prices" in bounds)
        found.append([(-value, first - place) for value, place in search.best])
        solved += search.solved
    return found, solved, left


class _OneQuery:
    """Best documents so far, those that can still enter, and a lower bound for each."""

    def __init__(self, query: Query, k: int, solve: Solver):
        self.query, self.k, self.solve, self.solved = query, k, solve, 0
        self.left = np.arange(len(query.index))
        self.lower = np.zeros(len(self.left))
        # A heap of (-distance, -document): its smallest entry is what the next one has to beat.
        self.best: list[tuple[float, int]] = []
        self.prices: list[np.ndarray] = []

    @property
    def limit(self) -> float:
        """A document with a larger bound cannot enter any more."""
        if len(self.best) < self.k:
            return np.inf
        return -self.best[0][0] + _SLACK * self.query.largest_cost

    def begin(self, bounds: Sequence[str]) -> None:
        """Solve k documents that the bounds find promising: a limit, and prices, to go on with."""
        ready = [stage for stage in bounds if stage != "prices"] or ["half"]
        first = STAGES[ready[0]](self.query, self.left)
        num = min(self.k + _PROMISING, len(first))
        some = np.sort(np.argpartition(first, num - 1)[:num])
        lower = np.maximum.reduce(
            [first[some], *(STAGES[stage](self.query, some) for stage in ready[1:])]
        )
        chosen = some[np.argsort(lower, kind="stable")[: self.k]]
        for document in chosen:
            self._offer(int(document))
        kept = np.ones(len(self.left), dtype=bool)
        kept[chosen] = False
        self.left, self.lower = self.left[kept], first[kept]

    def prune(self, stage: str) -> int:
        """Apply a bound to the documents that are left; return how many can still be found."""
        if stage == "prices":
            for f in self.prices[:_PRICES]:
                if len(self.left):
                    self._raise(price(self.query, self.left, f))
        elif len(self.left):
            self._raise(STAGES[stage](self.query, self.left))
        return len(self.left) + len(self.best)

    def finish(self, *, with_prices: bool) -> None:
        """Solve what is left, the most promising first, until the bounds exclude the rest."""
        while len(self.left):
            order = np.argsort(self.lower, kind="stable")
            batch = order[:_ROUND] if with_prices else order
            for place in batch:
                if self.lower[place] > self.limit:
                    return
                self._offer(int(self.left[place]))
            self.left, self.lower = self.left[order[len(batch) :]], self.lower[order[len(batch) :]]
            if with_prices and len(self.left) > _ROUND:
                self._raise(price(self.query, self.left, self.prices[-_ROUND]))

    def _raise(self, lower: np.ndarray) -> None:
        self.lower = np.maximum(self.lower, lower)
        kept = self.lower <= self.limit
        self.left, self.lower = self.left[kept], self.lower[kept]

    def _offer(self, document: int) -> None:
        C, q = self.query.cost_to(document)
        value, prices = self.solve(self.query.p, q, C)
        self.solved += 1
        self.prices.append(prices)
        entry = (-value, -document)
        if len(self.best) < self.k:
            heapq.heappush(self.best, entry)
        else:
            heapq.heappushpop(self.best, entry)
