"""Word vectors from counts: co-occurrence, PPMI with a shift, truncated SVD (chapter `wmd-wrd`)."""

import math
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from derive._typing import typed
from derive.words.corpus import STOP_WORDS

Sparse = Any  # a SciPy sparse array: scipy.sparse is imported when first needed


@typed
@dataclass(frozen=True)
class Vocabulary:
    """Words in the order of their frequency, the most frequent first; ties alphabetically.

    Raises:
        TypeError: If a word is no string, or the counts are no vector of integers.
        ValueError: If there are not as many counts as words.
    """

    words: list[str]
    counts: Int64[Tensor, " V"]
    """How often each occurs in the texts that the vocabulary was made from."""

    def __post_init__(self) -> None:
        _require_words(self.words, self.counts)

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each word."""
        return {word: i for i, word in enumerate(self.words)}


@typed
@dataclass(frozen=True)
class WordVectors:
    """A vector for each word.

    Raises:
        TypeError: If a word is no string, or the vectors are no matrix of floating-point numbers.
        ValueError: If there are not as many vectors as words, or an entry is not finite.
    """

    words: list[str]
    vectors: Float[Tensor, "V d"]

    def __post_init__(self) -> None:
        _require_words(self.words, self.vectors)
        if not torch.isfinite(self.vectors).all():
            row = int((~torch.isfinite(self.vectors)).any(dim=1).nonzero()[0])
            raise ValueError(f"the vector of {self.words[row]!r} is not finite.")

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each word."""
        return {word: i for i, word in enumerate(self.words)}

    def __getitem__(self, word: str) -> Tensor:
        return self.vectors[self.index[word]]


@typed
def build_vocabulary(
    tokens: list[list[str]],
    *,
    min_count: int = 20,
    max_share: float = 0.2,
    stop: Set[str] = STOP_WORDS,
) -> Vocabulary:
    """The words that are neither rare nor everywhere. O(number of tokens).

    Args:
        tokens: The words of each text.
        min_count: Fewest occurrences in all texts together.
        max_share: Largest share of the texts in which a word may occur.
        stop: Words to leave out in any case.

    Raises:
        TypeError: If a word is no string.
        ValueError: If there is no text, a limit makes no sense, or no word is left.

    Example:
        >>> texts = [["a", "cat", "sat"], ["a", "cat", "ran"], ["a", "dog", "sat"]]
        >>> build_vocabulary(texts, min_count=2, max_share=0.7, stop=frozenset()).words
        ['cat', 'sat']
    """
    require_tokens(tokens)
    if not tokens or min_count < 1 or not 0 < max_share <= 1:
        raise ValueError(
            "build_vocabulary needs a text, min_count >= 1 and max_share in (0, 1]; got "
            f"{len(tokens)} texts, min_count={min_count}, max_share={max_share}."
        )
    counts = Counter(chain.from_iterable(tokens))
    texts_with = Counter(chain.from_iterable(set(text) for text in tokens))
    most = max_share * len(tokens)
    kept = [
        word
        for word, count in counts.items()
        if count >= min_count and texts_with[word] <= most and word not in stop
    ]
    if not kept:
        raise ValueError(
            f"build_vocabulary: none of {len(counts)} words occurs {min_count} times or more in "
            f"at most {max_share:.0%} of {len(tokens)} texts; lower min_count or raise max_share."
        )
    kept.sort(key=lambda word: (-counts[word], word))
    return Vocabulary(kept, torch.tensor([counts[word] for word in kept]))


@typed
def cooccurrence(tokens: list[list[str]], vocabulary: Vocabulary, *, window: int = 5) -> Sparse:
    """How often two words stand within `window` places of each other; symmetric.

    Words outside the vocabulary are taken out first, so that the window spans what is left.
    O(tokens x window) time and memory.

    Returns:
        A SciPy CSR array of shape (V, V). A word next to itself counts twice on the diagonal,
        once from either side, as in the sum over ordered pairs.

    Raises:
        TypeError: If a word is no string.
        ValueError: If window < 1, or no two words of the vocabulary are neighbours.

    Example:
        >>> vocabulary = Vocabulary(["a", "b"], torch.tensor([2, 1]))
        >>> cooccurrence([["a", "b", "a"]], vocabulary, window=1).toarray()
        array([[0., 2.],
               [2., 0.]])
    """
    from scipy.sparse import csr_array

    if window < 1:
        raise ValueError(f"cooccurrence needs window >= 1, got {window}.")
    require_tokens(tokens)
    index, size = vocabulary.index, len(vocabulary)
    known = [[index[word] for word in text if word in index] for text in tokens]
    words = np.fromiter(chain.from_iterable(known), dtype=np.int64)
    texts = np.repeat(np.arange(len(known)), [len(text) for text in known])
    pairs = []
    for step in range(1, window + 1):
        same_text = texts[:-step] == texts[step:]
        pairs.append(words[:-step][same_text] * size + words[step:][same_text])
    joint, counts = np.unique(np.concatenate(pairs), return_counts=True)
    if not len(joint):
        raise ValueError(
            "cooccurrence: no two words of the vocabulary are neighbours in a text, got "
            f"{len(tokens)} texts with {len(words)} words of the vocabulary."
        )
    places = (joint // size, joint % size)
    one_way = csr_array((counts.astype(float), places), shape=(size, size))
    return (one_way + one_way.T).tocsr()


@typed
def ppmi(counts: Sparse, *, shift: float = 5.0, alpha: float = 0.75) -> Sparse:
    r"""Positive pointwise mutual information, shifted and smoothed.

    $\max(0, \log\frac{p(w, c)}{p(w)\,p_\alpha(c)} - \log(\mathrm{shift}))$ with
    $p_\alpha(c) \propto p(c)^\alpha$. O(nonzeros) time and memory.

    Args:
        counts: Co-occurrences, from `cooccurrence`.
        shift: The number of negative samples of the skip-gram model that the matrix stands
            for; 1 is the plain PPMI.
        alpha: Smoothing of the contexts; 1 is none.

    Returns:
        A SciPy CSR array of the shape of `counts`.

    Raises:
        TypeError: If counts is no sparse matrix of real numbers.
        ValueError: If shift or alpha is not positive and finite, or counts are negative, not finite
            or not square, or a word has no co-occurrence.

    Source:
        Levy, Goldberg (NeurIPS 2014) for the shift; Levy, Goldberg, Dagan (TACL 2015) for alpha.

    Example:
        >>> from scipy.sparse import csr_array
        >>> ppmi(csr_array([[0.0, 2.0], [2.0, 0.0]]), shift=1.0).toarray().round(3)
        array([[0.   , 0.693],
               [0.693, 0.   ]])
    """
    if not (0 < shift < math.inf and 0 < alpha <= 100):
        raise ValueError(
            f"ppmi needs shift > 0 and alpha > 0 (up to 100), got {shift} and {alpha}."
        )
    counts = _counts("ppmi", counts)
    rows, columns = (np.asarray(counts.sum(axis=axis)).ravel() for axis in (1, 0))
    if not (rows > 0).all():
        raise ValueError(
            f"ppmi: word {int(np.argmin(rows))} has no neighbour at all; raise min_count or window."
        )
    with np.errstate(over="ignore"):
        smoothed = columns**alpha
    if not 0 < smoothed.sum() < math.inf:
        raise ValueError(f"ppmi: counts up to {columns.max():.3g} to the power {alpha} overflow.")
    smoothed /= smoothed.sum()
    i, j = counts.coords
    values = np.log(counts.data / (rows[i] * smoothed[j])) - math.log(shift)
    kept = values > 0
    return type(counts)((values[kept], (i[kept], j[kept])), shape=counts.shape).tocsr()


@typed
def svd_embed(
    M: Sparse, d: int = 100, *, power: float = 0.5, seed: int = 0
) -> Float64[Tensor, "V d"]:
    r"""Rows of $U_d S_d^{\mathrm{power}}$ from the best rank-d approximation of a sparse matrix.

    The approximation is the one of book equation `eq-eckart`. Signs are fixed (the entry of
    largest modulus in each column is positive) and the iteration starts from a seeded vector, so
    that the same matrix gives the same vectors. A few seconds for 5000 words.

    Args:
        M: A SciPy sparse matrix such as the PPMI.
        d: Number of dimensions, smaller than either side of M.
        power: How much the singular values count: 1 for $U S$, 0 for $U$ alone.
        seed: Of the starting vector.

    Raises:
        TypeError: If M is no sparse matrix of real numbers.
        ValueError: If d is not in [1, min(M.shape)), seed or power is negative, or M is zero, not
            finite, or beyond the range of squares.

    Source:
        Levy, Goldberg, Dagan (TACL 2015) for power = 1/2, the symmetric choice.

    Example:
        >>> from scipy.sparse import csr_array
        >>> M = csr_array([[2.0, 0, 0], [0, 1, 0], [0, 0, 0]])
        >>> svd_embed(M, 1, power=1.0).abs().round(decimals=6).tolist()
        [[2.0], [0.0], [0.0]]
    """
    from scipy.sparse.linalg import svds

    largest = float(np.abs(_sparse("svd_embed", M).data).max(initial=0))
    if not 1 <= d < min(M.shape) or not 0 <= power < math.inf:
        raise ValueError(
            f"svd_embed needs 1 <= d < {min(M.shape)} and power >= 0, got d={d}, power={power}."
        )
    if not 1e-150 < largest < 1e150:
        raise ValueError(f"svd_embed needs entries whose squares are floats, got up to {largest}.")
    if seed < 0:
        raise ValueError(f"svd_embed needs seed >= 0, got {seed}.")
    start = np.random.default_rng(seed).standard_normal(min(M.shape))
    U, S, _ = svds(M, k=d, v0=start)
    order = np.argsort(-S, kind="stable")
    U, S = U[:, order], S[order]
    leading = U[np.abs(U).argmax(axis=0), np.arange(d)]
    with np.errstate(over="ignore"):
        scale = S**power
    if not np.isfinite(scale).all():
        raise ValueError(f"svd_embed: singular values to the power {power} overflow.")
    return torch.from_numpy(U * np.sign(leading) * scale)


@typed
def information_gain(counts: Sparse) -> Float64[Tensor, " V"]:
    r"""What a word says about its neighbours: $\mathrm{KL}(p(\cdot\mid w)\,\|\,p)$, in nats.

    O(nonzeros). Rare words have large values for want of data: see the chapter.

    Raises:
        TypeError: If counts is no sparse matrix of real numbers.
        ValueError: If counts are negative, not finite or not square, or a word has no
            co-occurrence.

    Source:
        Oyama, Yokoi, Shimodaira (EMNLP 2023).

    Example:
        >>> from scipy.sparse import csr_array
        >>> information_gain(csr_array([[0.0, 2.0], [2.0, 0.0]])).tolist()  # log 2
        [0.6931471805599453, 0.6931471805599453]
    """
    counts = _counts("information_gain", counts)
    rows, columns = (np.asarray(counts.sum(axis=axis)).ravel() for axis in (1, 0))
    if not (rows > 0).all():
        raise ValueError(f"information_gain: word {int(np.argmin(rows))} has no neighbour at all.")
    i, j = counts.coords
    given = counts.data / rows[i]
    terms = given * np.log(given * columns.sum() / columns[j])
    return torch.from_numpy(np.bincount(i, weights=terms, minlength=counts.shape[0]))


def require_tokens(tokens: list[list[str]]) -> None:
    """Refuse texts that are no lists of words; the type checker looks at one word only."""
    for number, text in enumerate(tokens):
        if not isinstance(text, list) or not all(isinstance(word, str) for word in text):
            shown = " ".join(repr(text).split())[:60]
            raise TypeError(f"text {number} must be a list of words, got {shown}.")


def _require_words(words: list[str], rows: Tensor) -> None:
    for number, word in enumerate(words):
        if not isinstance(word, str):
            raise TypeError(f"word {number} must be a string, got {word!r}.")
    if len(words) != len(rows):
        raise ValueError(f"there are {len(words)} words, got {len(rows)} rows for them.")
    if rows.is_meta:
        raise TypeError("the rows are on the meta device, got no numbers.")


def _sparse(function: str, M: Sparse) -> Sparse:
    from scipy.sparse import issparse

    if not issparse(M) or M.dtype.kind not in "biuf":
        got = f"entries of {M.dtype}" if issparse(M) else type(M).__name__
        raise TypeError(f"{function} needs a sparse matrix of real numbers, got {got}.")
    return M


def _counts(function: str, counts: Sparse) -> Sparse:
    """Co-occurrences as coordinates, if they are some."""
    counts = _sparse(function, counts).tocoo()
    if counts.shape[0] != counts.shape[1] or counts.shape[0] == 0:
        raise ValueError(f"{function} needs a square matrix, got shape {counts.shape}.")
    if not (counts.data >= 0).all() or not np.isfinite(counts.data.sum()):
        raise ValueError(
            f"{function} needs counts >= 0 with a finite sum, got {counts.data.min()} to "
            f"{counts.data.max()}."
        )
    return counts
