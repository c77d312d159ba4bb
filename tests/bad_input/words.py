"""Valid calls of `derive.words`."""

import os
import tempfile
from pathlib import Path

import torch
from scipy.sparse import csr_array

from bad_input.entry import Entry
from bad_input.values import CPU, F64, normal, weights
from derive import words

TOKENS = [["cat", "dog", "cat", "sun"], ["dog", "sun", "moon"], ["moon", "cat", "moon", "dog"]]
NAMES = ["cat", "dog", "moon", "sun"]


def tokens() -> list[list[str]]:
    return [list(text) for text in TOKENS]


def vectors() -> words.WordVectors:
    return words.WordVectors(list(NAMES), normal(4, 3))


def vocabulary() -> words.Vocabulary:
    return words.Vocabulary(list(NAMES), torch.tensor([3, 3, 3, 2]))


def docs() -> words.Documents:
    return words.documents(tokens(), vectors())


def counts() -> csr_array:
    return csr_array([[0.0, 2, 1, 3], [2, 0, 4, 1], [1, 4, 0, 2], [3, 1, 2, 1]])


def texts() -> dict:
    return {
        "x": normal(4, 2),
        "y": normal(3, 2, seed=1),
        "p": weights(4),
        "q": weights(3, seed=1),
    }


def load(path, text="cat 1 2 3\ndog 4 5 6\n", **given) -> words.WordVectors:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vectors.txt").write_text(text)
        return words.load_vectors(
            os.path.join(folder, path) if isinstance(path, str) else path, **given
        )


ENTRIES = (
    Entry(words.Documents, lambda: vars(docs())),
    Entry(words.Vocabulary, lambda: {"words": list(NAMES), "counts": torch.tensor([3, 3, 3, 2])}),
    Entry(words.WordVectors, lambda: {"words": list(NAMES), "vectors": normal(4, 3)}),
    Entry(words.all_pairs_intervals, lambda: {"docs": docs(), "distance": "wmd"}),
    Entry(
        words.build_vocabulary,
        lambda: {"tokens": tokens(), "min_count": 2, "max_share": 0.9, "stop": frozenset({"a"})},
    ),
    Entry(
        words.cooccurrence,
        lambda: {"tokens": tokens(), "vocabulary": vocabulary(), "window": 2},
    ),
    Entry(words.docstring_corpus, lambda: {"num": 2, "min_length": 300}),
    Entry(
        words.documents,
        lambda: {"tokens": tokens(), "vectors": vectors(), "importance": weights(4)},
    ),
    Entry(words.Documents.part, lambda: {"start": 1, "stop": 2}, call=lambda **k: docs().part(**k)),
    Entry(words.ict, texts),
    Entry(words.information_gain, lambda: {"counts": counts()}),
    Entry(
        words.knn_search,
        lambda: {
            "queries": docs(),
            "docs": docs(),
            "k": 2,
            "distance": "wmd",
            "bounds": ("half", "prices", "relaxed"),
            "shards": 1,
        },
    ),
    Entry(
        words.load_vectors,
        lambda: {
            "path": "vectors.txt",
            "format": "glove",
            "words": ["cat", "dog"],
            "limit": 2,
        },
        call=load,
        more={
            "NaN: in the file": {"text": "cat 1 nan 3\ndog 4 5 6\n"},
            "infinity: in the file": {"text": "cat 1 inf 3\ndog 4 5 6\n"},
            "huge: in the file": {"text": "cat 1 1e300 3\ndog 4 5 6\n"},
            "empty: file": {"text": ""},
            "shape: of a line": {"text": "cat 1 2 3\ndog 4 5\n"},
            "type: a word for a number": {"text": "cat 1 two 3\ndog 4 5 6\n"},
        },
    ),
    Entry(words.ppmi, lambda: {"counts": counts(), "shift": 1.0, "alpha": 0.75}),
    Entry(words.projected_bound, lambda: texts() | {"direction": normal(2, seed=4)}),
    Entry(words.rwmd, texts),
    Entry(
        words.sinkhorn_intervals,
        lambda: {
            "queries": docs(),
            "docs": docs(),
            "distance": "wmd",
            "epsilon": 0.05,
            "num_sweeps": 3,
            "device": CPU,
            "dtype": F64,
        },
    ),
    Entry(words.svd_embed, lambda: {"M": counts(), "d": 2, "power": 0.5, "seed": 0}),
    Entry(words.tokenize, lambda: {"text": "A cat sat."}),
    Entry(words.wcd, texts),
    Entry(words.wmd, texts),
    Entry(words.wrd, texts),
    Entry(words.wrd_bounds, texts),
    Entry(words.wrd_similarity, texts),
)
