"""Jacobians of whole runs, all steps at once, against automatic differentiation step by step.

Run `python -m bench.recurrent` from the repository's root; about three minutes.
"""

import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from bench import harness
from derive import recurrent as rec

UNITS, STEPS, REPEATS = 256, 200, 5
GOAL = 20.0
OURS, LOOP, VMAP = "jacobians", "autograd.functional.jacobian, in a loop", "vmap of jacrev"
# The loop is long: it is timed on so many of the steps, and its time scaled to all.
SAMPLED = {"tanh": 10, "lstm": 4, "gru": 4}


def main() -> list[dict]:
    return [one_cell(kind) for kind in SAMPLED]


def one_cell(kind: str) -> dict:
    """All Jacobians of a run, by the formulas and by automatic differentiation."""
    cell, x, states = problem(kind)
    before, few = states[:-1], SAMPLED[kind]
    step = _step(cell)

    def loop():
        return torch.stack(
            [
                torch.autograd.functional.jacobian(lambda s, x=x[t]: step(s, x), before[t])
                for t in range(few)
            ]
        )

    candidates = {
        LOOP: loop,
        VMAP: lambda: torch.func.vmap(torch.func.jacrev(step))(before[:few], x[:few]),
        OURS: lambda: rec.jacobian(cell, x, before),
    }
    runs = harness.cpu_seconds(candidates, repeats=REPEATS)
    for name in (LOOP, VMAP):
        runs[name] = [seconds * STEPS / few for seconds in runs[name]]
    seconds = harness.summary(runs)
    loops = loop()
    gap = ((loops - rec.jacobian(cell, x, before)[:few]).abs().max() / loops.abs().max()).item()
    ratio = seconds[LOOP]["median"] / seconds[OURS]["median"]
    other = seconds[VMAP]["median"] / seconds[OURS]["median"]
    return {
        "task": f"{kind}, {UNITS} units, {STEPS} steps",
        "seconds": seconds,
        "timed steps of the loop": few,
        "others": {f"{VMAP} / {OURS}": harness.significant(other)},
        "ratios": [
            harness.ratio("loop over autograd / all at once", ratio, goal=GOAL),
            harness.ratio("largest difference, relative, float32", gap, goal=1e-5, at_least=False),
        ],
    }


def problem(kind: str) -> tuple[rec.Cell, torch.Tensor, torch.Tensor]:
    """A cell with torch's initial weights, inputs of 32 features, and the states of the run."""
    torch.manual_seed(0)
    layers = {"tanh": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    cell = rec.from_torch(layers[kind](32, UNITS))
    x = torch.randn(STEPS, 32)
    return cell, x, rec.trajectory(cell, x)


def _step(cell: rec.Cell):
    """torch's own cell as a function of the state; what a user would differentiate."""
    module = {"tanh": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}
    one = module[cell.kind](cell.W.shape[1], cell.size)
    parts = {"weight_ih": cell.W, "weight_hh": cell.U, "bias_ih": cell.b, "bias_hh": cell.b_h}
    for name, value in parts.items():
        getattr(one, name).data.copy_(value)
    if cell.kind != "lstm":
        return lambda s, x: one(x[None], s[None])[0]

    def lstm(s, x):
        c, h = s.chunk(2)
        h, c = one(x[None], (h[None], c[None]))
        return torch.cat([c[0], h[0]])

    return lstm


if __name__ == "__main__":
    harness.run("recurrent", main, ("torch",))
