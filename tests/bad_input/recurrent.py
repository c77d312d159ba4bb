"""Valid calls of `derive.recurrent`."""

import copy
from functools import partial

import torch

from bad_input.entry import Entry
from bad_input.values import normal, rng
from derive import recurrent as rec

KINDS = {"tanh": 1, "gru": 3, "lstm": 4}


def cell(kind: str = "tanh", n: int = 3, d: int = 2) -> rec.Cell:
    rows = KINDS[kind] * n
    return rec.Cell(
        kind, normal(rows, d), normal(rows, n, seed=1), normal(rows, seed=2), normal(rows)
    )


def one_step(kind: str = "tanh") -> dict:
    states = 6 if kind == "lstm" else 3
    return {"cell": cell(kind), "x": normal(4, 2), "state": normal(4, states, seed=3)}


def after_a_step() -> dict:
    """A state whose h is the output gate times tanh c, as the formula asks."""
    given, o = one_step("lstm"), normal(4, 3).sigmoid()
    c = given["state"][:, :3]
    return given | {"state": torch.cat([c, o * c.tanh()], dim=1), "o_before": o}


def run() -> dict:
    return {"cell": cell(), "x": normal(5, 4, 2), "state": normal(4, 3, seed=3)}


def matrices(T: int = 6) -> torch.Tensor:
    return normal(T, 3, 3)


def module(kind: type = torch.nn.LSTM) -> torch.nn.Module:
    built = kind(2, 3)
    with torch.no_grad():
        for part in built.parameters():
            part.copy_(normal(*part.shape))
    return built


def weights_of(built: torch.nn.Module) -> list[torch.Tensor]:
    return [part.detach() for part in built.parameters()]


def clipped(function, grads, c) -> tuple:
    """What the function gives, and the gradients after it: copies, for it changes them."""
    own = copy.deepcopy(grads)
    return function(own, c), own


ENTRIES = (
    Entry(rec.Cell, lambda: dict(vars(cell()))),
    Entry(rec.Cell.gate, lambda: {"name": "r"}, call=lambda name: cell("gru").gate(name)),
    Entry(rec.adding, lambda: {"num": 3, "T": 6, "generator": rng()}),
    Entry(
        rec.chrono_,
        lambda: {"module": module(), "horizon": 20, "generator": rng()},
        finish=weights_of,
    ),
    *(
        Entry(
            clip,
            lambda: {"grads": [normal(3), normal(2, 2)], "c": 1.0},
            call=partial(clipped, clip),
        )
        for clip in (rec.clip_by_norm_, rec.clip_by_value_)
    ),
    Entry(rec.copying, lambda: {"num": 3, "T": 6, "generator": rng()}),
    Entry(rec.forget_bias_, lambda: {"module": module(), "value": 1.0}, finish=weights_of),
    Entry(rec.from_torch, lambda: {"module": module(), "layer": 0}),
    Entry(rec.gaussian_product_exponents, lambda: {"n": 4, "g": 0.9}),
    Entry(
        rec.gradient_by_lag,
        lambda: run() | {"loss": lambda h: h.square().sum()},
        more={
            "NaN: loss": {"loss": lambda h: h.sum() * torch.nan},
            "infinity: gradient of the loss": {"loss": lambda h: (0 * h).sum().sqrt()},
            "shape: of the loss": {"loss": lambda h: h.sum(dim=0)},
            "type: of the loss": {"loss": lambda h: 1.0},
        },
    ),
    Entry(rec.gru_jacobian, lambda: {"cell": cell("gru"), "x": normal(4, 2), "h": normal(4, 3)}),
    Entry(rec.identity_, lambda: {"module": module(torch.nn.RNN), "gain": 1.0}, finish=weights_of),
    Entry(rec.jacobian, one_step),
    Entry(rec.jacobians, run),
    Entry(
        rec.log_norms_by_lag,
        lambda: {"jacobians": matrices(), "v": normal(3)},
        answers={"jacobians: zero": "once nothing is left"},
    ),
    Entry(rec.lstm_cell_jacobian, after_a_step),
    Entry(rec.lstm_jacobian, lambda: one_step("lstm")),
    Entry(rec.lstm_rate, lambda: {"forget_bias": 1.0, "radius": 0.5}),
    Entry(
        rec.lyapunov,
        lambda: {"jacobians": matrices(30), "k": 2, "burn_in": 3, "reorth": 2, "num_blocks": 4},
        answers={"jacobians: zero": "directions that some factor maps to zero"},
        more={
            "shape: of one factor": {"jacobians": [*matrices(20), normal(2, 2)]},
            "type: of one factor": {"jacobians": [*matrices(20), "text"]},
            "type: of the first factor": {"jacobians": [3.0] * 20},
            "shape: not square": {"jacobians": [normal(3, 2)] * 20},
            "mixed: factors": {"jacobians": [*matrices(20), normal(3, 3).float()]},
        },
    ),
    Entry(rec.mean_field, lambda: {"g": 0.9, "sigma2": 0.1, "act": "tanh"}),
    Entry(
        rec.orthogonal_,
        lambda: {"module": module(), "generator": rng(), "gain": 1.0},
        finish=weights_of,
    ),
    Entry(rec.product, lambda: {"jacobians": matrices()}),
    Entry(rec.products_by_lag, lambda: {"jacobians": matrices()}),
    Entry(rec.rnn_jacobian, lambda: {"U": normal(3, 3), "h": normal(4, 3).tanh(), "act": "tanh"}),
    Entry(rec.sequential_digits, lambda: {"generator": rng(), "test_share": 0.25}),
    Entry(
        rec.stack_gates,
        lambda: {"kind": "gru", "r": normal(2), "z": normal(2, seed=1), "n": normal(2, seed=2)},
    ),
    Entry(rec.step, one_step),
    Entry(
        rec.to_torch,
        lambda: {
            "cell": rec.Cell("gru", *(x.clone() for x in tuple(vars(cell("gru")).values())[1:]))
        },
        finish=weights_of,
    ),
    Entry(rec.trajectory, run),
)
