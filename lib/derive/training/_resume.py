"""Whether a training may go on from a checkpoint, and whether it can write one."""

import json
from pathlib import Path
from typing import Any

from derive.training.checkpoints import UNFINISHED, Checkpoint, list_checkpoints, read_checkpoint
from derive.training.errors import CheckpointError


def newest(folder: str | Path | None) -> Checkpoint | None:
    """The checkpoint to go on from, if there is any."""
    if folder is None or not list_checkpoints(folder):
        return None
    return read_checkpoint(folder)


def check_settings(
    found: Checkpoint, settings: dict[str, Any], meta: dict[str, Any], steps: int
) -> None:
    """Refuse to go on with a training of other settings, or of another thing (`meta`)."""
    there = {**found.state["settings"], "meta": found.meta}
    settings = {**settings, "meta": json.loads(json.dumps(meta))}  # tuples as lists, as stored
    different = [
        f"{name}={there.get(name)!r} there, {value!r} now"
        for name, value in settings.items()
        if there.get(name) != value
    ]
    if different:
        raise CheckpointError(
            f"the checkpoints were made with other settings: {'; '.join(different)}. Use the same "
            "ones to resume, or another folder to start anew."
        )
    if found.step > steps:
        raise CheckpointError(
            f"the newest checkpoint is of step {found.step}, beyond the {steps} steps asked for."
        )


def try_folder(folder: Path) -> None:
    """Find out before the training, not after it, that nothing can be written."""
    probe = folder / f"{UNFINISHED}probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.mkdir(exist_ok=True)
        probe.rmdir()
    except OSError as error:
        raise CheckpointError(
            f"checkpoints cannot be written to {folder}: {error.strerror or error}."
        ) from error
