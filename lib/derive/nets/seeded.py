"""Initial weights that depend on a given generator, and on nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator


@contextmanager
def seeded(generator: Generator | None) -> Iterator[None]:
    """Modules built inside draw their weights from a seed that the generator gives.

    torch's layers draw from the global generator; here it is seeded by one draw from the given
    one, and is afterwards what it was before. With `None` nothing is done.

    Raises:
        TypeError: If it is neither.

    Example:
        >>> with seeded(torch.Generator().manual_seed(1)):
        ...     one = torch.nn.Linear(2, 2)
        >>> with seeded(torch.Generator().manual_seed(1)):
        ...     same = torch.nn.Linear(2, 2)
        >>> bool((one.weight == same.weight).all())
        True
    """
    if generator is None:
        yield
        return
    if not isinstance(generator, Generator):
        raise TypeError(f"seeded needs a torch.Generator or None, got {generator!r}.")
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        torch.default_generator.manual_seed(seed)
        yield
