"""Valid calls of `derive.transport`."""

import torch

from bad_input.entry import Entry
from bad_input.values import gram, normal, rng, weights
from derive import transport as ot


def problem() -> dict:
    return {"p": weights(4), "q": weights(3, seed=1), "C": normal(4, 3).abs()}


def clouds() -> dict:
    return {"x": normal(4, 2), "y": normal(3, 2, seed=1)}


def weighted() -> dict:
    return {"p": weights(4), "q": weights(3, seed=1)}


def line() -> dict:
    return {"x": normal(4), "y": normal(3, seed=1)} | weighted()


def plan() -> torch.Tensor:
    return torch.outer(*weighted().values())


def laws() -> dict:
    return {"m1": normal(3), "S1": gram(3), "m2": normal(3, seed=1), "S2": gram(3, seed=1)}


def critic() -> ot.Critic:
    x = line()
    return ot.fit_critic_1d(x["x"], x["y"], kind="clip", generator=rng(), width=4, steps=2)


ENTRIES = (
    Entry(ot.bures_wasserstein, laws),
    Entry(
        ot.c_transform,
        lambda: {"f": normal(4), "C": normal(4, 3).abs()},
    ),
    Entry(
        ot.certificate,
        lambda: problem() | {"f": normal(4, seed=2), "G": plan()},
        answers={"C: infinity": "`upper` is infinite where rounding has to use a forbidden route"},
    ),
    Entry(
        ot.certificate_points,
        lambda: (
            clouds()
            | {"f": normal(4, seed=2), "g": normal(3, seed=3), "epsilon": 0.5}
            | weighted()
            | {"cost": "sqeuclidean", "block": 8}
        ),
        answers={
            "epsilon: tiny": "`upper` is infinite where epsilon is so small that the plan overflows"
        },
    ),
    Entry(ot.cost_matrix, lambda: clouds() | {"cost": "sqeuclidean"}),
    Entry(ot.Critic.__call__, lambda: {"t": normal(5)}, call=lambda t: critic()(t)),
    Entry(ot.Critic.slope, lambda: {"t": normal(5)}, call=lambda t: critic().slope(t)),
    Entry(ot.critic_1d_exact, line),
    Entry(ot.emd, lambda: problem() | {"solver": "auto"}),
    Entry(ot.emd_cost, lambda: problem() | {"solver": "auto"}),
    Entry(
        ot.entropic_cost,
        lambda: problem() | {"epsilon": 0.5, "tol": 1e-6, "max_iters": 200, "anneal": False},
    ),
    Entry(
        ot.fit_critic_1d,
        lambda: {
            "x": normal(4),
            "y": normal(3, seed=1),
            "kind": "two-sided",
            "generator": rng(),
            "width": 4,
            "steps": 3,
            "rate": 0.01,
            "penalty": 10.0,
            "clip": 0.01,
        },
    ),
    Entry(ot.gaussian_map, lambda: {"S1": gram(3), "S2": gram(3, seed=1)}),
    Entry(ot.gaussian_sinkhorn, lambda: laws() | {"epsilon": 0.5}),
    Entry(ot.gelbrich, lambda: clouds() | weighted()),
    Entry(
        ot.gibbs_plan,
        lambda: problem() | {"f": normal(4, seed=2), "g": normal(3, seed=3), "epsilon": 0.5},
    ),
    Entry(
        ot.pad,
        lambda: {"problems": [tuple(problem().values()), tuple(problem().values())]},
        answers={"problems: infinity": "infinite costs (forbidden routes) stay"},
    ),
    Entry(ot.round_plan, lambda: {"G": plan()} | weighted()),
    Entry(
        ot.sinkhorn,
        lambda: (
            problem()
            | {
                "epsilon": 0.5,
                "tol": 1e-6,
                "max_iters": 200,
                "num_sweeps": 5,
                "anneal": False,
                "start": normal(3, seed=3),
            }
        ),
        answers={"C: infinity": "`upper` adds (largest spread of costs within a column)"},
    ),
    Entry(
        ot.sinkhorn_divergence,
        lambda: (
            clouds()
            | {"epsilon": 0.5}
            | weighted()
            | {
                "cost": "sqeuclidean",
                "debias": True,
                "tol": 1e-6,
                "max_iters": 500,
                "anneal": False,
            }
        ),
    ),
    Entry(
        ot.sinkhorn_points,
        lambda: (
            clouds()
            | {"epsilon": 0.5}
            | weighted()
            | {
                "cost": "sqeuclidean",
                "tol": 1e-6,
                "max_iters": 500,
                "num_sweeps": 5,
                "anneal": False,
                "start": normal(3, seed=3),
                "block": 8,
            }
        ),
    ),
    Entry(ot.wasserstein_1d, lambda: line() | {"order": 2.0}),
)
