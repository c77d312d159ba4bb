"""What the exact models ask of their input."""

import math

import torch
from torch import Tensor


def check_noise(alpha: float, sigma: float) -> None:
    """A signal is there or not, noise is there or not, but not neither."""
    if not (math.isfinite(alpha) and math.isfinite(sigma) and alpha >= 0 and sigma >= 0):
        raise ValueError(f"needs finite alpha >= 0 and sigma >= 0, got {alpha} and {sigma}.")
    if alpha == 0 and sigma == 0:
        raise ValueError("alpha = sigma = 0 leaves neither signal nor noise.")


def check_weights(weights: Tensor) -> None:
    """Weights are >= 0 and sum to one."""
    if len(weights) == 0 or not torch.isfinite(weights).all() or (weights < 0).any():
        least = f"{weights.min().item():g}" if len(weights) else "none"
        raise ValueError(f"weights must be finite, >= 0 and at least one, got {least}.")
    total = weights.double().sum().item()
    if abs(total - 1) > 1e-6:
        raise ValueError(f"weights must sum to 1, got {total:.9g}; divide by their sum.")
