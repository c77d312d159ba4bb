"""One training loop, on Hugging Face accelerate (every chapter that trains a network)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from derive._typing import typed
from derive.training._resume import newest, try_folder
from derive.training._run import Event, Run, Saving
from derive.training._validate import check_numbers, check_rates, device_of
from derive.training.batches import Data
from derive.training.precision import PrecisionName, choose_precision
from derive.training.schedules import Schedule


class Trained(NamedTuple):
    """The model, its moving average if there is one, and how the training went."""

    model: nn.Module
    average: nn.Module | None
    losses: Tensor
    precision: str
    precision_reason: str
    resumed_at: int


@typed
def train(
    model: nn.Module,
    loss: Callable[..., Any],
    data: Data,
    *,
    steps: int,
    batch_size: int,
    seed: int | Generator,
    learning_rate: float | int = 1e-3,
    weight_decay: float | int = 0.0,
    optimizer: Callable[..., Any] | None = None,
    schedule: Schedule | None = None,
    precision: PrecisionName = "float32",
    accumulate: int = 1,
    clip_norm: float | int | None = None,
    ema: float | int | None = None,
    checkpoints: str | Path | None = None,
    checkpoint_every: int = 1000,
    keep: int = 2,
    meta: dict[str, Any] | None = None,
    callback: Callable[[Event], Any] | None = None,
    progress: bool | None = None,
    device: str | torch.device | None = None,
    workers: int = 0,
) -> Trained:
    """Train a model in place; on one device, or on several under `accelerate launch`.

    The numbers of a training depend on its arguments alone: every step's examples, its draws
    and its dropout come from a seed made of (seed, step, part of the batch). A training that was
    killed and resumed therefore ends, on a CPU, with the same bits as one that was not; and two
    processes compute what one computes with `accumulate=2`.

    Args:
        model: Trained on the device where it is, unless `device` says otherwise.
        loss: `loss(model, batch, generator)` gives the mean loss of a batch, a scalar. It must
            call the model that it is given (which may be wrapped), and take all random numbers
            from the generator, which lives on the CPU.
        data: A tensor, or tensors with equally many examples, whose first axis is cut into
            batches; a dataset with a length; or a function `sample(num, generator)` that
            draws a batch.
        steps: Updates of the weights in all, those before a resumption included.
        batch_size: Examples of one update, over all processes and accumulated parts.
        seed: A number, or a generator from which one number is drawn.
        learning_rate: For AdamW.
        weight_decay: For AdamW.
        optimizer: A function from the parameters to another optimiser; the two arguments before
            are then not used.
        schedule: A factor on the learning rate for each step, such as `cosine(steps)`.
        precision: What the network computes in; weights stay as they are. `"auto"` takes
            bfloat16 where that is fast, and `precision_reason` of the result says why or why not.
        accumulate: Parts of a batch that are computed one after another, to save memory.
        clip_norm: The largest norm of the gradient; a longer one is shortened to it.
        ema: Decay of the moving average of the weights, such as 0.999; `None` for no average.
        checkpoints: A folder. A training that finds checkpoints in it goes on from the newest.
        checkpoint_every: Steps between checkpoints; the last step writes one in any case.
        keep: How many of the newest checkpoints stay.
        meta: Values (JSON) to store with each checkpoint, such as the network's sizes; a resumed
            training must give the same.
        callback: Called after every step in the main process.
        progress: Whether to show a bar; by default only where a person is looking.
        device: `"cpu"`, `"cuda"`, …; under a launcher each process takes its own accelerator.
        workers: Processes that read a dataset ahead.

    Returns:
        The model (the same object), the average, one loss a step (the mean over the batch), and
        the number format that was used.

    Raises:
        ValueError: If a number is out of range, the batch cannot be cut into equal parts, or
            `loss` or `schedule` give something else than they should.
        Diverged: If the loss, or a weight, is no longer finite.
        RuntimeError: As any other error, if `loss` raises it, such as torch for data that do not
            fit the model; it is passed on as it is.
        CheckpointError: If a checkpoint cannot be written, is damaged, or was made by a training
            with other settings; the model keeps its weights, and older checkpoints stay.

    Example:
        >>> x = torch.linspace(-1, 1, 64).unsqueeze(1)
        >>> line = nn.Linear(1, 1)
        >>> def loss(model, batch, generator):
        ...     return (model(batch) - 2 * batch).square().mean()
        >>> trained = train(line, loss, x, steps=300, batch_size=64, seed=0, learning_rate=0.05)
        >>> round(line.weight.item(), 2)
        2.0
    """
    check_numbers(
        {
            "steps": steps,
            "batch_size": batch_size,
            "accumulate": accumulate,
            "checkpoint_every": checkpoint_every,
            "keep": keep,
        }
    )
    check_rates({"learning_rate": learning_rate, "weight_decay": weight_decay})
    if workers < 0:
        raise ValueError(f"train needs workers >= 0, got {workers}.")
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"train needs clip_norm > 0, got {clip_norm}.")
    if ema is not None and not 0 < ema < 1:
        raise ValueError(f"train needs an ema decay between 0 and 1, got {ema}.")
    number = _number_of(seed)
    found = newest(checkpoints)
    target = device_of(model, device)
    # What was chosen at the start holds to the end: a machine's speed must not change numbers.
    if found is not None and precision == "auto":
        precision = found.state["settings"]["precision"]
    chosen = choose_precision(precision, target)

    def adamw(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)

    run = Run(
        model,
        loss,
        data,
        steps=steps,
        batch_size=batch_size,
        seed=number,
        optimizer=optimizer or adamw,
        schedule=schedule,
        precision=chosen.name,
        accumulate=accumulate,
        clip_norm=clip_norm,
        ema=ema,
        device=target,
    )
    saving = None
    if checkpoints is not None:
        saving = Saving(Path(checkpoints), checkpoint_every, keep, meta or {})
        if found is None and run.is_main:
            try_folder(saving.folder)
    start = run.restore(found, meta or {}) if found is not None else 0
    run.go(start, saving=saving, callback=callback, progress=progress, workers=workers)
    losses = run.losses.cpu()
    return Trained(model, run.average, losses, chosen.name, chosen.reason, start)


def _number_of(seed: int | Generator) -> int:
    if isinstance(seed, Generator):
        return int(torch.randint(2**62, (), generator=seed, device=seed.device))
    if seed < 0:
        raise ValueError(f"train needs a seed >= 0, got {seed}.")
    return seed
