"""Small good values, the same at every call."""

import torch
from torch import Generator, Tensor

F64, CPU = torch.float64, torch.device("cpu")


def rng() -> Generator:
    """A fresh generator, always in the same state."""
    return torch.Generator().manual_seed(1)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Independent standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def weights(n: int, seed: int = 0) -> Tensor:
    """Probabilities, none of them small."""
    p = 1 + torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return p / p.sum()


def gram(n: int, seed: int = 0) -> Tensor:
    """A positive definite Gram matrix."""
    x = normal(n, n + 2, seed=seed)
    return x @ x.T / n
