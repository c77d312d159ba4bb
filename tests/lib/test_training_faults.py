"""derive.training: killed twenty times in a row, and on disks that take nothing."""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch

from derive.training import (
    Checkpoint,
    CheckpointError,
    list_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from small_disk import full, read_only, small_disk
from training_job import job

KILLS, STEPS, EVERY = 20, 200, 2
# Imported once and not twenty times; _dynamo is what an optimiser imports at its first step.
PRELOAD = ["pytest", "derive.nets", "derive.training", "torch._dynamo", "safetensors.torch"]
PRELOAD += ["accelerate"]
# Never reached by one that is to be killed: it waits there, so that none can be over too early.
LAST = STEPS - 10


def train_until_killed(folder, threads, steps):
    """In a process of its own: tell each step, and wait before the end."""
    torch.set_num_threads(threads)

    def tell(event):
        steps.send(event.step)
        if event.step >= LAST:
            signal.pause()

    job(folder, steps=STEPS, checkpoint_every=EVERY, schedule=None, callback=tell)


def kill_at(moment, delay, folder, context):
    """Train on from the newest checkpoint and kill the process; (exit code, the step reached)."""
    steps, theirs = context.Pipe(duplex=False)
    arguments = (folder, torch.get_num_threads(), theirs)
    process = context.Process(target=train_until_killed, args=arguments)
    process.start()
    theirs.close()
    step = 0
    try:
        while step < moment:
            step = steps.recv()
        time.sleep(delay)  # so that it may die inside of a step, or while it writes
    finally:
        process.kill()
        process.join()
        steps.close()
    return process.exitcode, step


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_twenty_kills_at_random_moments_change_no_bit(tmp_path):
    """Each kill strikes the training that has gone on after the kill before."""
    seed = random.SystemRandom().randrange(2**32)
    draw = random.Random(seed)
    moments = sorted(draw.randrange(1, LAST) for _ in range(KILLS))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    halves, history = 0, []
    for moment in moments:
        code, step = kill_at(moment, draw.random() * 0.02, tmp_path, context)
        history.append((moment, step))
        story = f"seed {seed}, killed at (aimed, reached) {history}"
        assert code == -signal.SIGKILL, story
        halves += bool(list(tmp_path.glob(".unfinished-*")))
        whole = list_checkpoints(tmp_path)
        assert all(read_checkpoint(path).step == int(path.name[5:]) for path in whole), story

    resumed = job(tmp_path, steps=STEPS, checkpoint_every=EVERY, schedule=None)
    story += f", {halves} while writing, resumed at {resumed.resumed_at}"
    straight = job(None, steps=STEPS, schedule=None)
    assert 0 < resumed.resumed_at < STEPS, story
    pairs = [(resumed.losses, straight.losses)]
    for mine, theirs in ((resumed.model, straight.model), (resumed.average, straight.average)):
        pairs += zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs), story
    assert not list(tmp_path.glob(".unfinished-*")), story


class Killed(BaseException):
    """Where a signal would strike."""


def test_a_kill_while_an_old_checkpoint_is_deleted_leaves_whole_ones_only(tmp_path, monkeypatch):
    def checkpoint(step):
        return Checkpoint(step, {"w": torch.full((30,), float(step))}, {}, {})

    def delete_one_file(path, **options):
        sorted(path.iterdir())[-1].unlink()
        raise Killed

    write_checkpoint(tmp_path, checkpoint(1))
    with monkeypatch.context() as patch:
        patch.setattr("derive.training.checkpoints.shutil.rmtree", delete_one_file)
        with pytest.raises(Killed):
            write_checkpoint(tmp_path, checkpoint(2), keep=1)
    assert [read_checkpoint(path).step for path in list_checkpoints(tmp_path)] == [2]
    write_checkpoint(tmp_path, checkpoint(3), keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


@pytest.mark.parametrize("trouble", [full, read_only])
def test_a_disk_that_takes_nothing_keeps_the_checkpoint_that_is_there(tmp_path, trouble):
    def checkpoint(step):
        return Checkpoint(step, {"w": torch.full((3000,), float(step))}, {}, {})

    reason = "No space left on device" if trouble is full else "Read-only file system"
    with small_disk(tmp_path / "disk") as disk:
        folder = disk / "run"
        write_checkpoint(folder, checkpoint(1))
        there = sorted(folder.rglob("*"))
        message = rf"step-00000002: {reason}\. Whole checkpoints in that folder: step-00000001\."
        with trouble(disk):
            with pytest.raises(CheckpointError, match=message):
                write_checkpoint(folder, checkpoint(2))
            assert sorted(folder.rglob("*")) == there
            assert read_checkpoint(folder).tensors["w"].eq(1).all()
        write_checkpoint(folder, checkpoint(2))
        assert read_checkpoint(folder).step == 2
