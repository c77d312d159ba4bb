"""derive.training: what survives a kill, a full disk, and a damaged file."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from derive.training import (
    Checkpoint,
    CheckpointError,
    list_checkpoints,
    load_weights,
    read_checkpoint,
    train,
    write_checkpoint,
)
from training_job import EVERY, STEPS, Net, build, examples, job, noisy_loss

JOB = Path(__file__).parent.parent / "training_job.py"


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The job without any interruption: (result, folder)."""
    folder = tmp_path_factory.mktemp("straight")
    return job(folder), folder


def same_bits(one, other):
    """Whether two trainings ended with the same bits: weights, buffers, average, losses."""
    pairs = [(one.losses, other.losses)]
    for mine, theirs in ((one.model, other.model), (one.average, other.average)):
        ours = theirs.state_dict()
        pairs += [(tensor, ours[name]) for name, tensor in mine.state_dict().items()]
    return all(torch.equal(left, right) for left, right in pairs)


def small(step=1):
    tensors = {"model/weight": torch.arange(6.0).view(2, 3), "count": torch.tensor(7)}
    return Checkpoint(step, tensors, {"scale": 0.1, "nothing": None}, {"width": 3})


class Interrupted(Exception):
    pass


def stop_at(step):
    def callback(event):
        if event.step == step:
            raise Interrupted

    return callback


# --- interruption ---------------------------------------------------------------------------


def test_a_killed_training_resumes_to_the_same_bits(straight, tmp_path):
    """A process is really killed (SIGKILL) at a random moment, then another one goes on."""
    chance = random.SystemRandom()
    step, delay = chance.randint(EVERY + 1, STEPS - 2), chance.random() * 0.03
    process = subprocess.Popen(
        [sys.executable, str(JOB), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        for text in process.stdout:
            if text == f"step {step}\n":
                break
        try:
            process.wait(delay)  # so that it may also die inside a step, or while it writes
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, f"it was over before step {step} + {delay} s"
    resumed = job(tmp_path)
    where = f"killed {delay:.3f} s after step {step}, resumed at {resumed.resumed_at}"
    assert 0 < resumed.resumed_at < STEPS, where
    assert same_bits(resumed, straight[0]), where
    last = [read_checkpoint(folder) for folder in (tmp_path, straight[1])]
    assert last[0].state == last[1].state
    assert all(torch.equal(last[0].tensors[k], v) for k, v in last[1].tensors.items())
    assert not list(tmp_path.glob(".unfinished-*"))


@pytest.mark.parametrize("moments", [(7,), (10, 11, 40), (59,)])
def test_interruptions_change_nothing_wherever_they_come(straight, tmp_path, moments):
    for moment in moments:
        with pytest.raises(Interrupted):
            job(tmp_path, callback=stop_at(moment))
    assert same_bits(job(tmp_path), straight[0])


def test_the_comparison_of_bits_can_fail(straight):
    assert not same_bits(job(None, steps=STEPS, seed=6), straight[0])
    assert not same_bits(job(None, clip_norm=2.0), straight[0])


@pytest.mark.parametrize("forgotten", ["optimizer/0/exp_avg_sq", "average/last.bias"])
def test_forgetting_part_of_the_state_would_be_seen(straight, tmp_path, forgotten):
    with pytest.raises(Interrupted):
        job(tmp_path, callback=stop_at(20))
    found = read_checkpoint(tmp_path)
    found.tensors[forgotten].zero_()
    for path in list_checkpoints(tmp_path):
        path.rename(tmp_path / f"aside-{path.name}")
    write_checkpoint(tmp_path, found)
    assert not same_bits(job(tmp_path), straight[0])


def test_a_finished_training_is_not_trained_again(straight):
    done, folder = straight
    again = job(folder)
    assert again.resumed_at == STEPS
    assert same_bits(again, done)


def test_auto_precision_keeps_to_what_it_began_with(monkeypatch, tmp_path):
    monkeypatch.setattr("derive.training.precision.bfloat16_gain", lambda: 5.0)
    with pytest.raises(Interrupted):
        job(tmp_path, precision="auto", callback=stop_at(20))
    monkeypatch.setattr("derive.training.precision.bfloat16_gain", lambda: 0.1)
    assert job(tmp_path, precision="auto", steps=21).precision == "bfloat16"


def test_a_plain_optimiser_and_tied_weights_survive_too(tmp_path):
    def tied():
        net = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3))
        with torch.no_grad():
            for index, parameter in enumerate(net.parameters()):
                parameter.fill_(0.1 + 0.01 * index)
        net[1].weight = net[0].weight
        return net

    options = {
        "steps": 12,
        "batch_size": 10,
        "seed": 0,
        "checkpoint_every": 5,
        "optimizer": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    }
    straight = train(tied(), noisy_loss, examples(), **options)
    with pytest.raises(Interrupted):
        train(tied(), noisy_loss, examples(), checkpoints=tmp_path, callback=stop_at(7), **options)
    resumed = train(tied(), noisy_loss, examples(), checkpoints=tmp_path, **options)
    assert resumed.resumed_at == 5
    assert torch.equal(resumed.losses, straight.losses)
    assert resumed.model[1].weight is resumed.model[0].weight
    assert torch.equal(resumed.model[0].weight, straight.model[0].weight)


# --- the files ------------------------------------------------------------------------------


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = write_checkpoint(tmp_path, small())
    found = read_checkpoint(path)
    assert found.step == 1
    assert found.state == small().state
    assert found.meta == small().meta
    for name, tensor in small().tensors.items():
        assert found.tensors[name].dtype is tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def test_only_the_newest_checkpoints_stay(tmp_path):
    for step in (5, 30, 100_000_000, 200):
        write_checkpoint(tmp_path, small(step), keep=3)
    assert [int(path.name[5:]) for path in list_checkpoints(tmp_path)] == [30, 200, 100_000_000]
    assert read_checkpoint(tmp_path).step == 100_000_000


def test_nothing_in_a_checkpoint_is_pickled(straight):
    (path,) = list_checkpoints(straight[1])[-1:]
    assert sorted(file.name for file in path.iterdir()) == ["state.json", "tensors.safetensors"]
    json.loads((path / "state.json").read_text())
    blob = (path / "tensors.safetensors").read_bytes()
    length = int.from_bytes(blob[:8], "little")
    assert all("dtype" in entry for entry in json.loads(blob[8 : 8 + length]).values())


def test_weights_and_average_can_be_loaded_alone(straight):
    done, folder = straight
    plain, averaged = load_weights(Net(), folder), load_weights(Net(), folder, average=True)
    assert torch.equal(plain.last.weight, done.model.last.weight)
    assert torch.equal(averaged.last.weight, done.average.last.weight)
    assert not torch.equal(plain.last.weight, averaged.last.weight)


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(bytes(content))


def edit(path):
    path.write_text(path.read_text().replace('"scale": 0.1', '"scale": 0.2'))


DAMAGE = [
    (cut, "tensors.safetensors", "has 107 bytes of 112|bytes of"),
    (flip, "tensors.safetensors", "checksum of tensors.safetensors does not match"),
    (Path.unlink, "tensors.safetensors", "cannot be read"),
    (cut, "state.json", "is not what training writes"),
    (edit, "state.json", "checksum of state.json does not match"),
    (Path.unlink, "state.json", "cannot be read"),
    (lambda path: path.write_bytes(b"\xff\xfe"), "state.json", "cannot be read"),
    (lambda path: path.write_text("[1, 2]"), "state.json", "is not what training writes"),
]


@pytest.mark.parametrize(
    ("damage", "file", "message"), DAMAGE, ids=[f"{d.__name__}-{f}" for d, f, _ in DAMAGE]
)
def test_damage_is_named_and_older_checkpoints_stay_usable(tmp_path, damage, file, message):
    write_checkpoint(tmp_path, small(1))
    newest = write_checkpoint(tmp_path, small(2))
    damage(newest / file)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(tmp_path)
    assert "step-00000001" in str(caught.value)
    newest.rename(tmp_path / "aside")
    assert read_checkpoint(tmp_path).step == 1


def test_training_does_not_start_anew_over_a_damaged_checkpoint(tmp_path):
    job(tmp_path, steps=8)
    newest = list_checkpoints(tmp_path)[-1]
    cut(newest / "tensors.safetensors")
    with pytest.raises(CheckpointError, match="Move it away to go on from another one"):
        job(tmp_path, steps=9)
    newest.rename(tmp_path / "aside")
    assert job(tmp_path, steps=9).resumed_at == 7


def test_a_later_format_is_refused(tmp_path):
    path = write_checkpoint(tmp_path, small())
    text = (path / "state.json").read_text().replace('"format": 1', '"format": 2')
    (path / "state.json").write_text(text)
    with pytest.raises(CheckpointError, match="has format 2; this version reads format 1"):
        read_checkpoint(path)


# --- other settings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 6}, "seed=5 there, 6 now"),
        ({"batch_size": 24}, "batch_size=12 there, 24 now"),
        ({"accumulate": 3}, "shares=2 there, 3 now"),
        ({"learning_rate": 0.1}, r"learning_rates=\[0.001\] there, \[0.1\] now"),
        ({"schedule": None}, "schedule="),
        ({"weight_decay": 0.0}, "weight_decay=0.01 there, 0.0 now"),
        ({"ema": None}, "ema=0.9 there, None now"),
        ({"precision": "bfloat16"}, "precision='float32' there, 'bfloat16' now"),
        ({"meta": {"width": 3}}, r"meta={} there, {'width': 3} now"),
        ({"steps": 30}, "beyond the 30 steps"),
        ({"optimizer": lambda p: torch.optim.SGD(p, lr=1e-3)}, "optimizer='AdamW' there, 'SGD'"),
    ],
)
def test_a_training_with_other_settings_is_not_resumed(straight, changes, message):
    with pytest.raises(CheckpointError, match=message):
        job(straight[1], **changes)


def test_another_model_is_refused(straight):
    wider = build()
    wider.last = nn.Linear(16, 4)
    with pytest.raises(CheckpointError, match=r"last\.weight"):
        load_weights(wider, straight[1])
    job_of_small = {"steps": STEPS, "batch_size": 12, "seed": 5}
    with pytest.raises(CheckpointError, match="other settings"):
        train(wider, noisy_loss, examples(), checkpoints=straight[1], **job_of_small)


def test_an_average_that_is_not_there_is_missed(tmp_path):
    write_checkpoint(tmp_path, small())
    with pytest.raises(CheckpointError, match="no averaged weights"):
        load_weights(Net(), tmp_path, average=True)


# --- the disk -------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_found_out_before_training(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    seen = []
    with pytest.raises(CheckpointError, match="cannot be written to"):
        job(blocked / "folder", callback=seen.append)
    assert seen == []


def test_a_disk_that_fills_up_loses_nothing(tmp_path):
    """Files of this process are limited to less than a checkpoint: the write fails half way."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(event):
        if event.step == 10:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))

    net = build()
    try:
        with pytest.raises(CheckpointError, match=r"File too large\. Whole .*: step-00000007\."):
            train(
                net,
                noisy_loss,
                examples(),
                steps=20,
                batch_size=10,
                seed=5,
                checkpoints=tmp_path,
                checkpoint_every=7,
                callback=fill,
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000007"]
    options = {"batch_size": 10, "seed": 5}
    fourteen = train(build(), noisy_loss, examples(), steps=14, **options)
    assert torch.equal(net.last.weight, fourteen.model.last.weight)  # in memory, at step 14
    resumed = train(build(), noisy_loss, examples(), steps=14, checkpoints=tmp_path, **options)
    assert resumed.resumed_at == 7
    assert torch.equal(resumed.model.last.weight, fourteen.model.last.weight)


@pytest.mark.parametrize("moment", ["fsync", "rename"])
def test_a_writer_that_dies_leaves_only_whole_checkpoints(tmp_path, monkeypatch, moment):
    """As a kill would: nothing is cleaned up. The next writer does it."""

    class Killed(BaseException):
        pass

    def die(*arguments):
        raise Killed

    write_checkpoint(tmp_path, small(1))
    with monkeypatch.context() as patch:
        patch.setattr(f"derive.training.checkpoints.os.{moment}", die)
        with pytest.raises(Killed):
            write_checkpoint(tmp_path, small(2))
    assert len(list(tmp_path.iterdir())) == 2
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000001"]
    assert read_checkpoint(tmp_path).step == 1
    write_checkpoint(tmp_path, small(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]


def test_checkpoints_refuse_what_they_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match="keep=0"):
        write_checkpoint(tmp_path, small(), keep=0)
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_checkpoint(tmp_path, small()._replace(meta={"a": {1, 2}}))
    with pytest.raises(CheckpointError, match="no checkpoints in"):
        read_checkpoint(tmp_path)
    write_checkpoint(tmp_path, small())
    with pytest.raises(CheckpointError, match="already"):
        write_checkpoint(tmp_path, small())
