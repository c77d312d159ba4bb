"""Valid calls of `derive.nets` and `derive.training`."""

import tempfile
from pathlib import Path

import torch

from bad_input.entry import Entry
from bad_input.values import normal, rng
from derive import nets, training


def layer(generator) -> list[torch.Tensor]:
    torch.manual_seed(0)  # for None, which leaves the global generator alone
    with nets.seeded(generator):
        return outputs(torch.nn.Linear(2, 2))


def outputs(net: torch.nn.Module) -> list[torch.Tensor]:
    return [part.detach() for part in net.parameters()]


def checkpoint() -> training.Checkpoint:
    return training.Checkpoint(7, {"weight": normal(2, 2)}, {"seed": 1}, {"note": "text"})


def write(checkpoint, **given) -> training.Checkpoint:
    """What is read back after writing."""
    with tempfile.TemporaryDirectory() as folder:
        training.write_checkpoint(folder, checkpoint, **given)
        return training.read_checkpoint(folder)


def read(path) -> training.Checkpoint:
    with tempfile.TemporaryDirectory() as folder:
        written = training.write_checkpoint(folder, checkpoint())
        return training.read_checkpoint(
            written if path == "written" else Path(folder) / path if isinstance(path, str) else path
        )


def linear_checkpoint() -> training.Checkpoint:
    kept = {"model/0.weight": normal(2, 2).float(), "model/0.bias": normal(2).float()}
    return training.Checkpoint(1, kept, {}, {})


def loss(model, x, generator):
    return model(x).square().mean()


ENTRIES = (
    Entry(
        nets.ConvNet,
        lambda: {
            "channels": 1,
            "num_classes": 3,
            "image_size": 8,
            "width": 2,
            "generator": rng(),
        },
        finish=outputs,
    ),
    Entry(
        nets.MLP,
        lambda: {"widths": 3, "activation": "relu", "bias": True, "generator": rng()},
        call=lambda widths, **given: nets.MLP(2, widths, **given),
        finish=outputs,
    ),
    Entry(
        nets.TimeMLP,
        lambda: {
            "d": 2,
            "width": 4,
            "depth": 1,
            "frequencies": 2,
            "scale": 20.0,
            "generator": rng(),
        },
        finish=outputs,
    ),
    Entry(nets.seeded, lambda: {"generator": rng()}, call=layer),
    Entry(
        training.cosine,
        lambda: {"steps": 10, "warmup": 2, "floor": 0.1},
        finish=lambda factor: [factor(step) for step in range(12)],
    ),
    Entry(
        training.linear_warmup,
        lambda: {"steps": 4},
        finish=lambda factor: [factor(step) for step in range(6)],
    ),
    Entry(
        training.choose_precision,
        lambda: {"wanted": "float32", "device": torch.device("cpu")},
    ),
    Entry(
        training.train,
        lambda: {
            "model": nets.MLP(2, 2, generator=rng()),
            "loss": loss,
            "data": normal(8, 2).float(),
            "steps": 2,
            "batch_size": 4,
            "seed": 0,
            "learning_rate": 0.01,
            "weight_decay": 0.0,
            "precision": "float32",
            "accumulate": 1,
            "clip_norm": 1.0,
            "ema": 0.9,
            "checkpoint_every": 1,
            "keep": 1,
            "progress": False,
            "device": "cpu",
            "workers": 0,
        },
        finish=lambda found: [found.losses, *outputs(found.model)],
        more={
            "NaN: schedule": {"schedule": lambda step: float("nan")},
            "negative: schedule": {"schedule": lambda step: -1.0},
            "type: schedule": {"schedule": lambda step: "text"},
            "type: loss": {"loss": lambda model, x, generator: 1.0},
            "shape: loss": {"loss": lambda model, x, generator: model(x)},
            "infinity: gradient of the loss": {
                "loss": lambda model, x, generator: (0 * model(x)).sum().sqrt()
            },
        },
    ),
    Entry(training.list_checkpoints, lambda: {"folder": "nowhere"}),
    Entry(
        training.load_weights,
        lambda: {
            "model": nets.MLP(2, 2, generator=rng()),
            "source": linear_checkpoint(),
            "average": False,
        },
        finish=outputs,
        more={
            "empty: no average": {"average": True},
            "shape: another model": {"model": nets.MLP(3, 2, generator=rng())},
            "type: a folder without checkpoints": {"source": "nowhere"},
        },
    ),
    Entry(training.read_checkpoint, lambda: {"path": "written"}, call=read),
    Entry(
        training.write_checkpoint,
        lambda: {"checkpoint": checkpoint(), "keep": 1},
        call=write,
        answers={
            "checkpoint: NaN": "NaN and infinity included",
            "checkpoint: infinity": "NaN and infinity included",
        },
    ),
)
