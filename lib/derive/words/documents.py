"""Many texts as weighted words on one table of vectors (chapter `wmd-wrd`)."""

import warnings
from collections import Counter
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite
from derive.words.vectors import WordVectors, require_tokens


@typed
@dataclass(frozen=True)
class Documents:
    """Texts as rows of a sparse matrix: text i owns the entries offsets[i] to offsets[i + 1].

    `docs[i]` is the pair (vectors, weights) of text i, `docs.part(a, b)` a smaller collection.

    Raises:
        TypeError: If the shapes disagree or the entries are of another kind.
        ValueError: If the offsets do not cut the entries into texts of at least one word, a word
            has no vector, a vector is not finite, or a weight not finite and positive.
    """

    vectors: Float[Tensor, "V d"]
    """One vector for each word of the vocabulary, shared by all texts."""
    offsets: Int64[Tensor, " bounds"]
    words: Int64[Tensor, " entries"]
    """Rows of `vectors`, in increasing order within a text."""
    weights: Float64[Tensor, " entries"]
    """How much each word counts, > 0; distances divide by a text's sum."""
    dropped: int = 0
    """Tokens that had no vector."""

    def __post_init__(self) -> None:
        if any(x.is_meta for x in (self.vectors, self.offsets, self.words, self.weights)):
            raise TypeError("documents must hold numbers, got tensors on the meta device.")
        check_finite("vectors", self.vectors)
        offsets, entries = self.offsets, len(self.words)
        if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != entries:
            raise ValueError(
                f"offsets must lead from 0 to the {entries} entries, got {offsets.tolist()[:9]}."
            )
        if not (offsets.diff() > 0).all():
            raise ValueError(f"each text needs an entry, got offsets {offsets.tolist()[:9]}.")
        low, high = int(self.words.min()), int(self.words.max())
        if low < 0 or high >= len(self.vectors):
            raise ValueError(
                f"words must be rows of the {len(self.vectors)} vectors, got {low} to {high}."
            )
        if not (torch.isfinite(self.weights) & (self.weights > 0)).all():
            raise ValueError(
                "weights must be finite and positive, got values from "
                f"{self.weights.min().item():.3g} to {self.weights.max().item():.3g}."
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        if not -len(self) <= number < len(self):
            raise IndexError(f"there are {len(self)} documents, asked for number {number}.")
        low, high = self.offsets[number % len(self)], self.offsets[number % len(self) + 1]
        return self.vectors[self.words[low:high]], self.weights[low:high]

    @typed
    def part(self, start: int, stop: int) -> "Documents":
        """Documents start to stop - 1, on the same vectors; `dropped` stays that of all.

        Raises:
            ValueError: Unless 0 <= start < stop <= number of documents.
        """
        if not 0 <= start < stop <= len(self):
            raise ValueError(f"part needs 0 <= start < stop <= {len(self)}, got {start}, {stop}.")
        offsets = self.offsets[start : stop + 1]
        inside = slice(int(offsets[0]), int(offsets[-1]))
        words, weights = self.words[inside], self.weights[inside]
        return Documents(self.vectors, offsets - offsets[0], words, weights, self.dropped)


@typed
def documents(
    tokens: list[list[str]],
    vectors: WordVectors,
    *,
    importance: Float[Tensor, " V"] | None = None,
) -> Documents:
    """Count the words of each text, and give them vectors. O(number of tokens).

    Words without a vector are dropped and counted; if that is the majority a warning says so,
    because then the vectors are for other texts, or the tokens were cut in another way.

    Args:
        tokens: The words of each text.
        vectors: Their vectors.
        importance: A factor for each word of `vectors` (inverse document frequencies, say);
            a word's weight is its count times this factor.

    Raises:
        TypeError: If a word is no string.
        ValueError: If there is no text, a text has no word with a vector, or there is not one
            positive importance for each vector.

    Example:
        >>> vectors = WordVectors(["cat", "dog"], torch.eye(2))
        >>> docs = documents([["a", "cat", "cat", "dog"], ["dog"]], vectors)
        >>> docs.weights.tolist(), docs.dropped
        ([2.0, 1.0, 1.0], 1)
    """
    if not tokens:
        raise ValueError("documents needs at least one text, got none.")
    require_tokens(tokens)
    if importance is not None and len(importance) != len(vectors):
        raise ValueError(f"importance must be {len(vectors)} numbers, got {len(importance)}.")
    if importance is not None and not (torch.isfinite(importance) & (importance > 0)).all():
        raise ValueError(
            "importance must be positive and finite, got values from "
            f"{importance.min().item():.3g} to {importance.max().item():.3g}; leave words out of "
            "the texts."
        )
    index = vectors.index
    offsets, words, counts = [0], list[int](), list[int]()
    for number, text in enumerate(tokens):
        known = Counter(index[word] for word in text if word in index)
        if not known:
            shown = " ".join(text[:8]) or "nothing"
            raise ValueError(
                f"document {number} has no word with a vector (it begins: {shown}); leave it out."
            )
        for word in sorted(known):
            words.append(word)
            counts.append(known[word])
        offsets.append(len(words))
    total, kept = sum(map(len, tokens)), sum(counts)
    if kept < total / 2:
        warnings.warn(
            f"{total - kept} of {total} tokens have no vector and were dropped.", stacklevel=2
        )
    rows = torch.tensor(words)
    weights = torch.tensor(counts, dtype=torch.float64)
    if importance is not None:
        weights = weights * importance.double()[rows]
    return Documents(vectors.vectors, torch.tensor(offsets), rows, weights, total - kept)
