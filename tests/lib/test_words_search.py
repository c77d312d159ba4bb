"""Exact search and intervals: equal to brute force, with ties, in shards, on a cluster."""

import numpy as np
import pytest
import torch

from derive import words
from derive.transport import ConvergenceError
from derive.words import WordVectors, all_pairs_intervals, documents, knn_search, sinkhorn_intervals

V, D = 60, 8
BOUNDS = {
    "wmd": [
        (),
        ("half",),
        ("relaxed",),
        ("centroid",),
        ("projected",),
        ("capacity",),
        ("prices",),
        ("half", "prices", "relaxed"),
        ("centroid", "projected", "half", "relaxed", "capacity", "prices"),
    ],
    "wrd": [
        (),
        ("half",),
        ("centroid", "gelbrich"),
        ("half", "prices", "relaxed"),
        ("gelbrich", "capacity"),
    ],
}
CASES = [(distance, bounds) for distance in BOUNDS for bounds in BOUNDS[distance]]


@pytest.fixture(scope="module")
def vectors():
    rng = torch.Generator().manual_seed(0)
    scale = torch.rand(V, 1, generator=rng, dtype=torch.float64) + 0.2
    table = torch.randn(V, D, generator=rng, dtype=torch.float64) * scale
    return WordVectors([f"w{i}" for i in range(V)], table)


def texts(num, seed, lengths=(2, 15)):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(*lengths, num)
    return [[f"w{i}" for i in (V * rng.random(size) ** 2).astype(int)] for size in sizes]


@pytest.fixture(scope="module")
def collection(vectors):
    """Documents with duplicates, and queries of which two are documents themselves."""
    some = texts(70, seed=1)
    some += [some[3], some[3][::-1], some[10]]
    return documents([*texts(5, seed=2), some[3], some[20]], vectors), documents(some, vectors)


@pytest.fixture(scope="module")
def exact(collection):
    """All distances, one by one."""
    queries, docs = collection
    table = {}
    for name in ("wmd", "wrd"):
        one = getattr(words, name)
        values = [
            [one(x, y, p, q).item() for y, q in (docs[j] for j in range(len(docs)))]
            for x, p in (queries[i] for i in range(len(queries)))
        ]
        table[name] = torch.tensor(values, dtype=torch.float64)
    return table


@pytest.mark.parametrize(("distance", "bounds"), CASES)
@pytest.mark.parametrize("k", [1, 5, 20, 73])
def test_search_equals_brute_force(collection, exact, distance, bounds, k):
    queries, docs = collection
    found = knn_search(queries, docs, k, distance=distance, bounds=bounds)
    expected = exact[distance].sort(dim=1, stable=True)
    torch.testing.assert_close(found.distances, expected.values[:, :k], rtol=0, atol=1e-9)
    torch.testing.assert_close(exact[distance].gather(1, found.indices), found.distances)
    assert all(len(set(row)) == k for row in found.indices.tolist())


def test_the_comparison_rejects_a_search_with_an_invalid_bound(collection, exact, monkeypatch):
    """Twice the RWMD is no lower bound: a search that prunes with it must be found out."""
    from derive.words import _stages

    half, queries, docs = _stages.half, *collection
    monkeypatch.setitem(_stages.STAGES, "half", lambda query, some: 2 * half(query, some))
    found = knn_search(queries, docs, 5, bounds=("half",))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(found.distances, exact["wmd"].sort(dim=1).values[:, :5])


@pytest.mark.parametrize(("distance", "bounds"), [case for case in CASES if len(case[1]) == 1])
def test_every_bound_is_below_the_distance(collection, exact, distance, bounds):
    from derive.words._index import Index, Texts, query_of
    from derive.words._stages import STAGES, price

    queries, docs = collection
    index, rng = Index(docs, distance), np.random.default_rng(0)
    for i in range(len(queries)):
        query = query_of(Texts(queries, distance), i, index)
        some = np.sort(rng.permutation(len(docs))[:40])
        if bounds == ("prices",):
            lower = price(query, some, rng.standard_normal(len(query.p)))
        else:
            lower = STAGES[bounds[0]](query, some)
        assert (lower <= exact[distance][i, some].numpy() + 1e-12).all()


def test_stages_equal_the_bounds_of_single_pairs(collection):
    from derive.words._index import Index, Texts, query_of
    from derive.words._stages import STAGES

    queries, docs = collection
    some = np.arange(len(docs))
    for distance in ("wmd", "wrd"):
        query = query_of(Texts(queries, distance), 2, Index(docs, distance))
        stage = {name: bound(query, some) for name, bound in STAGES.items()}
        x, p = queries[2]
        for j in some:
            y, q = docs[j]
            if distance == "wmd":
                pairs = {
                    "centroid": words.wcd(x, y, p, q),
                    "projected": words.projected_bound(x, y, p, q),
                    "capacity": words.ict(x, y, p, q),
                }
                rwmd = words.rwmd(x, y, p, q)
            else:
                bounds = words.wrd_bounds(x, y, p, q)
                pairs, rwmd = {"centroid": bounds.mean, "gelbrich": bounds.gelbrich}, bounds.relaxed
            for name, value in pairs.items():
                np.testing.assert_allclose(stage[name][j], value, atol=1e-12)
            np.testing.assert_allclose(max(stage["half"][j], stage["relaxed"][j]), rwmd, atol=1e-12)


def test_statistics_count_what_was_solved(collection):
    queries, docs = collection
    brute = knn_search(queries, docs, 3, bounds=()).stats
    assert brute.solved == brute.total == len(queries) * len(docs)
    pruned = knn_search(queries, docs, 3).stats
    assert 3 * len(queries) <= pruned.solved < brute.solved
    assert list(pruned.left) == ["half", "prices", "relaxed"]
    assert brute.total >= pruned.left["half"] >= pruned.left["relaxed"] >= pruned.solved


def test_equal_distances_come_in_the_order_of_the_documents(vectors):
    docs = documents([["w1"], ["w0"], ["w0"], ["w0"], ["w0"]], vectors)
    found = knn_search(documents([["w0"]], vectors), docs, 3)
    assert found.indices.tolist() == [[1, 2, 3]]
    assert found.distances.tolist() == [[0.0, 0.0, 0.0]]


def test_the_search_needs_no_pot(collection, exact, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ot.lp.emd_wrap", None)  # importing it now fails
    monkeypatch.setattr("derive.transport.exact._has_pot", lambda: False)
    queries, docs = collection
    found = knn_search(queries.part(0, 2), docs, 5)
    expected = exact["wmd"][:2].sort(dim=1).values[:, :5]
    torch.testing.assert_close(found.distances, expected, rtol=0, atol=1e-9)


def test_a_solver_that_gives_up_is_not_silent(collection, monkeypatch):
    wrap = pytest.importorskip("ot.lp.emd_wrap")
    gives_up = lambda p, q, C, steps, threads: (None, 0.0, p, q, 3)  # noqa: E731
    monkeypatch.setattr(wrap, "emd_c", gives_up)
    with pytest.raises(ConvergenceError, match="gave up with code 3"):
        knn_search(*collection, 1)


def test_near_duplicates_of_words_keep_their_distance():
    """Squared distances by inner products alone would lose 1e-9 beside norms of one."""
    x = torch.tensor([[1.0, 1.0], [1.0, 1.0 + 1e-9], [0.0, 0.0]], dtype=torch.float64)
    vectors = WordVectors(["a", "b", "c"], x)
    found = knn_search(documents([["a"]], vectors), documents([["c"], ["b"]], vectors), 1)
    np.testing.assert_allclose(found.distances, [[1e-9]], rtol=1e-6)


@pytest.mark.parametrize("distance", ["wmd", "wrd"])
def test_shards_find_the_same(collection, distance):
    queries, docs = collection
    whole = knn_search(queries, docs, 20, distance=distance)
    parts = knn_search(queries, docs, 20, distance=distance, shards=7)
    assert torch.equal(whole.indices, parts.indices)
    assert torch.equal(whole.distances, parts.distances)
    assert parts.stats.solved >= whole.stats.solved


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_dask_cluster_takes_the_search_over_by_configuration(collection):
    distributed = pytest.importorskip("distributed")
    import joblib

    queries, docs = collection
    here = knn_search(queries, docs, 5)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        with joblib.parallel_config(backend="dask"):
            there = knn_search(queries, docs, 5, shards=4)
        ran = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert sum(ran.values()) >= 4
    assert len(ran) == 2
    assert torch.equal(here.indices, there.indices)
    assert torch.equal(here.distances, there.distances)


@pytest.mark.parametrize("distance", ["wmd", "wrd"])
def test_all_pairs_intervals_contain_the_distances(collection, exact, distance):
    _queries, docs = collection
    found = all_pairs_intervals(docs, distance=distance)
    one = getattr(words, distance)
    for i in range(0, len(docs), 7):
        x, p = docs[i]
        for j in range(len(docs)):
            y, q = docs[j]
            assert found.lower[i, j] <= one(x, y, p, q) <= found.upper[i, j]
    assert torch.equal(found.lower, found.lower.T)
    assert torch.equal(found.upper, found.upper.T)
    assert found.upper.diagonal().max() < 1e-9
    assert found.upper[3, 70] < 1e-9  # the same text twice


def test_the_upper_ends_are_couplings_that_leave_shared_words(vectors):
    """Half of the words shared: the other half goes everywhere."""
    docs = documents([["w0", "w1", "w1", "w2"], ["w0", "w3", "w4", "w4"]], vectors)
    x = vectors.vectors
    C = (x[:, None] - x[None]).norm(dim=-1)
    rest = torch.tensor([0, 2, 1, 0, 0.0]).double(), torch.tensor([0, 0, 0, 1, 2.0]).double()
    expected = rest[0] @ C[:5, :5] @ rest[1] / 4 / 3
    torch.testing.assert_close(all_pairs_intervals(docs).upper[0, 1], expected)


@pytest.mark.parametrize("distance", ["wmd", "wrd"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sinkhorn_intervals_contain_the_distances(collection, exact, distance, dtype):
    queries, docs = collection
    found = sinkhorn_intervals(queries, docs, distance=distance, num_sweeps=15, dtype=dtype)
    assert (found.lower <= exact[distance]).all()
    assert (exact[distance] <= found.upper).all()
    more = sinkhorn_intervals(queries, docs, distance=distance, num_sweeps=60, epsilon=0.02)
    assert (more.upper - more.lower).mean() < (found.upper - found.lower).mean()


def test_a_collection_gives_its_texts_and_parts(vectors):
    docs = documents([["w2", "w1", "w1"], ["w3"], ["w4", "unknown"]], vectors)
    assert len(docs) == 3
    assert docs.dropped == 1
    x, p = docs[0]
    assert torch.equal(x, vectors.vectors[1:3])
    assert p.tolist() == [2.0, 1.0]
    part = docs.part(1, 3)
    assert [part[i][1].tolist() for i in (0, 1)] == [[1.0], [1.0]]
    assert torch.equal(part[-1][0], vectors.vectors[4:5])


def test_importance_multiplies_the_counts(vectors):
    importance = torch.arange(1.0, V + 1)
    docs = documents([["w2", "w1", "w1"]], vectors, importance=importance)
    assert docs.weights.tolist() == [4.0, 3.0]


def test_a_majority_of_unknown_words_is_a_warning(vectors):
    with pytest.warns(UserWarning, match="2 of 3 tokens have no vector"):
        documents([["w1", "unknown", "words"]], vectors)


def search(vectors, k=1, **options):
    queries = options.pop("queries", documents([["w0"]], vectors))
    return knn_search(queries, documents([["w1"], ["w2"]], vectors), k, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda v: search(v, 0), ValueError, "k must be between 1 and the 2 documents, got 0"),
        (lambda v: search(v, 3), ValueError, "got 3"),
        (lambda v: search(v, bounds=("rwmd",)), TypeError, "rwmd"),
        (lambda v: search(v, distance="cosine"), TypeError, "cosine"),
        (lambda v: search(v, bounds=("gelbrich",)), ValueError, "'gelbrich' is for wrd"),
        (
            lambda v: search(v, distance="wrd", bounds=("projected",)),
            ValueError,
            "'projected' is for wmd",
        ),
        (lambda v: search(v, shards=3), ValueError, "shards must be between 1 and 2"),
        (
            lambda v: search(v, queries=documents([["x"]], WordVectors(["x"], torch.ones(1, 3)))),
            ValueError,
            "queries have vectors of 3 dimensions, documents of 8",
        ),
        (lambda v: documents([], v), ValueError, "at least one text"),
        (lambda v: documents([["w0"], ["no", "such"]], v), ValueError, "document 1 has no word"),
        (
            lambda v: documents([["a"]], WordVectors(["a"], torch.tensor([[torch.nan]]))),
            ValueError,
            "vector of 'a' is not finite",
        ),
        (
            lambda v: documents([["w0"]], v, importance=torch.zeros(V)),
            ValueError,
            "importance must be positive",
        ),
        (lambda v: documents([["w0"]], v).part(1, 1), ValueError, "got 1, 1"),
        (lambda v: documents([["w0"]], v)[1], IndexError, "1 documents, asked for number 1"),
        (
            lambda v: sinkhorn_intervals(
                documents([["x"]], WordVectors(["x"], torch.ones(1, 3))), documents([["w0"]], v)
            ),
            ValueError,
            "dimensions",
        ),
    ],
    ids=range(15),
)
def test_search_refuses(vectors, call, error, message):
    with pytest.raises(error, match=message):
        call(vectors)


def test_wrd_names_the_document_with_a_zero_vector():
    table = WordVectors(["a", "b"], torch.tensor([[1.0], [0.0]]))
    docs = documents([["a"], ["a", "b"]], table)
    with pytest.raises(ValueError, match="word 1 of document 1 has the zero vector"):
        knn_search(documents([["a"]], table), docs, 1, distance="wrd")
