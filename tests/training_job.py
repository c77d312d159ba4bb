"""A training that exercises everything that must survive a kill; run as a program by the tests.

`python tests/training_job.py FOLDER` trains with checkpoints in FOLDER and prints each step.
Under a launcher with several processes, each writes its losses to FOLDER as text.
"""

import json
import os
import sys
from pathlib import Path

import torch
from torch import nn

from derive.nets import seeded
from derive.training import cosine, train

STEPS, EVERY = 60, 7


class Net(nn.Module):
    """Dropout, and an average over batches in a buffer: two things that are easily forgotten."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        return self.last(self.drop(self.norm(self.first(x)).relu()))


def build():
    with seeded(torch.Generator().manual_seed(3)):
        return Net()


def examples():
    source = torch.Generator().manual_seed(4)
    x = torch.randn(50, 5, generator=source)
    return x, x[:, :3].sin()


def noisy_loss(model, batch, generator):
    x, y = batch
    noise = torch.randn(y.shape, generator=generator).to(y)
    return (model(x) - y - 0.1 * noise).square().mean()


def job(folder, **changes):
    options = {
        "steps": STEPS,
        "batch_size": 12,
        "seed": 5,
        "schedule": cosine(STEPS, warmup=5),
        "weight_decay": 0.01,
        "accumulate": 2,
        "clip_norm": 1.0,
        "ema": 0.9,
        "checkpoints": folder,
        "checkpoint_every": EVERY,
    }
    return train(build(), noisy_loss, examples(), **{**options, **changes})


def parallel():
    """A network that may be trained in two halves: no batch statistics, and no dropout."""
    with seeded(torch.Generator().manual_seed(6)):
        return nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 3))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if "RANK" in os.environ:
        net = parallel()
        options = {"batch_size": 12, "seed": 5, "ema": 0.9, "clip_norm": 0.5}
        done = train(
            net, noisy_loss, examples(), steps=20, checkpoints=folder, checkpoint_every=8, **options
        )
        report = {"losses": done.losses.tolist(), "weights": net[0].weight.flatten().tolist()}
        (folder / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(report))
    else:
        job(folder, callback=lambda event: print("step", event.step, flush=True))
