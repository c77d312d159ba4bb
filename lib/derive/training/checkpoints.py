"""Checkpoints: tensors as safetensors, the rest as JSON, both with a checksum; nothing pickled.

A checkpoint is a folder `step-00001000` that holds `tensors.safetensors` and `state.json`. It is
written under another name, flushed to the disk and then renamed: a process that is killed, or a
disk that is full, leaves the checkpoints that were there before as they were.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from derive._typing import typed
from derive._validate import check_finite
from derive.training._state import restore_module
from derive.training._validate import check_contents
from derive.training.errors import CheckpointError

FORMAT = 1
TENSORS, STATE = "tensors.safetensors", "state.json"
UNFINISHED = ".unfinished-"
NAME = re.compile(r"step-(\d{8,})")


class Checkpoint(NamedTuple):
    """What training needs to go on: the step reached, tensors by name, plain values, notes."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]
    meta: dict[str, Any]


@typed
def list_checkpoints(folder: str | Path) -> list[Path]:
    """The finished checkpoints of a folder, oldest first; none if there is no such folder."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=_step_of)


@typed
def write_checkpoint(folder: str | Path, checkpoint: Checkpoint, *, keep: int = 2) -> Path:
    """Write a checkpoint so that it is there whole or not at all; then drop the oldest.

    Costs one copy of the tensors in memory.

    Args:
        folder: Created if it is missing.
        checkpoint: Tensors of any device, stored bit by bit, NaN and infinity included; `state`
            and `meta` must be JSON-able.
        keep: How many of the newest checkpoints stay.

    Returns:
        The checkpoint's own folder.

    Raises:
        CheckpointError: If it cannot be written (disk full, folder read-only); the checkpoints
            that were there are untouched.
        TypeError: If the step is no integer, a tensor none of real numbers, or `state` or `meta`
            hold something that is not JSON.
        ValueError: If the step is negative, keep < 1, or `state` or `meta` hold NaN or infinity,
            which JSON has not.
    """
    if keep < 1:
        raise ValueError(f"write_checkpoint keeps at least one checkpoint, got keep={keep}.")
    check_contents(checkpoint.step, checkpoint.tensors)
    folder = Path(folder)
    target = folder / f"step-{checkpoint.step:08d}"
    temporary = folder / f"{UNFINISHED}{target.name}-{os.getpid()}"
    if target.exists():
        raise CheckpointError(f"there is a checkpoint {target} already; none is overwritten.")
    from safetensors.torch import save

    blob = save({name: _own(tensor) for name, tensor in checkpoint.tensors.items()})
    body = {
        "format": FORMAT,
        "step": checkpoint.step,
        "tensors": {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()},
        "state": checkpoint.state,
        "meta": checkpoint.meta,
    }
    text = _as_json(body)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_unfinished(folder)
        temporary.mkdir()
        _write_durably(temporary / TENSORS, blob)
        _write_durably(temporary / STATE, text.encode())
        _flush_folder(temporary)
        os.rename(temporary, target)
        _flush_folder(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"cannot write checkpoint {target}: {error.strerror or error}. "
            f"Whole checkpoints in that folder: {_names(list_checkpoints(folder))}."
        ) from error
    _clear_unfinished(folder)
    for old in list_checkpoints(folder)[:-keep]:
        _remove(old)
    return target


@typed
def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read one checkpoint, or the newest of a folder, and verify every byte of it.

    Raises:
        CheckpointError: If there is none, or it is incomplete, truncated or altered; the message
            names the older ones that can be used instead.
    """
    path = Path(path)
    if not NAME.fullmatch(path.name):
        found = list_checkpoints(path)
        if not found:
            raise CheckpointError(f"there are no checkpoints in {path}.")
        path = found[-1]
    body = _read_state(path)
    try:
        blob = (path / TENSORS).read_bytes()
    except OSError as error:
        raise _damaged(path, f"{TENSORS} cannot be read ({error.strerror})") from error
    expected = body["tensors"]["bytes"]
    if len(blob) != expected:
        raise _damaged(path, f"{TENSORS} has {len(blob)} bytes of {expected}")
    if hashlib.sha256(blob).hexdigest() != body["tensors"]["sha256"]:
        raise _damaged(path, f"the checksum of {TENSORS} does not match")
    from safetensors.torch import load

    # Cloned: tensors of our own memory, aligned as torch aligns it, whatever the file's layout.
    tensors = {name: tensor.clone() for name, tensor in load(blob).items()}
    return Checkpoint(body["step"], tensors, body["state"], body["meta"])


@typed
def load_weights(
    model: nn.Module, source: str | Path | Checkpoint, *, average: bool = False
) -> nn.Module:
    """Put a checkpoint's weights (or their moving average) into a model; returns the model.

    Raises:
        CheckpointError: If the checkpoint is damaged, has no average, or fits another model.
        TypeError: If its step is no integer, or a tensor none of real numbers.
        ValueError: If its step is negative, or a weight is not finite.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    check_contents(checkpoint.step, checkpoint.tensors)
    kind = "average" if average else "model"
    if average and not any(name.startswith("average/") for name in checkpoint.tensors):
        raise CheckpointError("this checkpoint holds no averaged weights (trained without ema).")
    for name, tensor in checkpoint.tensors.items():
        if name.startswith(f"{kind}/"):
            check_finite(name, tensor)
    restore_module(model, checkpoint.tensors, kind)
    return model


def _own(tensor: Tensor) -> Tensor:
    """A copy on the CPU with memory of its own: safetensors refuses tied weights otherwise."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _step_of(path: Path) -> int:
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match.group(1))


def _as_json(body: dict[str, Any]) -> str:
    try:
        return json.dumps({**body, "sha256": _checksum(body)}, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"`state` and `meta` must hold JSON alone, got: {error}") from error


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _read_state(path: Path) -> dict[str, Any]:
    try:
        text = (path / STATE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, f"{STATE} cannot be read ({error})") from error
    try:
        body = json.loads(text)
        checksum = body.pop("sha256")
        version = body["format"]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _damaged(path, f"{STATE} is not what training writes") from error
    if version != FORMAT:
        raise CheckpointError(
            f"checkpoint {path} has format {version!r}; this version reads format {FORMAT}."
        )
    if checksum != _checksum(body):
        raise _damaged(path, f"the checksum of {STATE} does not match")
    return body


def _damaged(path: Path, what: str) -> CheckpointError:
    older = [other for other in list_checkpoints(path.parent) if other != path]
    return CheckpointError(
        f"checkpoint {path} is damaged: {what}. Move it away to go on from another one; "
        f"there: {_names(older)}."
    )


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths) or "none"


def _write_durably(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    """Make a rename survive a power failure, where the system lets folders be opened."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove(checkpoint: Path) -> None:
    """Take it out of the list in one step, then delete it: who is killed leaves no torn one."""
    going = checkpoint.with_name(f"{UNFINISHED}{checkpoint.name}-{os.getpid()}")
    with contextlib.suppress(OSError):  # an old checkpoint too many does no harm
        os.rename(checkpoint, going)
        shutil.rmtree(going)


def _clear_unfinished(folder: Path) -> None:
    """Remove what a killed process left half written or half deleted."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)
