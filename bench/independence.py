"""HSIC and its permutation p-value against hyppo, dcor, plain torch lines, and raw transforms.

Run `python -m bench.independence` from the repository's root; about five minutes, most of it spent
in the peers. Their p-values take up to an hour at n = 5000: they are timed with a few permutations
more and a few less, and the difference is scaled to the number that ours used.
"""

import os
import statistics
import sys
import warnings
from pathlib import Path

os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # hyppo and dcor compile with numba

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from bench import _independence_peers as peers
from bench import harness
from bench._independence_peers import DCOR, GAMMA, HYPPO, D
from derive.independence import (
    Gaussian,
    dcov2,
    hsic,
    hsic_rff,
    hsic_u,
    independence_test,
    rbf_gram,
)

OURS, OURS64 = "hsic, float32", "hsic, float64"
SHIFTS, SHIFTS64 = "shifts, float32", "shifts, float64"
PLAIN, TRACE, LIMIT = "plain O(n²) torch, float32", "tr(KHLH) torch, float32", "exp and GEMM alone"
INDEX, TRANSFORMS = "permuting by index, torch, float32", "its FFTs alone, float32"

# n, repeats of ours, repeats of peers, (few, more) permutations of hyppo, of dcor, of indexing
SIZES = [
    (500, 25, 5, (10, 110), (20, 520), (20, 520)),
    (2000, 25, 3, (2, 12), (10, 160), (10, 210)),
    (5000, 25, 2, (1, 4), (10, 210), (5, 105)),
]
NULL_DATA_SETS = 10_000


def main() -> list[dict]:
    warnings.simplefilter("ignore")  # numba's and hyppo's
    rows = [agreement()]
    for n, repeats, peer_repeats, *counts in SIZES:
        rows.append(statistic(n, repeats, peer_repeats))
        rows.append(pvalue(n, repeats, *counts))
    return [*rows, large(), memory(), level(), power()]


def data(n: int, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, n, D, generator=generator, dtype=torch.float64)
    return x.to(dtype), y.to(dtype)


KERNELS = {"kernel_x": Gaussian(GAMMA), "kernel_y": Gaussian(GAMMA)}


def agreement(n: int = 500) -> dict:
    """The same numbers as the peers', before any time is compared."""
    import dcor
    from hyppo.independence import Hsic

    x, y = data(n, torch.float64)
    y = y + x.square()
    kernel = Gaussian(GAMMA)
    ours = hsic(x, y, kernel, kernel)
    scale = (hsic(x, x, kernel, kernel) * hsic(y, y, kernel, kernel)).sqrt()
    theirs = Hsic(compute_kernel="rbf", bias=False, gamma=GAMMA).statistic(x.numpy(), y.numpy())
    distance = dcor.u_distance_covariance_sqr(x.numpy(), y.numpy())
    errors = {
        "hyppo": abs((ours / scale).item() / theirs - 1),
        "dcor": abs(dcov2(x, y).item() / distance - 1),
        "hsic_u of Gram matrices": abs(
            ours / hsic_u(rbf_gram(x, GAMMA), rbf_gram(y, GAMMA)) - 1
        ).item(),
    }
    return {
        "task": f"relative difference in float64, n = {n}",
        "ratios": [
            harness.ratio(name, float(error), goal=1e-12, at_least=False)
            for name, error in errors.items()
        ],
    }


def statistic(n: int, repeats: int, peer_repeats: int) -> dict:
    """One HSIC of n observations of 10 + 10 numbers."""
    x, y = data(n)
    x64, y64 = data(n, torch.float64)
    kernel = Gaussian(GAMMA)
    ours = harness.cpu_seconds(
        {
            OURS: lambda: hsic(x, y, kernel, kernel),
            OURS64: lambda: hsic(x64, y64, kernel, kernel),
            PLAIN: lambda: peers.plain(x, y),
            LIMIT: lambda: peers.unavoidable_work(x),
        },
        repeats=repeats,
    )
    others = peers.peer_statistics(x64.numpy(), y64.numpy()) | {TRACE: lambda: peers.trace(x, y)}
    runs = ours | {name: peers.timed(call, peer_repeats) for name, call in others.items()}
    median = {name: statistics.median(times) for name, times in runs.items()}
    ratios = []
    if n == 5000:
        ratios = [
            harness.ratio(f"{HYPPO} / {OURS}", median[HYPPO] / median[OURS], goal=100),
            harness.ratio(f"{PLAIN} / {OURS}", median[PLAIN] / median[OURS], goal=20),
            harness.ratio(
                f"{OURS} / {LIMIT}", median[OURS] / median[LIMIT], goal=3, at_least=False
            ),
        ]
    return {
        "task": f"statistic, n = {n}, d = {D}",
        "n": n,
        "seconds": harness.summary(runs),
        "ratios": ratios,
    }


def pvalue(n: int, repeats: int, hyppo_counts, dcor_counts, index_counts) -> dict:
    """The whole test with at least 1000 permutations; peers scaled to the number ours used."""
    import dcor
    from hyppo.independence import Hsic

    x, y = data(n)
    x64, y64 = data(n, torch.float64)
    generator = torch.Generator().manual_seed(1)
    ours = harness.cpu_seconds(
        {
            SHIFTS: lambda: independence_test(x, y, generator=generator, **KERNELS),
            SHIFTS64: lambda: independence_test(x64, y64, generator=generator, **KERNELS),
            TRANSFORMS: lambda: peers.bare_transforms(n),
        },
        repeats=repeats,
    )
    count = independence_test(x, y, generator=generator, **KERNELS).num_permutations
    peer = Hsic(compute_kernel="rbf", bias=False, gamma=GAMMA)
    times = 1 if n > 2000 else 2  # the smaller of two: a busy neighbour only adds
    a, b = x64.numpy(), y64.numpy()
    scaled = {
        HYPPO: peers.scaled_seconds(
            lambda reps: peer.test(a, b, reps=reps, workers=1, auto=False),
            hyppo_counts,
            count,
            times,
        ),
        DCOR: peers.scaled_seconds(
            lambda reps: dcor.independence.distance_covariance_test(
                a, b, num_resamples=reps, random_state=0
            ),
            dcor_counts,
            count,
            times,
        ),
        INDEX: peers.scaled_seconds(
            lambda reps: peers.permuted_by_index(x, y, reps), index_counts, count, times
        ),
    }
    median = {name: statistics.median(times) for name, times in ours.items()}
    goals = {500: (None, None), 2000: (1000, 100), 5000: (5000, 500)}[n]
    ratios = [
        harness.ratio(f"{peer} (scaled) / {SHIFTS}", scaled[peer] / median[SHIFTS], goal=goal)
        for peer, goal in zip((HYPPO, DCOR), goals, strict=True)
        if goal
    ]
    if n >= 2000:
        own = median[SHIFTS] / median[TRANSFORMS]
        ratios.append(harness.ratio(f"{SHIFTS} / {TRANSFORMS}", own, goal=3.5, at_least=False))
    return {
        "task": f"p-value, n = {n}, d = {D}, {count} permutations",
        "n": n,
        "num_permutations": count,
        "seconds": harness.summary(ours)
        | {
            f"{name}, scaled from {counts[1] - counts[0]} permutations": {
                "median": harness.significant(scaled[name]),
                "scaled_from": counts[1] - counts[0],
            }
            for name, counts in zip(scaled, (hyppo_counts, dcor_counts, index_counts), strict=True)
        },
        "ratios": ratios,
    }


def large() -> dict:
    """Sizes whose Gram matrices would not fit, or would take hours."""
    generator = torch.Generator().manual_seed(2)
    x, y = data(20_000)
    test = peers.timed(lambda: independence_test(x, y, generator=generator, **KERNELS), 1)
    streamed = peers.timed(lambda: hsic(x, y, Gaussian(GAMMA), Gaussian(GAMMA)), 1)
    many_x, many_y = torch.randn(2, 1_000_000, D, generator=generator)
    features = {"gamma_x": GAMMA, "gamma_y": GAMMA, "n_features": 128}
    stream = peers.timed(lambda: hsic_rff(many_x, many_y, generator=generator, **features), 1)
    return {
        "task": "large samples, float32",
        "seconds": harness.summary(
            {
                "shifts, n = 20000, 20000 permutations": test,
                "hsic, n = 20000": streamed,
                "hsic_rff, n = 1000000, 128 features": stream,
            }
        ),
        "ratios": [
            harness.ratio("seconds of shifts at n = 20000", test[0], goal=6, at_least=False)
        ],
    }


def memory() -> dict:
    """Peak memory of a call above its inputs."""
    goals = {
        ("hsic", 5000): 25,
        ("hsic", 20_000): 200,
        ("shifts", 20_000): 100,
        ("hsic_rff", 1_000_000): 100,
        ("hyppo", 5000): None,
        ("dcor", 5000): None,
    }
    ratios, megabytes = [], {}
    for (name, n), goal in goals.items():
        extra = harness.peak_extra_mb("bench.independence", "memory_case", name=name, n=n)
        if extra is None:
            continue
        megabytes[f"{name}, n = {n}"] = extra
        if goal:
            ratios.append(harness.ratio(f"MB of {name}, n = {n}", extra, goal=goal, at_least=False))
    return {"task": "extra memory", "megabytes": megabytes, "ratios": ratios}


def memory_case(name: str, n: int):
    """The call whose memory `memory` measures, and a small one that loads what it needs."""
    warnings.simplefilter("ignore")
    x, y = data(n, torch.float64 if name in ("hyppo", "dcor") else torch.float32)
    generator = torch.Generator().manual_seed(0)
    kernel = Gaussian(GAMMA)
    if name == "hsic":
        return lambda: hsic(x, y, kernel, kernel), lambda: hsic(x[:600], y[:600], kernel, kernel)
    if name == "shifts":
        return (
            lambda: independence_test(x, y, generator=generator, **KERNELS),
            lambda: independence_test(x[:600], y[:600], generator=generator, **KERNELS),
        )
    if name == "hsic_rff":
        features = {"gamma_x": GAMMA, "gamma_y": GAMMA, "n_features": 128, "generator": generator}
        return lambda: hsic_rff(x, y, **features), lambda: hsic_rff(x[:600], y[:600], **features)
    a, b = x.numpy(), y.numpy()
    return (
        peers.peer_statistics(a, b)[HYPPO if name == "hyppo" else DCOR],
        peers.peer_statistics(a[:100], b[:100])[HYPPO if name == "hyppo" else DCOR],
    )


def level(n: int = 20) -> dict:
    """Rejections of true null hypotheses: independent normal samples, median heuristic off."""
    kernels = {"kernel_x": Gaussian(0.5), "kernel_y": Gaussian(0.5)}
    methods = {
        "shifts, one set": {"method": "shifts", "n_perm": 19},
        "shifts, five sets": {"method": "shifts", "n_perm": 99},
        "gamma-permutation": {"method": "gamma-permutation"},
        "gamma-gretton": {"method": "gamma-gretton"},
    }
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(2, NULL_DATA_SETS, n, 1, generator=generator, dtype=torch.float64)
    counted, ratios = [], []
    for name, options in methods.items():
        pvalues = torch.tensor(
            [
                independence_test(a, b, generator=generator, **kernels, **options).pvalue
                for a, b in zip(x, y, strict=True)
            ]
        )
        for nominal in (0.05, 0.1):
            share = (pvalues <= nominal + 1e-9).double().mean().item()
            error = (nominal * (1 - nominal) / NULL_DATA_SETS) ** 0.5
            counted.append(
                {
                    "method": name,
                    "nominal": nominal,
                    "measured": share,
                    "standard_errors": harness.significant((share - nominal) / error),
                }
            )
            if name.startswith("shifts"):
                distance = abs(share - nominal) / error
                claim = f"|level - {nominal}| of {name}, in standard errors"
                ratios.append(harness.ratio(claim, distance, goal=3, at_least=False))
    return {
        "task": f"level over {NULL_DATA_SETS} null data sets, n = {n}",
        "n": n,
        "null_data_sets": NULL_DATA_SETS,
        "level": counted,
        "ratios": ratios,
    }


def power(n: int = 50, data_sets: int = 2000) -> dict:
    """Cyclic shifts give nothing away: power against a weak correlation, beside random ones."""
    kernels = {"kernel_x": Gaussian(0.5), "kernel_y": Gaussian(0.5), "n_perm": 199}
    generator = torch.Generator().manual_seed(4)
    x, noise = torch.randn(2, data_sets, n, 1, generator=generator)
    y = 0.4 * x + (1 - 0.4**2) ** 0.5 * noise
    shares = {}
    for method in ("shifts", "permutation"):
        rejected = [
            independence_test(a, b, method=method, generator=generator, **kernels).pvalue <= 0.05
            for a, b in zip(x, y, strict=True)
        ]
        shares[method] = sum(rejected) / data_sets
    # the same data sets: differences are smaller than two independent counts would show
    error = (2 * shares["permutation"] * (1 - shares["permutation"]) / data_sets) ** 0.5
    difference = abs(shares["shifts"] - shares["permutation"]) / error
    return {
        "task": f"power at 5%, correlation 0.4, n = {n}, {data_sets} data sets",
        "n": n,
        "power": shares,
        "ratios": [
            harness.ratio(
                "|shifts - random permutations|, in standard errors",
                difference,
                goal=3,
                at_least=False,
            )
        ],
    }


if __name__ == "__main__":
    harness.run("independence", main, ("torch", "numpy", "scipy", "hyppo", "dcor", "numba"))
