"""Three tasks that ask a network to remember (chapter `rnn-gradients`)."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor

from derive._typing import typed

SYMBOLS, COPIED = 8, 10  # of the copying task
BLANK, GO = SYMBOLS, SYMBOLS + 1


class Sequences(NamedTuple):
    """Images read pixel by pixel: x of shape (num, 64, 1) in [0, 1], labels in 0..9."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor


@typed
def adding(
    num: int, T: int, generator: Generator
) -> tuple[Float[Tensor, "{num} {T} 2"], Float[Tensor, " {num}"]]:
    """The adding problem: numbers with two of them marked, and the sum of these two.

    x[:, :, 0] is uniform on (0, 1); x[:, :, 1] is 1 at two places, one in each half of the
    sequence, and 0 elsewhere. Who always answers 1 has a mean squared error of 1/6 (book equation
    `eq-adding`). O(num T) time and memory, float32.

    Args:
        num: How many sequences.
        T: Their length; the halves of an odd one have lengths T // 2 and T - T // 2.
        generator: Source of randomness, on the CPU.

    Raises:
        ValueError: If num < 1, or T < 2, where the markers would coincide.

    Source:
        Hochreiter and Schmidhuber (1997), section 5.4, in the form of Arjovsky et al. (2016).

    Example:
        >>> x, y = adding(5, 10, torch.Generator().manual_seed(0))
        >>> torch.equal((x[:, :, 0] * x[:, :, 1]).sum(dim=1), y)
        True
    """
    if num < 1 or T < 2:
        raise ValueError(f"adding needs num >= 1 and T >= 2 (two markers), got {num} and T={T}.")
    values = torch.rand(num, T, generator=generator, dtype=torch.float32)
    first = torch.randint(0, T // 2, (num,), generator=generator)
    second = torch.randint(T // 2, T, (num,), generator=generator)
    marks = torch.zeros_like(values)
    rows = torch.arange(num)
    marks[rows, first] = 1
    marks[rows, second] = 1
    return torch.stack([values, marks], dim=2), (values * marks).sum(dim=1)


@typed
def copying(
    num: int, T: int, generator: Generator
) -> tuple[Int64[Tensor, "{num} {T}+20"], Int64[Tensor, "{num} {T}+20"]]:
    """The copying problem: ten symbols to be repeated after T further steps, as token ids.

    The input is ten symbols in 0..7, T - 1 blanks (8), the sign to begin (9) and ten blanks; the
    target is T + 10 blanks, then the symbols. Who knows all but the symbols has a mean
    cross-entropy of 10 log 8 / (T + 20) (book equation `eq-adding`). O(num T) time and memory.

    Args:
        num: How many sequences.
        T: How long to wait.
        generator: Source of randomness, on the CPU.

    Raises:
        ValueError: If num < 1 or T < 1.

    Source:
        Hochreiter and Schmidhuber (1997); Arjovsky, Shah, Bengio (ICML 2016), section 4.1.

    Example:
        >>> x, y = copying(1, 2, torch.Generator().manual_seed(0))
        >>> x[0, 10:].tolist(), torch.equal(x[0, :10], y[0, -10:])
        ([8, 9, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8], True)
    """
    if num < 1 or T < 1:
        raise ValueError(f"copying needs num >= 1 and T >= 1, got {num} and T={T}.")
    symbols = torch.randint(0, SYMBOLS, (num, COPIED), generator=generator)
    x = torch.full((num, T + 2 * COPIED), BLANK)
    y = x.clone()
    x[:, :COPIED] = symbols
    x[:, COPIED + T - 1] = GO
    y[:, -COPIED:] = symbols
    return x, y


@typed
def sequential_digits(*, generator: Generator | None = None, test_share: float = 0.25) -> Sequences:
    """scikit-learn's 1797 handwritten digits, 8 x 8, read pixel by pixel: sequences of 64.

    The first 1 - test_share of them are for training, the rest for testing: they stem from
    other writers. O(1) time; nothing is downloaded.

    Args:
        generator: If given, the pixels of all images are put in one random order.
        test_share: The share for testing.

    Raises:
        ValueError: If test_share is not in (0, 1).

    Example:
        >>> data = sequential_digits()
        >>> data.x_train.shape, data.x_test.shape
        (torch.Size([1347, 64, 1]), torch.Size([450, 64, 1]))
    """
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must be in (0, 1), got {test_share}.")
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.from_numpy(digits.data / 16).float()[:, :, None]
    y = torch.from_numpy(digits.target).long()
    if generator is not None:
        x = x[:, torch.randperm(64, generator=generator)]
    cut = int(len(x) * (1 - test_share))
    return Sequences(x[:cut], y[:cut], x[cut:], y[cut:])
