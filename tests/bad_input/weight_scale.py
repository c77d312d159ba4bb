"""Valid calls of `derive.weight_scale`."""

import torch
from torch import nn

from bad_input.entry import Entry
from bad_input.values import F64, gram, normal
from derive import weight_scale as ws


def net() -> nn.Sequential:
    built = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        for number, part in enumerate(built.parameters()):
            part.copy_(normal(*part.shape, seed=number))
    return built


def a_net() -> dict:
    return {"net": net()}


def products(net) -> torch.Tensor:
    known = isinstance(net, nn.Module)
    return ws.euler_products(net(normal(4, 2)).square().sum() if known else torch.ones(()), net)


def quadratic() -> ws.ScaleInvariantQuadratic:
    return ws.ScaleInvariantQuadratic(gram(3))


def weights_of(built: nn.Module) -> list[torch.Tensor]:
    return [part.detach() for part in built.parameters()]


ENTRIES = (
    Entry(ws.ScaleInvariantQuadratic, lambda: {"A": gram(3)}),
    Entry(
        ws.ScaleInvariantQuadratic.__call__,
        lambda: {"w": normal(4, 3)},
        call=lambda w: quadratic()(w),
    ),
    Entry(
        ws.ScaleInvariantQuadratic.gradient,
        lambda: {"w": normal(4, 3)},
        call=lambda w: quadratic().gradient(w),
    ),
    Entry(ws.angular_updates, lambda: {"history": normal(5, 3)}),
    Entry(ws.balance_, a_net),
    Entry(ws.balance_attention, lambda: {"W_Q": normal(2, 4), "W_K": normal(2, 4, seed=1)}),
    Entry(ws.balance_gap, a_net),
    Entry(ws.balance_neurons_, lambda: a_net() | {"tol": 1e-8, "max_sweeps": 1000}),
    Entry(ws.corrected_decay, lambda: {"eta": 0.05, "eta_max": 0.1, "weight_decay": 0.02}),
    Entry(ws.effective_lr, lambda: {"W": normal(3, 2), "eta": 0.1}),
    Entry(ws.equilibrium, lambda: {"eta": 0.1, "weight_decay": 0.02, "gradient": 1.0}),
    Entry(ws.euler_products, a_net, call=products),
    Entry(ws.exp_lr_schedule, lambda: {"eta": 0.1, "weight_decay": 0.02, "num_steps": 5}),
    Entry(ws.gauge_min_l2, a_net),
    Entry(ws.intrinsic_norm, lambda: a_net() | {"kind": "fro"}),
    Entry(ws.l2_penalty, a_net),
    Entry(ws.layer_norms, lambda: a_net() | {"kind": "spec"}),
    Entry(ws.path_norm, lambda: a_net() | {"order": 2, "shape": [2]}),
    Entry(
        ws.rescale_,
        lambda: a_net() | {"gammas": torch.tensor([2.0, 0.5], dtype=F64), "check": True},
        finish=weights_of,
    ),
    Entry(
        ws.spectral_norm,
        lambda: {"W": normal(4, 3), "tol": 1e-4, "max_iters": 2000, "start": normal(3, seed=1)},
    ),
    Entry(ws.weissi, lambda: a_net() | {"lambda_1": 1.0, "lambda_2": 0.5, "floor": 1e-12}),
)
