"""Random projections against scikit-learn's transforms, one matrix product, and reading the data.

Run `python -m bench.random_projection` from the repository's root; about three minutes.
"""

import statistics
import sys
import time
import warnings
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from bench import harness
from derive.random_projection import distortion, random_map

OURS, DENSE = "random_map", "random_map, dense signs"
GAUSSIAN, SPARSE = "scikit-learn GaussianRandomProjection", "scikit-learn SparseRandomProjection"
PRODUCT, READING = "torch.mm", "reading the input"

# rows, d, k, repeats, goal against scikit-learn's Gaussian projection (None: no claim)
SIZES = [
    (2000, 10000, 475, 5, 3.5),
    (2000, 10000, 1100, 5, 5.0),
    (1000, 10000, 2285, 5, 8.0),
    (500, 10000, 8488, 3, 15.0),
    (25000, 1024, 128, 7, None),
    (25000, 1024, 256, 7, 2.0),
    (25000, 1024, 663, 5, 2.0),
]
STREAM_ROWS, STREAM_BLOCK = 1_000_000, 50_000


def main() -> list[dict]:
    rows = [transform(*size) for size in SIZES]
    rows += [stream(), memory(), distortion_memory()]
    return rows


def transform(n: int, d: int, k: int, repeats: int, goal: float | None) -> dict:
    """Projecting n rows with a map that is already drawn, and drawing it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator)
    out, array = torch.empty(n, k), x.numpy()
    drawing, sklearn = {}, {}
    for name in (GAUSSIAN, SPARSE):
        start = time.process_time()
        sklearn[name] = _sklearn(name, k, array)
        drawing[name] = harness.significant(time.process_time() - start)
    start = time.process_time()
    ours = random_map(d, k, generator=generator)
    drawing[OURS] = harness.significant(time.process_time() - start)
    dense = random_map(d, k, kind="sign", generator=generator)
    matrix = torch.randn(d, k, generator=generator)
    runs = harness.cpu_seconds(
        {
            GAUSSIAN: lambda: sklearn[GAUSSIAN].transform(array),
            SPARSE: lambda: sklearn[SPARSE].transform(array),
            PRODUCT: lambda: torch.mm(x, matrix, out=out),
            DENSE: lambda: dense(x, out=out),
            OURS: lambda: ours(x, out=out),
            READING: lambda: x.sum(),
        },
        repeats=repeats,
    )
    median = {name: statistics.median(times) for name, times in runs.items()}
    # These two differ by a few per cent at most, less than a neighbour's noise: more turns, pairs.
    close = harness.cpu_seconds(
        {PRODUCT: lambda: torch.mm(x, matrix, out=out), DENSE: lambda: dense(x, out=out)},
        repeats=3 * repeats,
    )
    pairs = zip(close[DENSE], close[PRODUCT], strict=True)
    overhead = statistics.median(mapped / bare for mapped, bare in pairs)
    ratios = [harness.ratio("dense map / torch.mm", overhead, goal=1.05, at_least=False)]
    if goal:
        ratios.insert(
            0,
            harness.ratio(
                "scikit-learn Gaussian / random_map", median[GAUSSIAN] / median[OURS], goal=goal
            ),
        )
    return {
        "task": f"{n} x {d} to k={k}",
        "n": n,
        "d": d,
        "k": k,
        "kind": ours.kind,
        "seconds": harness.summary(runs),
        "drawing": drawing,
        "others": {
            "scikit-learn Sparse / random_map": harness.significant(median[SPARSE] / median[OURS]),
            "torch.mm / random_map": harness.significant(median[PRODUCT] / median[OURS]),
            "random_map / reading": harness.significant(median[OURS] / median[READING]),
        },
        "ratios": ratios,
    }


def stream(d: int = 1024, k: int = 663) -> dict:
    """A million rows, block by block, each block made, projected and dropped."""
    generator = torch.Generator().manual_seed(0)
    ours = random_map(d, k, generator=generator)
    sample = torch.randn(STREAM_BLOCK, d, generator=generator)
    peer = _sklearn(GAUSSIAN, k, sample.numpy())
    block, out = torch.empty(STREAM_BLOCK, d), torch.empty(STREAM_BLOCK, k)
    spent, peers, before, after = [], [], 0.0, 0.0
    for number in range(STREAM_ROWS // STREAM_BLOCK):
        torch.randn(STREAM_BLOCK, d, generator=generator, out=block)
        start = time.process_time()
        ours(block, out=out)
        spent.append(time.process_time() - start)
        before += block.square().sum().item()
        after += out.square().sum().item()
        if number % 3 == 0:  # every third block is enough to know the peer's median
            start = time.process_time()
            peer.transform(block.numpy())
            peers.append(time.process_time() - start)
    return {
        "task": f"stream of {STREAM_ROWS} x {d} to k={k}, blocks of {STREAM_BLOCK}",
        "n": STREAM_ROWS,
        "d": d,
        "k": k,
        "kind": ours.kind,
        "seconds": harness.summary({f"{OURS}, a block": spent, f"{GAUSSIAN}, a block": peers}),
        "total_seconds": harness.significant(sum(spent)),
        "mean_squared_norm_ratio": harness.significant(after / before, 5),
        "ratios": [
            harness.ratio(
                "scikit-learn Gaussian / random_map",
                statistics.median(peers) / statistics.median(spent),
                goal=2.0,
            )
        ],
    }


def memory() -> dict:
    """Peak memory of a call beyond its inputs and its output."""
    measured, ratios = {}, []
    for kind, n, d, k in (
        ("auto", 5000, 10_000, 1100),
        ("kronecker", 5000, 10_000, 1100),
        ("auto", 50_000, 1024, 663),
        ("sign", 50_000, 1024, 256),
        ("srht", 20_000, 1024, 256),
    ):
        extra = harness.peak_extra_mb(
            "bench.random_projection", "map_case", kind=kind, n=n, d=d, k=k
        )
        if extra is not None:
            name = f"{kind}, {n} x {d} to {k}, MB beyond the output"
            measured[name] = extra - n * k * 4 / 2**20
            ratios.append(harness.ratio(name, measured[name], goal=32, at_least=False))
    peer = harness.peak_extra_mb(
        "bench.random_projection",
        "sklearn_case",
        processes=1,
        name=SPARSE,
        n=5000,
        d=10_000,
        k=1100,
    )
    if peer is not None:
        measured[f"{SPARSE}, 5000 x 10000 to 1100"] = peer - 5000 * 1100 * 4 / 2**20
    return {
        "task": "extra memory",
        "megabytes": {name: harness.significant(value) for name, value in measured.items()},
        "ratios": ratios,
    }


def distortion_memory(n: int = 20_000, d: int = 512) -> dict:
    """Peak memory of comparing all pairs, where an n x n matrix would take gigabytes."""
    extra = harness.peak_extra_mb(
        "bench.random_projection", "distortion_case", processes=1, n=n, d=d, k=128
    )
    ratios = []
    if extra is not None:
        name = f"MB (one {n} x {n} float64 matrix: {n * n * 8 // 2**20})"
        ratios = [harness.ratio(name, extra, goal=1024, at_least=False)]
    return {"task": f"distortion of {n} x {d}, extra memory", "ratios": ratios}


def map_case(kind: str, n: int, d: int, k: int):
    """The call whose memory `memory` measures."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    drawn = random_map(d, k, kind=kind, generator=torch.Generator().manual_seed(1))
    return lambda: drawn(x), lambda: drawn(x[:2])


def sklearn_case(name: str, n: int, d: int, k: int):
    """The same for a peer."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0)).numpy()
    drawn = _sklearn(name, k, x)
    return lambda: drawn.transform(x), lambda: drawn.transform(x[:2])


def distortion_case(n: int, d: int, k: int):
    """The call whose memory `distortion_memory` measures."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator)
    y = random_map(d, k, generator=generator)(x)
    return lambda: distortion(x, y), lambda: distortion(x[:4], y[:4])


def _sklearn(name: str, k: int, array):
    from sklearn import random_projection

    peer = getattr(random_projection, name.split()[-1])(n_components=k, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about k > d, which is not so here
        return peer.fit(array[:2])


if __name__ == "__main__":
    harness.run("random_projection", main)
