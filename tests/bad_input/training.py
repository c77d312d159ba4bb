"""Valid calls of `derive.nets` and `derive.training`."""

import tempfile
from pathlib import Path

import torch

from bad_input.entry import Entry
from bad_input.values import normal, rng
from derive import nets, training


def images() -> torch.Tensor:
    return normal(2, 1, 8, 8).float()


def outputs(net: torch.nn.Module) -> list[torch.Tensor]:
    return [part.detach() for part in net.parameters()]


def checkpoint() -> training.Checkpoint:
    return training.Checkpoint(7, {"weight": normal(2, 2)}, {"seed": 1}, {"note": "text"})


def write(**given) -> list[Path]:
    with tempfile.TemporaryDirectory() as folder:
        training.write_checkpoint(folder, **given)
        return []


def read(path) -> training.Checkpoint:
    with tempfile.TemporaryDirectory() as folder:
        written = training.write_checkpoint(folder, checkpoint())
        return training.read_checkpoint(
            written if path == "written" else Path(folder) / path if isinstance(path, str) else path
        )


def load(model, average) -> list[torch.Tensor]:
    trained = training.train(
        nets.MLP(2, 2, generator=rng()), loss, normal(8, 2).float(), steps=1, batch_size=4, seed=0
    )
    kept = {f"model.{name}": part for name, part in trained.model.state_dict().items()}
    found = training.Checkpoint(1, kept, {}, {})
    return outputs(training.load_weights(model, found, average=average))


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
        nets.ConvNet.forward,
        lambda: {"images": images()},
        call=lambda images: nets.ConvNet(1, 3, image_size=8, width=2, generator=rng())(images),
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
    Entry(
        nets.TimeMLP.forward,
        lambda: {"x": normal(3, 2).float(), "u": normal(3).float()},
        call=lambda **given: nets.TimeMLP(2, width=4, depth=1, generator=rng())(**given),
    ),
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
            "workers": 0,
        },
        finish=lambda found: outputs(found.model),
    ),
    Entry(training.list_checkpoints, lambda: {"folder": "nowhere"}),
    Entry(
        training.load_weights,
        lambda: {"model": nets.MLP(2, 2, generator=rng()), "average": False},
        call=load,
    ),
    Entry(training.read_checkpoint, lambda: {"path": "written"}, call=read),
    Entry(training.write_checkpoint, lambda: {"checkpoint": checkpoint(), "keep": 1}, call=write),
)
