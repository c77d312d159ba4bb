"""Texts as clouds of word vectors: distances, bounds, exact search (chapter `wmd-wrd`)."""

from derive.words.bounds import WRDBounds, ict, projected_bound, rwmd, wcd, wrd_bounds
from derive.words.corpus import STOP_WORDS, Corpus, docstring_corpus, tokenize
from derive.words.distances import wmd, wrd, wrd_similarity
from derive.words.documents import Documents, documents
from derive.words.files import load_vectors
from derive.words.intervals import Intervals, all_pairs_intervals, sinkhorn_intervals
from derive.words.search import Neighbours, SearchStats, knn_search
from derive.words.vectors import (
    Vocabulary,
    WordVectors,
    build_vocabulary,
    cooccurrence,
    information_gain,
    ppmi,
    svd_embed,
)

__all__ = [
    "STOP_WORDS",
    "Corpus",
    "Documents",
    "Intervals",
    "Neighbours",
    "SearchStats",
    "Vocabulary",
    "WRDBounds",
    "WordVectors",
    "all_pairs_intervals",
    "build_vocabulary",
    "cooccurrence",
    "docstring_corpus",
    "documents",
    "ict",
    "information_gain",
    "knn_search",
    "load_vectors",
    "ppmi",
    "projected_bound",
    "rwmd",
    "sinkhorn_intervals",
    "svd_embed",
    "tokenize",
    "wcd",
    "wmd",
    "wrd",
    "wrd_bounds",
    "wrd_similarity",
]
