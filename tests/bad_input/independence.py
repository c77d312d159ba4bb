"""Valid calls of `derive.independence`."""

import torch

from bad_input.entry import Entry
from bad_input.values import gram, normal, rng
from derive import independence as ind
from derive.independence.null import Moments


def samples(n: int = 8) -> dict:
    return {"x": normal(n, 2), "y": normal(n, 3, seed=1)}


def kernels() -> dict:
    return {"kernel_x": ind.Gaussian(0.5), "kernel_y": ind.Linear()}


def grams() -> dict:
    return {"K": gram(7), "L": gram(7, seed=1)}


WRONG_KERNELS = {
    "NaN: kernel_x gives NaN": {"kernel_x": lambda a, b: a @ b.T * torch.nan},
    "shape: kernel_x gives a row": {"kernel_x": lambda a, b: (a @ b.T).sum(dim=1)},
    "type: kernel_x gives a number": {"kernel_x": lambda a, b: 1.0},
}
ORDERS = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1, 0]])

ENTRIES = (
    Entry(ind.Gaussian, lambda: {"gamma": 0.5}),
    Entry(
        ind.Gaussian.__call__,
        lambda: {"a": normal(4, 2), "b": normal(3, 2, seed=1)},
        call=lambda **given: ind.Gaussian(0.5)(**given),
    ),
    Entry(
        ind.Linear.__call__,
        lambda: {"a": normal(4, 2), "b": normal(3, 2, seed=1)},
        call=lambda **given: ind.Linear()(**given),
    ),
    Entry(
        ind.Distance.__call__,
        lambda: {"a": normal(4, 2), "b": normal(3, 2, seed=1)},
        call=lambda **given: ind.Distance()(**given),
    ),
    Entry(ind.cka, lambda: {"X": normal(8, 2), "Y": normal(8, 3, seed=1), "debiased": True}),
    Entry(
        ind.cyclic_shift_statistics,
        lambda: samples() | kernels() | {"orders": ORDERS.clone(), "block": 2},
        more=WRONG_KERNELS,
    ),
    Entry(ind.dcov2, lambda: samples() | {"estimator": "u", "block": 64}),
    Entry(ind.gamma_pvalue, lambda: {"statistic": 1.0, "moments": Moments(1.0, 1.0)}),
    Entry(ind.gretton_moments, grams),
    Entry(
        ind.hsic,
        lambda: samples() | kernels() | {"estimator": "v", "block": 64},
        more=WRONG_KERNELS,
    ),
    Entry(
        ind.hsic_bottleneck_loss,
        lambda: {
            "z": normal(6, 2),
            "x": normal(6, 3, seed=1),
            "y": normal(6, 2, seed=2),
            "beta": 1.0,
            "sigma": 5.0,
            "epsilon": 1e-3,
        },
    ),
    Entry(
        ind.hsic_gaussian_population,
        lambda: {"rho": 0.5, "gamma_x": 1.0, "gamma_y": 2.0, "var_x": 1.5, "var_y": 0.5},
    ),
    Entry(
        ind.hsic_rff,
        lambda: (
            samples()
            | {"n_features": 4, "generator": rng(), "gamma_x": 0.5, "gamma_y": 0.7, "block": 3}
        ),
    ),
    Entry(ind.hsic_u, grams),
    Entry(ind.hsic_v, grams),
    Entry(
        ind.independence_test,
        lambda: (
            samples()
            | kernels()
            | {"method": "shifts", "n_perm": 9, "generator": rng(), "block": 4}
        ),
        more=WRONG_KERNELS,
    ),
    Entry(ind.median_gamma, lambda: {"x": normal(8, 2), "max_points": 5}),
    Entry(ind.nhsic, lambda: grams() | {"epsilon": 1e-2}),
    Entry(ind.permutation_moments, grams),
    Entry(ind.rbf_gram, lambda: {"x": normal(6, 2), "gamma": 0.5}),
)
