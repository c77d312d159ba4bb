"""derive.words: intervals as wide as their margin, and bounds that are sharp for single words."""

import pytest
import torch

from derive.words import (
    WordVectors,
    all_pairs_intervals,
    build_vocabulary,
    documents,
    knn_search,
    load_vectors,
    sinkhorn_intervals,
)

F64 = torch.float64


def one_word_each(*rows):
    names = [f"w{i}" for i in range(len(rows))]
    table = WordVectors(names, torch.tensor(rows, dtype=F64))
    return documents([[name] for name in names], table)


def test_intervals_of_single_words_are_their_distance_and_the_margin_for_rounding():
    # At most 2 apart, by the triangle inequality through the origin: 1e-13 of that on each side.
    found = all_pairs_intervals(one_word_each([0.0], [1.0]))
    below, above = 1 - found.lower[0, 1].item(), found.upper[0, 1].item() - 1
    assert below == pytest.approx(2e-13, rel=0.01, abs=0)
    assert above == pytest.approx(2e-13, rel=0.01, abs=0)
    assert found.lower[0, 0] == 0
    assert found.upper[0, 0].item() == pytest.approx(2e-12 + 2e-13, rel=0.01, abs=0)


def test_intervals_of_single_directions_are_one_less_their_cosine():
    found = all_pairs_intervals(one_word_each([2.0, 0.0], [0.0, 3.0], [0.3, 0.4]), distance="wrd")
    cosines = torch.tensor([[1, 0, 0.6], [0, 1, 0.8], [0.6, 0.8, 1]], dtype=F64)
    torch.testing.assert_close(found.lower, 1 - cosines, atol=1e-11, rtol=0)
    torch.testing.assert_close(found.upper, 1 - cosines, atol=1e-11, rtol=0)


@pytest.mark.parametrize("distance", ["wmd", "wrd"])
def test_sinkhorn_intervals_of_single_words_are_tight(distance):
    docs = one_word_each([2.0, 0.0], [0.0, 3.0], [0.3, 0.4])
    found = sinkhorn_intervals(docs, docs, distance=distance, num_sweeps=1)
    bounds = all_pairs_intervals(docs, distance=distance)
    apart = ~torch.eye(3, dtype=torch.bool)
    for ends in (found.lower, found.upper):
        torch.testing.assert_close(ends[apart], bounds.lower[apart], rtol=1e-9, atol=0)


@pytest.mark.parametrize("bounds", [("centroid",), ("half",), ("relaxed",)])
def test_a_bound_that_is_exact_leaves_only_the_neighbours_to_solve(bounds):
    docs = one_word_each(*([float(i)] for i in range(60, 0, -1)))
    found = knn_search(one_word_each([0.0]), docs, 2, bounds=bounds)
    assert found.indices.tolist() == [[59, 58]]
    assert found.distances.tolist() == [[1.0, 2.0]]
    assert found.stats.total == 60
    assert found.stats.solved == 2
    assert found.stats.left == {bounds[0]: 2}


def test_a_field_that_is_no_number_is_shown_up_to_forty_letters(tmp_path):
    path = tmp_path / "vectors.txt"
    for length in (40, 41):
        path.write_text("word 1.0 " + "x" * length + "\n")
        with pytest.raises(ValueError, match="is no number") as refusal:
            load_vectors(path, format="glove")
        assert "x" * 40 in str(refusal.value)
        assert "x" * 41 not in str(refusal.value)


@pytest.mark.parametrize(("distance", "apart"), [("wmd", 0.5**0.5), ("wrd", 0.25)])
def test_where_all_words_are_shared_the_centroids_are_the_bound(distance, apart):
    table = WordVectors(["x", "y"], torch.eye(2, dtype=F64))
    docs = documents([["x", "x", "x", "y"], ["x", "y", "y", "y"]], table)
    # Shares of 3/4 and 1/4, the other way round in the other text: half moves.
    found = all_pairs_intervals(docs, distance=distance)
    assert found.lower[0, 1].item() == pytest.approx(apart, rel=1e-5)
    assert found.upper[0, 1].item() == pytest.approx(0.5 * (2**0.5 if distance == "wmd" else 1))


def test_a_word_may_occur_in_its_share_of_the_texts_and_in_no_more():
    texts = [["a", "b", "c"], ["a", "b"], ["a"], ["c"]]
    options = {"min_count": 1, "stop": frozenset()}
    assert build_vocabulary(texts, max_share=0.5, **options).words == ["b", "c"]
    assert build_vocabulary(texts, max_share=0.74, **options).words == ["b", "c"]
    assert build_vocabulary(texts, max_share=0.75, **options).words == ["a", "b", "c"]


@pytest.mark.parametrize("missing", [1, 3])
def test_a_binary_file_shorter_than_its_header_promises_is_refused_at_once(tmp_path, missing):
    path = tmp_path / "vectors.bin"
    rows = b"".join(b"w%d " % i + bytes(8) for i in range(10 - missing))
    path.write_bytes(b"10 2\n" + rows)
    with pytest.raises(ValueError, match="the header promises 10 words of 2 numbers"):
        load_vectors(path, format="word2vec-binary")
