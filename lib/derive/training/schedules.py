"""Learning-rate schedules: functions from a step (0, 1, …) to a factor on the learning rate."""

import math
from collections.abc import Callable

from derive._typing import typed

Schedule = Callable[[int], float]


@typed
def linear_warmup(steps: int) -> Schedule:
    """Factors 1/steps, 2/steps, …, 1, then 1 for ever.

    Example:
        >>> [linear_warmup(4)(step) for step in (0, 1, 3, 100)]
        [0.25, 0.5, 1.0, 1.0]
    """
    if steps < 1:
        raise ValueError(f"linear_warmup needs at least one step, got {steps}.")
    return lambda step: min(1.0, (step + 1) / steps)


@typed
def cosine(steps: int, *, warmup: int = 0, floor: float | int = 0.0) -> Schedule:
    """Half a cosine from 1 down to `floor` over so many steps, after a linear warm-up.

    Args:
        steps: Length of the training, warm-up included; later steps get the floor.
        warmup: How many of them rise linearly from 1/warmup to 1.
        floor: The last factor, in [0, 1].

    Raises:
        ValueError: If warmup is negative or leaves no steps, or the floor is outside [0, 1].

    Example:
        >>> [round(cosine(4)(step), 3) for step in range(5)]
        [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if not 0 <= warmup < steps:
        raise ValueError(f"cosine needs 0 <= warmup < steps, got warmup={warmup}, steps={steps}.")
    if not 0 <= floor <= 1:
        raise ValueError(f"cosine needs a floor between 0 and 1, got {floor}.")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / (steps - warmup))
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return factor
