"""Training small networks: one loop, on one device or many, that can be interrupted anywhere."""

from derive.training._run import Event
from derive.training.checkpoints import (
    Checkpoint,
    list_checkpoints,
    load_weights,
    read_checkpoint,
    write_checkpoint,
)
from derive.training.errors import CheckpointError, Diverged
from derive.training.loop import Trained, train
from derive.training.precision import Precision, bfloat16_gain, choose_precision
from derive.training.schedules import cosine, linear_warmup

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Diverged",
    "Event",
    "Precision",
    "Trained",
    "bfloat16_gain",
    "choose_precision",
    "cosine",
    "linear_warmup",
    "list_checkpoints",
    "load_weights",
    "read_checkpoint",
    "train",
    "write_checkpoint",
]
