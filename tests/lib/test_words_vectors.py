"""From texts to vectors: corpus, vocabulary, PPMI, SVD, and files of vectors."""

import gzip
import math
import struct

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

import oracles
from derive.words import (
    STOP_WORDS,
    Vocabulary,
    build_vocabulary,
    cooccurrence,
    docstring_corpus,
    information_gain,
    load_vectors,
    ppmi,
    svd_embed,
    tokenize,
)

TEXTS = [
    ["the", "cat", "sat", "on", "the", "mat"],
    ["the", "dog", "sat"],
    ["a", "cat", "and", "a", "dog", "ran", "and", "ran"],
]


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    table = rng.integers(0, 4, (7, 7)) + np.eye(7, dtype=int)
    return (table + table.T).astype(float)


def test_the_corpus_is_rebuilt_identically_and_knows_its_topics():
    corpus, again = docstring_corpus(40), docstring_corpus(40)
    assert corpus == again
    assert len(set(corpus.texts)) == 40
    assert all(
        name.startswith(label) for name, label in zip(corpus.names, corpus.labels, strict=True)
    )
    assert all(label.count(".") <= 1 for label in corpus.labels)
    assert docstring_corpus(39).digest != corpus.digest


def test_tokens_are_lower_case_runs_of_letters():
    assert tokenize("The x_train, 2nd FFT's\nreal-valued Ωmega") == [
        *("the", "train", "nd", "fft", "real", "valued", "mega"),
    ]
    assert tokenize("1 2 3") == []


def test_the_vocabulary_keeps_what_is_neither_rare_nor_everywhere():
    kept = build_vocabulary(TEXTS, min_count=2, max_share=0.67, stop=frozenset({"a"}))
    assert kept.words == ["the", "and", "cat", "dog", "ran", "sat"]
    assert kept.counts.tolist() == [3, 2, 2, 2, 2, 2]
    assert kept.index["cat"] == 2
    assert "the" in STOP_WORDS
    assert "transform" not in STOP_WORDS


def test_cooccurrences_equal_a_double_loop():
    vocabulary = build_vocabulary(TEXTS, min_count=1, max_share=1.0, stop=frozenset({"on"}))
    found = cooccurrence(TEXTS, vocabulary, window=2).toarray()
    expected = np.zeros_like(found)
    for text in TEXTS:
        known = [vocabulary.index[word] for word in text if word in vocabulary.index]
        for i, one in enumerate(known):
            for j, other in enumerate(known):
                if i != j and abs(i - j) <= 2:
                    expected[one, other] += 1
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("shift", "alpha"), [(1.0, 1.0), (5.0, 0.75), (1.3, 0.75)])
def test_ppmi_equals_its_definition(counts, shift, alpha):
    found = ppmi(csr_array(counts), shift=shift, alpha=alpha).toarray()
    np.testing.assert_allclose(found, oracles.ppmi_from_definition(counts.tolist(), shift, alpha))


def test_the_oracle_rejects_a_shift_that_is_not_a_logarithm(counts):
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            np.maximum(ppmi(csr_array(counts), shift=1.0).toarray() - 1.3, 0),
            oracles.ppmi_from_definition(counts.tolist(), 1.3, 0.75),
        )


def test_svd_embed_is_the_best_approximation_with_fixed_signs(counts):
    M = ppmi(csr_array(counts), shift=1.0)
    U, S, _Vt = np.linalg.svd(M.toarray())
    embedded = svd_embed(M, 4, power=1.0).numpy()
    np.testing.assert_allclose(embedded @ embedded.T, (U[:, :4] * S[:4] ** 2) @ U[:, :4].T)
    half = svd_embed(M, 4, power=0.5).numpy()
    np.testing.assert_allclose(np.linalg.norm(half, axis=0), np.sqrt(S[:4]))
    assert (half[np.abs(half).argmax(axis=0), range(4)] > 0).all()
    assert torch.equal(svd_embed(M, 4), svd_embed(M, 4))
    np.testing.assert_allclose(svd_embed(M, 4, seed=5), svd_embed(M, 4), atol=1e-8)


def test_information_gain_is_a_relative_entropy(counts):
    total, p = counts.sum(), counts.sum(axis=0) / counts.sum()
    expected = []
    for row in counts:
        given = row / row.sum()
        expected.append(sum(g * math.log(g / c) for g, c in zip(given, p, strict=True) if g))
    np.testing.assert_allclose(information_gain(csr_array(counts)), expected)
    assert total > 0
    assert min(expected) >= 0


EMPTY_ROW = csr_array(np.array([[1.0, 0], [0, 0]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: docstring_corpus(0), "num >= 1"),
        (lambda: build_vocabulary([]), "0 texts"),
        (lambda: build_vocabulary(TEXTS, max_share=0.0), "max_share=0.0"),
        (lambda: build_vocabulary(TEXTS, min_count=99), "none of 9 words"),
        (lambda: cooccurrence(TEXTS, Vocabulary(["cat"], torch.ones(1).long())), "no two words"),
        (
            lambda: cooccurrence(TEXTS, Vocabulary(["cat"], torch.ones(1).long()), window=0),
            "window >= 1, got 0",
        ),
        (lambda: ppmi(EMPTY_ROW), "word 1 has no neighbour"),
        (lambda: ppmi(EMPTY_ROW, shift=0.0), "shift > 0"),
        (lambda: information_gain(EMPTY_ROW), "word 1 has no neighbour"),
        (lambda: svd_embed(EMPTY_ROW, 2), "1 <= d < 2"),
        (lambda: svd_embed(EMPTY_ROW, 1, power=-1.0), "power=-1.0"),
    ],
    ids=range(11),
)
def test_vectors_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- files


WORDS, TABLE = ["the", "naïve", "cat"], np.array([[0.5, -1, 2], [3, 4e-3, 5], [6, 7, 8]], "<f4")


def text(separator="\n"):
    rows = (" ".join([w, *map(str, row)]) for w, row in zip(WORDS, TABLE.tolist(), strict=True))
    return separator.join(rows) + separator


def binary(end=b"\n"):
    rows = (w.encode() + b" " + row.tobytes() + end for w, row in zip(WORDS, TABLE, strict=True))
    return b"3 3\n" + b"".join(rows)


GOOD = {
    "glove.txt": text().encode(),
    "windows.txt": text("\r\n").encode(),
    "word2vec.txt": b"3 3\n" + text().encode(),
    "trailing.txt": b"3 3\n" + text(" \n").encode(),
    "vectors.bin": binary(),
    "google.bin": binary(end=b""),
    "glove.txt.gz": gzip.compress(text().encode()),
    "vectors.bin.gz": gzip.compress(binary()),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_the_same_vectors(tmp_path, name):
    (tmp_path / name).write_bytes(GOOD[name])
    found = load_vectors(tmp_path / name)
    assert found.words == WORDS
    assert found.vectors.dtype == torch.float32
    np.testing.assert_array_equal(found.vectors, TABLE)
    some = load_vectors(str(tmp_path / name), words={"cat", "unknown"})
    assert some.words == ["cat"]
    assert torch.equal(some["cat"], torch.tensor(TABLE[2]))
    assert load_vectors(tmp_path / name, limit=2).words == WORDS[:2]


def test_long_lines_do_not_fool_the_guess(tmp_path):
    row = " ".join(["0.25"] * 3000)
    (tmp_path / "long.txt").write_text(f"1 3000\nword {row}\n")
    assert torch.equal(load_vectors(tmp_path / "long.txt").vectors, torch.full((1, 3000), 0.25))


def test_words_may_hold_spaces_and_the_first_of_two_counts(tmp_path):
    (tmp_path / "v.txt").write_text("cat 1 2\n. . . 3 4\ncat 5 6\n")
    found = load_vectors(tmp_path / "v.txt")
    assert found.words == ["cat", ". . ."]
    assert found["cat"].tolist() == [1.0, 2.0]


BROKEN = {
    "a line cut off": (b"cat 1 2\ndog 3\n", "auto", "line 2: 1 numbers after the word, expected 2"),
    "no number": (b"cat 1 2\ndog 3 x4\n", "auto", "line 2: 'x4' is no number, in .* 'dog'"),
    "an empty line": (b"cat 1 2\n\ndog 3 4\n", "auto", "line 2: 0 numbers"),
    "not finite": (b"cat 1 2\ndog 3 nan\n", "auto", "line 2: the vector of 'dog' has an entry"),
    "not UTF-8": (b"cat 1 2\n\xff\xfe 3 4\n", "auto", "line 2: .*is not UTF-8"),
    "a word alone": (b"cat\n", "auto", "line 1: 0 numbers"),
    "an empty file": (b"", "auto", "none at all"),
    "too few lines": (b"3 2\ncat 1 2\ndog 3 4\n", "auto", "promises 3 words, the file has 2"),
    "another header": (b"cat 1 2\n", "word2vec", "line 1: expected the number of words"),
    "zero dimensions": (b"3 0\n", "word2vec", "two positive integers; got '3 0'"),
    "a short text vector": (b"1 3\ncat 1 2\n", "word2vec", "line 2: 2 numbers after the word"),
    "a huge promise": (b"9999999 300\ncat " + bytes(1200), "auto", "promises 9999999 words"),
    "a vector cut off": (
        b"2 2\ncat " + struct.pack("<2f", 1, 2) + b"dog " + bytes(3) + b" " * 99,
        "word2vec-binary",
        None,
    ),
    "binary, not finite": (
        b"1 2\ncat " + struct.pack("<2f", 1, math.inf),
        "word2vec-binary",
        "byte 4: the vector of 'cat' has an entry",
    ),
    "binary, not UTF-8": (b"1 1\n\xff " + bytes(4), "word2vec-binary", "byte 4: .*is not UTF-8"),
    "binary, more than promised": (
        b"1 1\nx \0\0\0\0\ny \0\0\0\0\n",
        "word2vec-binary",
        r"byte 10: the header promises 1 words, and after them comes 'y \\x00",
    ),
    "binary, no space": (b"1 1\n" + b"x" * 3000, "word2vec-binary", "byte 4: no space in 2000"),
}


@pytest.mark.parametrize("name", [name for name in BROKEN if BROKEN[name][2]])
def test_a_broken_file_is_refused_with_its_place(tmp_path, name):
    data, form, message = BROKEN[name]
    (tmp_path / "vectors").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        load_vectors(tmp_path / "vectors", format=form)


@pytest.mark.parametrize("size", range(5, len(binary(end=b"")), 3))
def test_a_binary_file_cut_anywhere_is_refused(tmp_path, size):
    for name, pack in (("cut.bin", bytes), ("cut.bin.gz", gzip.compress)):
        (tmp_path / name).write_bytes(pack(binary(end=b"")[:size]))
        with pytest.raises(ValueError, match=rf"{name}, (byte|line)"):
            load_vectors(tmp_path / name, format="word2vec-binary")


def test_a_packed_file_cut_off_is_refused(tmp_path):
    for name in ("glove.txt.gz", "vectors.bin.gz"):
        (tmp_path / name).write_bytes(GOOD[name][:-12])
        with pytest.raises(ValueError, match=r"cannot be unpacked|byte"):
            load_vectors(tmp_path / name)


def test_a_pickle_is_refused_and_not_executed(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "vectors.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"vectors\.bin"):
        load_vectors(tmp_path / "vectors.bin")
    assert not (tmp_path / "sprung").exists()


def test_loading_refuses_a_missing_file_and_a_limit_of_zero(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.txt"):
        load_vectors(tmp_path / "no.txt")
    with pytest.raises(ValueError, match="limit >= 1, got 0"):
        load_vectors(tmp_path / "no.txt", limit=0)
    (tmp_path / "v.txt").write_text("cat 1 2\n")
    with pytest.raises(ValueError, match="none of the 1 words asked for"):
        load_vectors(tmp_path / "v.txt", words=["dog"])
