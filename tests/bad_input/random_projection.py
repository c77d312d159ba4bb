"""Valid calls of `derive.random_projection`."""

import numpy as np
import torch

from bad_input.entry import Entry
from bad_input.values import CPU, F64, normal, rng
from derive import random_projection as rp

BYTES = torch.tensor([[7, 1], [200, 3], [0, 255]], dtype=torch.uint8)

ENTRIES = (
    Entry(rp.attention_temperature, lambda: {"scores": normal(3, 5), "mass": 0.9}),
    Entry(
        rp.chi2_failure, lambda: {"k": np.array([10, 20, 30]), "epsilon": np.array([0.2, 0.3, 0.4])}
    ),
    Entry(rp.coherence, lambda: {"v": normal(5, 3), "block": 2}),
    Entry(rp.count_sketch, lambda: {"x": normal(5, 6), "k": 4, "nnz": 2, "generator": rng()}),
    Entry(rp.distortion, lambda: {"x": normal(5, 6), "y": normal(5, 4), "block": 2}),
    Entry(rp.fwht, lambda: {"x": normal(3, 4)}),
    Entry(
        rp.gaussian_matrix,
        lambda: {"k": 3, "d": 4, "generator": rng(), "dtype": F64, "device": CPU},
    ),
    Entry(rp.hamming, lambda: {"a": BYTES.clone(), "b": BYTES[:2].clone()}),
    Entry(rp.hamming_to_cosine, lambda: {"h": normal(3, 4).abs(), "bits": 16}),
    Entry(rp.lower_bound_dim, lambda: {"n": 50, "epsilon": 0.3}),
    Entry(rp.min_dim, lambda: {"n": 50, "epsilon": 0.3, "delta": 0.1, "kind": "exact"}),
    Entry(
        rp.optimise_code,
        lambda: {
            "n": 4,
            "d": 2,
            "steps": 5,
            "generator": rng(),
            "callback": lambda step, v: None,
            "dtype": F64,
            "device": CPU,
        },
    ),
    Entry(rp.project, lambda: {"x": normal(5, 8), "k": 4, "kind": "sign", "generator": rng()}),
    Entry(
        rp.random_map,
        lambda: {
            "d": 8,
            "k": 4,
            "kind": "srht",
            "generator": rng(),
            "dtype": F64,
            "device": CPU,
        },
        finish=lambda drawn: drawn(torch.eye(8, dtype=F64)),
    ),
    Entry(
        rp.RandomMap.__call__,
        lambda: {"x": normal(5, 8), "out": torch.zeros(5, 4, dtype=F64)},
        call=lambda **given: rp.random_map(8, 4, generator=rng(), dtype=F64)(**given),
        answers={
            "out: NaN": "into `out` if given",
            "out: infinity": "into `out` if given",
        },
    ),
    Entry(
        rp.sign_matrix,
        lambda: {
            "k": 3,
            "d": 4,
            "density": 0.5,
            "generator": rng(),
            "dtype": F64,
            "device": CPU,
        },
    ),
    Entry(rp.simhash, lambda: {"x": normal(5, 8), "bits": 12, "generator": rng()}),
    Entry(rp.srht, lambda: {"x": normal(5, 8), "k": 4, "generator": rng(), "replace": False}),
)
