"""Exact transport against POT and SciPy's linear programme; streaming Sinkhorn and its memory.

Run `python -m bench.transport` from the repository's root; about four minutes.
"""

import math
import sys
import time
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from bench import harness
from derive.transport import certificate_points, emd, emd_cost, exact, sinkhorn_points

F64 = torch.float64
POT, POT_BARE = "POT emd2", "POT emd2, its checks off"
BATCH, ARRAYS, SINGLE = "emd_cost, a batch", "solve_cost, arrays", "emd, plan and prices"

# n, problems a round, repeats, goal against POT's emd2
EVEN = [(8, 400, 9, 5.0), (16, 300, 9, 5.0), (32, 200, 9, 5.0), (128, 20, 5, None)]
UNEVEN = [(8, 40, 5), (32, 20, 5), (128, 4, 3)]
POINTS, SWEEPS, EPSILON = 20_000, 30, 0.05


def main() -> list[dict]:
    rows = [equal_weights(*size) for size in EVEN]
    rows += [any_weights(*size) for size in UNEVEN]
    rows += [streaming(), agreement()]
    return rows


def problems(n: int, num: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Costs between points in R^50, as texts would have them, and weights."""
    generator = torch.Generator().manual_seed(n)
    x, y = torch.randn(2, num, n, 50, generator=generator, dtype=F64)
    weights = torch.rand(num, n, generator=generator, dtype=F64) + 0.1
    return torch.cdist(x, y), weights / weights.sum(dim=1, keepdim=True)


def equal_weights(n: int, num: int, repeats: int, goal: float | None) -> dict:
    """n against n points of equal weight: an assignment."""
    import ot

    C, _ = problems(n, num)
    arrays, even = list(C.numpy()), torch.full((n,), 1 / n, dtype=F64)
    weights = even.numpy()
    quick = {"check_marginals": False, "center_dual": False}
    runs = harness.cpu_seconds(
        {
            POT: lambda: [ot.emd2(weights, weights, one) for one in arrays],
            POT_BARE: lambda: [ot.emd2(weights, weights, one, **quick) for one in arrays],
            BATCH: lambda: emd_cost(C),
            ARRAYS: lambda: [exact.solve_cost(one) for one in arrays],
            SINGLE: lambda: [emd(even, even, one) for one in C],
        },
        repeats=repeats,
    )
    row = _row(f"{n} x {n}, equal weights", n, num, runs)
    base = row["seconds"]
    row["others"] = {
        f"{peer} / {ours}": harness.significant(base[peer]["median"] / base[ours]["median"])
        for peer in (POT, POT_BARE)
        for ours in (BATCH, ARRAYS, SINGLE)
    }
    value = base[POT]["median"] / base[BATCH]["median"]
    row["ratios"] = [harness.ratio(f"{POT} / {BATCH}", value, goal=goal)] if goal else []
    return row


def any_weights(n: int, num: int, repeats: int) -> dict:
    """n against n points of other weights: POT's solver and SciPy's, with our checks around."""
    import ot

    C, p = problems(n, num)
    q = p.flip(0)
    triples = list(zip(p, q, C, strict=True))
    arrays = [tuple(part.numpy() for part in triple) for triple in triples]
    runs = harness.cpu_seconds(
        {
            POT: lambda: [ot.emd2(*triple) for triple in arrays],
            BATCH: lambda: emd_cost(C, p, q),
            SINGLE: lambda: [emd(*triple) for triple in triples],
            "emd_cost by HiGHS": lambda: emd_cost(C, p, q, solver="highs"),
        },
        repeats=repeats,
    )
    row = _row(f"{n} x {n}, any weights", n, num, runs)
    base = row["seconds"]
    row["others"] = {
        f"{name} / {POT}": harness.significant(base[name]["median"] / base[POT]["median"])
        for name in base
        if name != POT
    }
    return row


def streaming() -> dict:
    """Sweeps between two clouds whose cost matrix would take gigabytes, then the certificate."""
    x, y = _clouds(POINTS)
    start = time.process_time()
    sinkhorn_points(x, y, epsilon=EPSILON, num_sweeps=3)
    sweep = (time.process_time() - start) / 4  # the error of the last, and the costs' spread
    start = time.process_time()
    found = sinkhorn_points(x, y, epsilon=EPSILON, num_sweeps=SWEEPS, anneal=True)
    sweeping = time.process_time() - start
    start = time.process_time()
    bounds = certificate_points(x, y, found.f, found.g, epsilon=EPSILON)
    certifying = time.process_time() - start
    extra = harness.peak_extra_mb("bench.transport", "streaming_case", n=POINTS, sweeps=2)
    matrix = POINTS**2 * 4 // 2**20
    ratios = []
    if extra is not None:
        name = f"MB (one {POINTS} x {POINTS} float32 matrix: {matrix})"
        ratios = [harness.ratio(name, extra, goal=2048, at_least=False)]
    return {
        "task": f"streaming Sinkhorn, {POINTS} x {POINTS} points in R^3, float32",
        "epsilon": EPSILON,
        "sweeps": SWEEPS,
        "seconds a sweep": harness.significant(sweep),
        "seconds of all": harness.significant(sweeping),
        "seconds of the certificate": harness.significant(certifying),
        "marginal error": harness.significant(found.marginal_error.item()),
        "W between": [_down(bounds.lower), _up(bounds.upper)],
        "OT_epsilon between": [_down(found.lower), _up(found.upper)],
        "ratios": ratios,
    }


def agreement() -> dict:
    """All solvers give the same cost."""
    import ot

    worst = 0.0
    for n in (8, 32, 128):
        C, p = problems(n, 10)
        q = p.flip(0)
        peers = [ot.emd2(a.numpy(), b.numpy(), c.numpy()) for a, b, c in zip(p, q, C, strict=True)]
        peers = torch.tensor(peers, dtype=F64)
        worst = max(
            worst,
            (emd_cost(C, p, q) - peers).abs().max().item(),
            (emd_cost(C, p, q, solver="highs") - peers).abs().max().item(),
            (emd_cost(C) - emd_cost(C, solver="highs")).abs().max().item(),
        )
    claim = harness.ratio("largest difference", worst, goal=1e-9, at_least=False)
    return {"task": "all solvers on 60 problems", "ratios": [claim]}


def streaming_case(n: int, sweeps: int):
    """The call whose memory `streaming` measures, and a small one to make first."""
    x, y = _clouds(n)

    def call(x, y):
        found = sinkhorn_points(x, y, epsilon=EPSILON, num_sweeps=sweeps)
        return certificate_points(x, y, found.f, found.g, epsilon=EPSILON)

    return lambda: call(x, y), lambda: call(x[:100], y[:100])


def _down(value: torch.Tensor) -> float:
    """An end of an interval is rounded away from it."""
    return math.floor(1000 * value.item()) / 1000


def _up(value: torch.Tensor) -> float:
    return math.ceil(1000 * value.item()) / 1000


def _clouds(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(n, 3, generator=generator),
        0.7 * torch.randn(n, 3, generator=generator) + 0.5,
    )


def _row(task: str, n: int, num: int, runs: dict[str, list[float]]) -> dict:
    each = {name: [seconds / num for seconds in times] for name, times in runs.items()}
    return {"task": task, "n": n, "seconds": harness.summary(each)}


if __name__ == "__main__":
    harness.run("transport", main, ("torch", "numpy", "scipy", "POT"))
