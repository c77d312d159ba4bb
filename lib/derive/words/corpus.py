"""Texts without a download, and their words (chapter `wmd-wrd`)."""

import hashlib
import re
from typing import NamedTuple

from derive._typing import typed
from derive.data import docstrings

# Words that carry grammar, not a subject. Left in, they dominate every distance between texts.
_GRAMMAR = """
about above after all also an and any are as at be because been before being below between both
but by can cannot could did do does done during each either else for from had has have having her
here his how however if in into is it its just may me might more most must my no nor not of off on
once one only or other otherwise our out over own same shall she should since so some such than
that the their them then there these they this those through thus to too two under until up upon
us very was we were what when where whether which while who whom whose why will with within
without would you your
"""
STOP_WORDS = frozenset(_GRAMMAR.split())

_WORD = re.compile(r"[a-z]{2,}")


class Corpus(NamedTuple):
    """Texts, where each comes from, and a fingerprint of them all."""

    texts: list[str]
    labels: list[str]
    """Package and submodule, such as `scipy.signal`: the topic of the text."""
    names: list[str]
    digest: str
    """Changes whenever a text does: the versions of the packages decide."""


@typed
def docstring_corpus(num: int, *, min_length: int = 300) -> Corpus:
    """Docstrings of numpy, scipy and scikit-learn, labelled by the submodule they document.

    No text occurs twice, and the same versions of the packages give the same corpus (and of
    Python: from 3.12 on NumPy lacks `numpy.distutils`); see `derive.data.docstrings` for the order
    and for what is read. About 2 ms a text.

    Args:
        num: How many texts.
        min_length: The fewest characters a text may have.

    Raises:
        ValueError: If num < 1, or fewer than num such texts are installed.

    Example:
        >>> corpus = docstring_corpus(3)
        >>> len(corpus.texts), corpus.labels[0].split(".")[0] in ("numpy", "scipy", "sklearn")
        (3, True)
    """
    texts, names = docstrings(num, min_length=min_length)
    labels = [".".join(name.split(".")[:2]) for name in names]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    return Corpus(texts, labels, names, digest)


@typed
def tokenize(text: str) -> list[str]:
    """The words of a text in their order: runs of two or more Latin letters, in lower case.

    Digits, signs and underscores separate words, so that `train_test_split` gives three.

    Example:
        >>> tokenize("Fast Fourier transform: `rfft(x, n=8)` of real input.")
        ['fast', 'fourier', 'transform', 'rfft', 'of', 'real', 'input']
    """
    return _WORD.findall(text.lower())
