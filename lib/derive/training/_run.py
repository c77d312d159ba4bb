"""The steps of one training: what `train` sets up, and what a checkpoint holds of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from derive.training._engine import (
    make_accelerator,
    own_randomness,
    prepared,
    seed_global,
    to_device,
)
from derive.training._resume import check_settings
from derive.training._state import (
    copy_of,
    move_average,
    named,
    optimizer_state,
    restore_module,
    restore_optimizer,
)
from derive.training._validate import bad_weight, check_loss, factor_at
from derive.training.batches import MODEL, Batches, Data, derived_seed, own_shares
from derive.training.checkpoints import Checkpoint, write_checkpoint
from derive.training.errors import Diverged
from derive.training.progress import Progress, watched
from derive.training.schedules import Schedule

LOOK = 50  # on an accelerator the loss is looked at every so many steps: each look waits for it


class Event(NamedTuple):
    """What a callback sees after a step (1, 2, …); `loss` is this process's, on its device."""

    step: int
    loss: Tensor
    model: nn.Module
    average: nn.Module | None


class Saving(NamedTuple):
    """Where checkpoints go, how often, how many stay, and the caller's notes in them."""

    folder: Path
    every: int
    keep: int
    meta: dict[str, Any]


class Run:
    """A training that has been set up: `restore` it if it was begun before, then `go`."""

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[..., Any],
        data: Data,
        *,
        steps: int,
        batch_size: int,
        seed: int,
        optimizer: Callable[..., Any],
        schedule: Schedule | None,
        precision: str,
        accumulate: int,
        clip_norm: float | None,
        ema: float | None,
        device: torch.device,
    ) -> None:
        self.accelerator = make_accelerator(device, precision, accumulate)
        self.device = self.accelerator.device
        self.is_main: bool = self.accelerator.is_main_process
        shares = self.accelerator.num_processes * accumulate
        self.shares = own_shares(self.accelerator.process_index, accumulate)
        self.batches = Batches(data, batch_size=batch_size, shares=shares, seed=seed)
        self.model = model.to(self.device)
        self.average = copy_of(model) if ema is not None else None
        self.optimizer = optimizer(model.parameters())
        self.rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.loss, self.schedule = loss, schedule
        self.steps, self.seed = steps, seed
        self.clip_norm, self.ema = clip_norm, ema
        self.losses = torch.zeros(steps, device=self.device)
        self.gathered = 0  # losses before this step are means over all processes
        self.settings = {
            "seed": seed,
            "batch_size": batch_size,
            "shares": shares,
            "examples": self.batches.size,
            "precision": precision,
            "clip_norm": clip_norm,
            "ema": ema,
            "optimizer": type(self.optimizer).__name__,
            "learning_rates": self.rates,
        }

    def restore(self, found: Checkpoint, meta: dict[str, Any]) -> int:
        """Take over everything from a checkpoint; returns the step that it had reached."""
        settings = {**self.settings, "schedule": self._factor(found.step - 1)}
        check_settings(found, settings, meta, self.steps)
        restore_module(self.model, found.tensors, "model")
        if self.average is not None:
            restore_module(self.average, found.tensors, "average")
        restore_optimizer(self.optimizer, found.tensors, found.state["optimizer"])
        self.losses[: found.step] = found.tensors["losses"].to(self.losses)
        self.gathered = found.step
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(found.state["scaler"])
        return found.step

    def go(
        self,
        start: int,
        *,
        saving: Saving | None,
        callback: Callable[[Event], Any] | None,
        progress: bool | None,
        workers: int,
    ) -> None:
        """Train from `start` to the last step; `losses` holds the loss of every step then."""
        shown = self.is_main and (watched() if progress is None else progress)
        bar = Progress(steps=self.steps, start=start, shown=shown)
        parts = self.batches.parts(range(start, self.steps), self.shares, workers)
        was_training = self.model.training
        self.model.train()
        try:
            with (
                prepared(self.accelerator, self.model, self.optimizer) as (model, optimizer),
                own_randomness(self.device),
            ):
                for step in range(start, self.steps):
                    total = self._update(model, optimizer, step, parts)
                    done = step + 1
                    save = saving and (done % saving.every == 0 or done == self.steps)
                    self._look(total, done, always=bool(save))
                    if save or done == self.steps:
                        self._look_at_weights(done)
                    bar.advance(total.item() if bar.wants_loss() else None)
                    if callback is not None and self.is_main:
                        callback(Event(done, total, self.model, self.average))
                        self.model.train()
                    if saving and save:
                        self._save(done, saving)
        finally:
            bar.close()
            self.model.train(was_training)
        self._gather(self.steps)

    def _update(self, model: Any, optimizer: Any, step: int, parts: Iterator[Any]) -> Tensor:
        """One update of the weights and of their average; the loss of this process's parts."""
        factor = self._factor(step)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        total = self.losses[step]
        for share in self.shares:
            batch = to_device(next(parts), self.device)
            seed_global(derived_seed(self.seed, MODEL, step, share), self.device)
            with self.accelerator.accumulate(model):
                value = self.loss(model, batch, self.batches.generator(step, share))
                check_loss(value)
                self.accelerator.backward(value)
                if self.clip_norm is not None and self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip_norm)
                optimizer.step()
                optimizer.zero_grad()
            total += value.detach() / len(self.shares)
        if self.average is not None and self.ema is not None:
            move_average(self.average, self.model, self.ema, step + 1)
        return total

    def _look(self, total: Tensor, step: int, *, always: bool) -> None:
        """Stop at a loss that is not finite: before it gets into a checkpoint."""
        due = always or self.device.type == "cpu" or step % LOOK == 0 or step == self.steps
        if not due or torch.isfinite(total):
            return
        before = self.losses[: step - 1]
        finite = before[torch.isfinite(before)]
        last = f"; the last finite loss was {finite[-1].item():.4g}" if len(finite) else ""
        raise Diverged(
            f"the loss is {total.item()} at step {step}{last}. Lower learning_rate, set "
            "clip_norm, or look for a division by zero in the loss."
        )

    def _look_at_weights(self, step: int) -> None:
        """A finite loss may have a gradient that is not: the next loss would show it, too late."""
        name = bad_weight(self.model)
        if name is not None:
            raise Diverged(
                f"after step {step} the weight {name!r} is not finite, although the loss was: its "
                "gradient was not. Look for a division by zero, or a root of zero, in the loss."
            )

    def _save(self, step: int, saving: Saving) -> None:
        self._gather(step)
        if self.is_main:
            tensors, plain = optimizer_state(self.optimizer)
            tensors |= named("model", self.model.state_dict())
            if self.average is not None:
                tensors |= named("average", self.average.state_dict())
            tensors["losses"] = self.losses[:step]
            scaler = self.accelerator.scaler
            state = {
                "settings": {**self.settings, "schedule": self._factor(step - 1)},
                "optimizer": plain,
                "scaler": None if scaler is None else scaler.state_dict(),
            }
            checkpoint = Checkpoint(step, tensors, state, saving.meta)
            write_checkpoint(saving.folder, checkpoint, keep=saving.keep)
        self.accelerator.wait_for_everyone()

    def _gather(self, end: int) -> None:
        """Average the losses over the processes, as far as that has not been done."""
        new = slice(self.gathered, end)
        if end > self.gathered:
            self.losses[new] = self.accelerator.reduce(self.losses[new].clone(), "mean")
            self.gathered = end

    def _factor(self, step: int) -> float:
        return 1.0 if self.schedule is None else factor_at(step, self.schedule(step))
