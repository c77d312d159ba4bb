"""Transport problems by the hundred: the solver, and as little as possible around it."""

from collections.abc import Callable

import numpy as np
import torch

from derive.transport import ConvergenceError, emd

# Weights and costs, checked before, to the optimal cost and the optimal prices of the rows.
Solver = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]

_OPTIMAL = 1  # POT's code for success


def solver() -> Solver:
    """POT's compiled network simplex where it is installed, else `derive.transport.emd`.

    `ot.emd` and `transport.emd` check their input and build the whole answer, which for two
    texts of 25 words takes twice as long as solving.
    """
    try:
        from ot.lp.emd_wrap import emd_c
    except ImportError:
        return _by_transport

    def solve(p: np.ndarray, q: np.ndarray, C: np.ndarray) -> tuple[float, np.ndarray]:
        # Sums that differ in the last digit would be an infeasible problem.
        q = q * (p.sum() / q.sum())
        steps = max(100_000, 50 * C.size)
        _, cost, prices, _, code = emd_c(p, q, np.ascontiguousarray(C), steps, 1)
        if code != _OPTIMAL:
            raise ConvergenceError(f"POT's network simplex gave up with code {code}.")
        return cost, prices

    return solve


def _by_transport(p: np.ndarray, q: np.ndarray, C: np.ndarray) -> tuple[float, np.ndarray]:
    found = emd(*map(torch.from_numpy, (p, q, np.ascontiguousarray(C))))
    return found.cost.item(), found.f.numpy()
