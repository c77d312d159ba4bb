"""Which examples a step takes, and where its random numbers come from."""

from collections.abc import Callable, Iterator, Sized
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

Sampler = Callable[[int, Generator], Any]
Data = Tensor | tuple[Tensor, ...] | Dataset | Sampler
ORDER, DRAWS, MODEL = range(3)  # what a seed is for


def derived_seed(seed: int, purpose: int, *counters: int) -> int:
    """A seed for one purpose at one place of the training, independent of all others."""
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, *counters))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def own_shares(process: int, accumulate: int) -> range:
    """The parts of each batch that a process takes: as many as it accumulates, side by side."""
    return range(process * accumulate, (process + 1) * accumulate)


class Batches:
    """The batches of one process, step by step, as a function of the step alone.

    Examples come in the order of one random permutation after another; a batch may straddle two.
    A step's batch is cut into `shares` equal parts, one for each process and each accumulation;
    every part has random numbers of its own. So two processes compute what one computes in two
    accumulated parts, and a resumed training sees what an uninterrupted one would.
    """

    def __init__(self, data: Data, *, batch_size: int, shares: int, seed: int) -> None:
        if batch_size % shares:
            raise ValueError(
                f"batch_size={batch_size} cannot be cut into {shares} equal parts "
                "(processes x accumulate)."
            )
        self.data = data
        self.batch_size = batch_size
        self.part = batch_size // shares
        self.seed = seed
        self.size = _size(data)
        self._orders: dict[int, Tensor] = {}

    def indices(self, step: int, share: int) -> Tensor:
        """The examples of one part of one step's batch."""
        if not self.size:
            raise ValueError("data that are sampled have no order.")
        first = step * self.batch_size + share * self.part
        positions = torch.arange(first, first + self.part)
        epochs = positions // self.size
        found = [
            self._order(epoch)[positions[epochs == epoch] % self.size]
            for epoch in range(int(epochs[0]), int(epochs[-1]) + 1)
        ]
        return torch.cat(found)

    def parts(self, steps: range, shares: range, workers: int) -> Iterator[Any]:
        """The parts that belong to one process, in the order in which it needs them."""
        places = [(step, share) for step in steps for share in shares]
        if isinstance(self.data, Tensor):
            data = self.data
            return (data[self.indices(*place).to(data.device)] for place in places)
        if isinstance(self.data, tuple):
            tensors = self.data
            return (
                tuple(one[index.to(one.device)] for one in tensors)
                for index in (self.indices(*place) for place in places)
            )
        if isinstance(self.data, Dataset):
            wanted = _Places(self, places)
            # A generator of its own: the loader would otherwise draw from the global one.
            own = Generator().manual_seed(self.seed)
            return iter(
                DataLoader(self.data, batch_sampler=wanted, num_workers=workers, generator=own)
            )
        draw = self.data
        return (draw(self.part, self.generator(*place)) for place in places)

    def generator(self, step: int, share: int) -> Generator:
        """The source of the random numbers of one part."""
        return Generator().manual_seed(derived_seed(self.seed, DRAWS, step, share))

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            while len(self._orders) > 1:
                self._orders.pop(min(self._orders))
            source = Generator().manual_seed(derived_seed(self.seed, ORDER, epoch))
            self._orders[epoch] = torch.randperm(self.size, generator=source)
        return self._orders[epoch]


class _Places:
    """The index lists of a sequence of parts, as a DataLoader wants them."""

    def __init__(self, batches: Batches, places: list[tuple[int, int]]) -> None:
        self.batches, self.places = batches, places

    def __iter__(self) -> Iterator[list[int]]:
        return (self.batches.indices(*place).tolist() for place in self.places)

    def __len__(self) -> int:
        return len(self.places)


def _size(data: Data) -> int:
    """How many examples there are; 0 for data that are drawn afresh."""
    if isinstance(data, tuple):
        sizes = {len(one) for one in data}
        if len(sizes) != 1:
            raise ValueError(
                "the tensors of `data` must have equally many examples, got "
                f"{[len(one) for one in data]}."
            )
        size = sizes.pop()
    elif isinstance(data, Sized):
        size = len(data)
    elif isinstance(data, Dataset):
        raise ValueError("a dataset needs a length (map-style); this one has none.")
    else:
        return 0
    if size < 1:
        raise ValueError("`data` holds no examples.")
    return size
