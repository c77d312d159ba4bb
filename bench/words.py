"""Exact top-10 search by Word Mover's Distance, against gensim and a loop over POT.

Run `python -m bench.words` from the repository's root; about three minutes.
"""

import sys
import time
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from bench import harness
from derive import words
from derive.transport import cost_matrix

OURS, BRUTE = "knn_search", "POT emd2, every pair"
GENSIM = "gensim wmdistance, every pair (scaled)"
RWMD = "knn_search without prices"
QUERIES, DOCS, K, DIMENSIONS = 20, 2000, 10, 100
GENSIM_PAIRS, ALL_PAIRS_DOCS = 200, 5000
F64 = torch.float64


def main() -> list[dict]:
    corpus = words.docstring_corpus(5400, min_length=250)
    tokens = [words.tokenize(text) for text in corpus.texts]
    vocabulary = words.build_vocabulary(tokens, min_count=3)
    counts = words.cooccurrence(tokens, vocabulary)
    generator = torch.Generator().manual_seed(0)
    tables = {
        "random vectors": torch.randn(len(vocabulary), DIMENSIONS, generator=generator, dtype=F64),
        "PPMI-SVD": words.svd_embed(words.ppmi(counts, shift=1.0), DIMENSIONS),
        "PPMI-SVD, shift 5": words.svd_embed(words.ppmi(counts, shift=5.0), DIMENSIONS),
    }
    texts, labels = cut(tokens, corpus.labels, vocabulary)
    rows = [
        retrieval(name, words.WordVectors(vocabulary.words, table), texts, labels)
        for name, table in tables.items()
    ]
    svd = words.WordVectors(vocabulary.words, tables["PPMI-SVD, shift 5"])
    rows.append(all_pairs(words.documents(texts[:ALL_PAIRS_DOCS], svd)))
    return rows


def cut(tokens, labels, vocabulary) -> tuple[list[list[str]], list[str]]:
    """The first 10 to 60 known words of each text, in random order of the texts."""
    rng = np.random.default_rng(0)
    texts = []
    for text, label in zip(tokens, labels, strict=True):
        known = [word for word in text if word in vocabulary.index]
        if len(known) >= 10:
            texts.append((known[: rng.integers(10, 61)], label))
    order = rng.permutation(len(texts))
    return [texts[i][0] for i in order], [texts[i][1] for i in order]


def retrieval(name: str, vectors: words.WordVectors, texts, labels) -> dict:
    """Every query against every document; one thread, each candidate measured in the same run."""
    docs = words.documents(texts[:DOCS], vectors)
    queries = words.documents(texts[DOCS : DOCS + QUERIES], vectors)
    brute, exact = timed(lambda: pot_loop(queries, docs))
    runs = harness.cpu_seconds(
        {
            OURS: lambda: words.knn_search(queries, docs, K),
            RWMD: lambda: words.knn_search(queries, docs, K, bounds=("half", "relaxed")),
        },
        repeats=3,
    )
    gensim = gensim_seconds(vectors, texts, exact)
    found = words.knn_search(queries, docs, K)
    without = words.knn_search(queries, docs, K, bounds=("half", "relaxed")).stats
    off = np.abs(np.sort(exact, axis=1)[:, :K] - found.distances.numpy()).max()
    seconds = harness.summary({**runs, BRUTE: [brute], GENSIM: [gensim]})
    ours = seconds[OURS]["median"]
    topics = np.array(labels[:DOCS])
    own = np.array(labels[DOCS : DOCS + QUERIES])
    same = (topics[found.indices.numpy()] == own[:, None]).mean()
    return {
        "task": f"top {K} of {DOCS} documents for {QUERIES} queries, {name}",
        "vectors": name,
        "words": float(np.diff(docs.offsets).mean()),
        "vocabulary": len(vectors),
        "seconds": seconds,
        "milliseconds a query": {
            who: harness.significant(1000 * row["median"] / QUERIES) for who, row in seconds.items()
        },
        "solved": harness.significant(found.stats.solved / found.stats.total),
        "solved without prices": harness.significant(without.solved / without.total),
        "same topic": harness.significant(float(same)),
        "same topic by chance": harness.significant(float((topics == own[:, None]).mean())),
        "ratios": [
            harness.ratio("POT loop / knn_search", brute / ours, goal=20),
            harness.ratio("gensim / knn_search", gensim / ours, goal=15),
            harness.ratio(
                "share of documents solved exactly",
                found.stats.solved / found.stats.total,
                goal=0.04,
                at_least=False,
            ),
            harness.ratio(
                "largest difference from brute force", float(off), goal=1e-9, at_least=False
            ),
        ],
    }


def pot_loop(queries: words.Documents, docs: words.Documents) -> np.ndarray:
    """One table of distances for each query, one call of POT for each document."""
    import ot

    offsets, numbers = docs.offsets.tolist(), docs.words.numpy()
    weights = [docs[j][1].numpy() / docs[j][1].numpy().sum() for j in range(len(docs))]
    distances = np.empty((len(queries), len(docs)))
    for i in range(len(queries)):
        x, p = queries[i]
        p = p.numpy() / p.numpy().sum()
        # Not ot.dist, whose root of a rounding error puts equal words 1e-7 apart.
        table = cost_matrix(x, docs.vectors, cost="euclidean").numpy()
        for j in range(len(docs)):
            own = numbers[offsets[j] : offsets[j + 1]]
            distances[i, j] = ot.emd2(p, weights[j], np.ascontiguousarray(table[:, own]))
    return distances


def gensim_seconds(vectors: words.WordVectors, texts, exact: np.ndarray) -> float:
    """CPU seconds for all pairs, from a sample of them; fails if a distance is another one."""
    from gensim.models import KeyedVectors

    model = KeyedVectors(DIMENSIONS, dtype=np.float64)
    model.add_vectors(vectors.words, vectors.vectors.numpy())
    rng = np.random.default_rng(1)
    sample = rng.integers([QUERIES, DOCS], size=(GENSIM_PAIRS, 2)).tolist()
    model.wmdistance(texts[DOCS], texts[0], norm=False)  # imports POT
    spent, found = timed(
        lambda: [model.wmdistance(texts[DOCS + i], texts[j], norm=False) for i, j in sample]
    )
    np.testing.assert_allclose(found, [exact[i, j] for i, j in sample], rtol=1e-5, atol=1e-5)
    return spent / GENSIM_PAIRS * QUERIES * DOCS


def all_pairs(docs: words.Documents) -> dict:
    """Intervals around all distances of a corpus, and how far they decide who is near."""
    spent, bounds = timed(lambda: words.all_pairs_intervals(docs))
    n = len(docs)
    lower, upper = (end.clone().fill_diagonal_(torch.inf) for end in bounds)
    tenth = upper.topk(K, dim=1, largest=False).values[:, -1:]
    candidates = (lower <= tenth).sum(dim=1).double()
    pair = torch.triu(torch.ones(n, n, dtype=torch.bool), diagonal=1)
    ratio = upper[pair] / lower[pair].clamp(min=1e-12)
    return {
        "task": f"intervals for all pairs of {n} documents",
        "docs": n,
        "pairs": n * (n - 1) // 2,
        "seconds": harness.summary({"all_pairs_intervals": [spent]}),
        "pairs a second": harness.significant(n * (n - 1) / 2 / spent),
        "median of upper / lower": harness.significant(ratio.median().item()),
        "median candidates for the top 10": candidates.median().item(),
        "ratios": [],
    }


def timed(call) -> tuple[float, object]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


if __name__ == "__main__":
    harness.run("words", main, ("torch", "numpy", "scipy", "POT", "gensim"))
