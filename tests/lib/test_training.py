"""derive.training: the loop. Its checkpoints are in test_training_checkpoints.py."""

import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from derive.training import Diverged, cosine, linear_warmup, list_checkpoints, train
from derive.training.batches import Batches, own_shares
from derive.training.precision import GAIN, bfloat16_gain, choose_precision
from derive.training.progress import Progress, watched
from training_job import examples, job, noisy_loss, parallel

JOB = Path(__file__).parent.parent / "training_job.py"


def square_loss(model, batch, generator):
    x, y = batch
    return (model(x) - y).square().mean()


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        yield torch.zeros(5)


def line(weight=0.0):
    net = nn.Linear(5, 3)
    with torch.no_grad():
        net.weight.fill_(weight)
        net.bias.zero_()
    return net


def options(**changes):
    return {"steps": 10, "batch_size": 10, "seed": 0, **changes}


# --- equals an oracle -----------------------------------------------------------------------


def test_training_equals_a_loop_written_out_by_hand():
    x, y = examples()
    trained = train(line(), square_loss, (x, y), **options(learning_rate=0.01, weight_decay=0.1))
    net = line()
    adam = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    order = Batches((x, y), batch_size=10, shares=1, seed=0)
    for step in range(10):
        index = order.indices(step, 0)
        loss = (net(x[index]) - y[index]).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        torch.testing.assert_close(trained.losses[step], loss.detach())
    torch.testing.assert_close(trained.model.weight, net.weight)


def test_accumulated_parts_give_the_gradient_of_the_whole_batch():
    whole = train(line(), square_loss, examples(), **options())
    parts = train(line(), square_loss, examples(), **options(accumulate=5))
    torch.testing.assert_close(parts.losses, whole.losses)
    torch.testing.assert_close(parts.model.weight, whole.model.weight)


def test_the_average_equals_its_recursion():
    seen = []
    trained = train(
        line(),
        square_loss,
        examples(),
        **options(ema=0.8, callback=lambda event: seen.append(event.model.weight.detach().clone())),
    )
    expected = line().weight.detach()
    for step, weight in enumerate(seen, start=1):
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(trained.average.weight.detach(), expected)
    assert not trained.average.weight.requires_grad


def test_a_schedule_scales_the_learning_rate():
    rates = []

    def plain(parameters):
        optimizer = torch.optim.SGD(parameters, lr=2.0)
        rates.append(optimizer)
        return optimizer

    seen = []
    train(
        line(),
        square_loss,
        examples(),
        **options(
            optimizer=plain,
            schedule=lambda step: 0.001 / (1 + step),
            callback=lambda event: seen.append(rates[0].param_groups[0]["lr"]),
        ),
    )
    assert seen == [2.0 * (0.001 / (1 + step)) for step in range(10)]


def test_clipping_bounds_the_step_of_gradient_descent():
    net = line(100.0)
    start = net.weight.detach().clone(), net.bias.detach().clone()
    train(
        net,
        square_loss,
        examples(),
        **options(steps=1, clip_norm=0.5, optimizer=lambda p: torch.optim.SGD(p, lr=1.0)),
    )
    moved = [(one - old).square().sum() for one, old in zip(net.parameters(), start, strict=True)]
    assert math.isclose(sum(moved).sqrt().item(), 0.5, rel_tol=1e-4)


def test_whole_numbers_are_numbers_too():
    whole = train(line(), square_loss, examples(), **options(clip_norm=1, learning_rate=1))
    real = train(line(), square_loss, examples(), **options(clip_norm=1.0, learning_rate=1.0))
    assert torch.equal(whole.losses, real.losses)


# --- laws -----------------------------------------------------------------------------------


def test_an_epoch_takes_every_example_once_also_across_batches():
    order = Batches(torch.zeros(10, 1), batch_size=4, shares=2, seed=1)
    stream = torch.cat([order.indices(step, share) for step in range(10) for share in range(2)])
    for epoch in stream.view(4, 10):
        assert sorted(epoch.tolist()) == list(range(10))
    assert stream[:10].tolist() != stream[10:20].tolist()


def test_parts_of_a_batch_do_not_depend_on_how_many_there_are():
    whole = Batches(torch.zeros(10, 1), batch_size=6, shares=1, seed=1).indices(3, 0)
    parts = Batches(torch.zeros(10, 1), batch_size=6, shares=3, seed=1)
    assert torch.cat([parts.indices(3, share) for share in range(3)]).tolist() == whole.tolist()


def test_every_step_and_every_part_has_random_numbers_of_its_own():
    batches = Batches(torch.zeros(10, 1), batch_size=4, shares=2, seed=1)
    places = [(step, share) for step in range(50) for share in range(2)]
    draws = {torch.randn(1, generator=batches.generator(*place)).item() for place in places}
    assert len(draws) == len(places)
    again = Batches(torch.zeros(10, 1), batch_size=4, shares=2, seed=1)
    assert {torch.randn(1, generator=again.generator(*place)).item() for place in places} == draws
    other = Batches(torch.zeros(10, 1), batch_size=4, shares=2, seed=2)
    assert not draws & {torch.randn(1, generator=other.generator(*p)).item() for p in places}


def test_dropout_differs_from_step_to_step_and_from_part_to_part():
    seen = []

    def loss(model, batch, generator):
        answer = model(torch.ones(1, 64))
        seen.append(tuple(answer.flatten().tolist()))
        return answer.mean()

    net = nn.Sequential(nn.Linear(64, 64), nn.Dropout(0.5))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.fill_(1.0)
    still = {"optimizer": lambda p: torch.optim.SGD(p, lr=1e-30)}
    train(net, loss, examples(), **options(accumulate=2, **still))
    assert len(set(seen)) == len(seen) == 20


def test_a_batch_may_be_larger_than_the_data():
    order = Batches(torch.zeros(3, 1), batch_size=8, shares=1, seed=1)
    assert torch.bincount(order.indices(0, 0)).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_training_repeats_itself_and_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = job(None, steps=8)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    again = job(None, steps=8)
    assert torch.equal(first.losses, again.losses)
    assert torch.equal(first.average.last.weight, again.average.last.weight)
    other = job(None, steps=8, seed=6)
    assert not torch.equal(first.losses, other.losses)


def test_a_generator_gives_the_seed():
    def by(generator):
        return job(None, steps=3, seed=generator).losses

    generator = torch.Generator().manual_seed(1)
    first, second = by(generator), by(generator)
    assert torch.equal(first, by(torch.Generator().manual_seed(1)))
    assert not torch.equal(first, second)


def test_a_dataset_trains_as_its_tensors_do():
    pairs = torch.utils.data.TensorDataset(*examples())

    def listed(model, batch, generator):
        return noisy_loss(model, tuple(batch), generator)

    expected = train(line(), noisy_loss, examples(), **options())
    for workers in (0, 1):
        got = train(line(), listed, pairs, **options(workers=workers))
        assert torch.equal(got.losses, expected.losses)


def test_data_may_be_drawn_afresh():
    sizes = []

    def sample(num, generator):
        sizes.append(num)
        x = torch.randn(num, 5, generator=generator)
        return x, x[:, :3]

    trained = train(line(), square_loss, sample, **options(steps=300, learning_rate=0.05))
    assert set(sizes) == {10}
    torch.testing.assert_close(trained.model.weight, torch.eye(5)[:3], atol=1e-3, rtol=0)


def test_the_model_comes_back_as_it_was():
    net = line().eval()
    train(net, square_loss, examples(), **options(precision="bfloat16"))
    assert not net.training
    assert "forward" not in vars(net)
    assert net(examples()[0]).dtype is torch.float32
    assert net.weight.dtype is torch.float32


def test_bfloat16_is_used_and_changes_little():
    exact = train(line(), square_loss, examples(), **options(steps=40))
    rough = train(line(), square_loss, examples(), **options(steps=40, precision="bfloat16"))
    assert rough.precision == "bfloat16"
    assert not torch.equal(rough.losses, exact.losses)
    # bfloat16 has 8 bits: each product is off by at most 2^-8, the loss by about twice that.
    torch.testing.assert_close(rough.losses, exact.losses, rtol=2**-6, atol=0)


@pytest.mark.parametrize(("processes", "accumulate"), [(1, 1), (1, 3), (2, 1), (3, 4)])
def test_the_processes_share_out_a_batch_without_gap_or_overlap(processes, accumulate):
    taken = [share for p in range(processes) for share in own_shares(p, accumulate)]
    assert taken == list(range(processes * accumulate))
    assert all(len(own_shares(p, accumulate)) == accumulate for p in range(processes))


def test_two_processes_train_as_one(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "--standalone", str(JOB), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    reports = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert reports[0] == reports[1]
    changes = {"batch_size": 12, "seed": 5, "ema": 0.9, "clip_norm": 0.5, "steps": 20}
    one = train(parallel(), noisy_loss, examples(), accumulate=2, **changes)
    torch.testing.assert_close(torch.tensor(reports[0]["losses"]), one.losses)
    weights = torch.tensor(reports[0]["weights"])
    torch.testing.assert_close(weights, one.model[0].weight.flatten(), rtol=1e-4, atol=1e-5)
    # One process goes on where two stopped: the checkpoint does not say who computed it.
    longer = train(
        parallel(),
        noisy_loss,
        examples(),
        accumulate=2,
        checkpoints=tmp_path,
        **{**changes, "steps": 24},
    )
    straight = train(parallel(), noisy_loss, examples(), accumulate=2, **{**changes, "steps": 24})
    assert longer.resumed_at == 20
    torch.testing.assert_close(longer.losses, straight.losses)


# --- schedules, precision, progress ---------------------------------------------------------


def test_schedules_rise_and_fall():
    warm = cosine(100, warmup=10, floor=0.1)
    assert [warm(0), warm(9), warm(10)] == [0.1, 1.0, 1.0]
    assert math.isclose(warm(55), 0.55)
    assert math.isclose(warm(100), 0.1)
    assert warm(1000) == warm(100)
    assert [linear_warmup(2)(step) for step in range(3)] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize(("gain", "name"), [(GAIN - 0.1, "float32"), (GAIN + 0.1, "bfloat16")])
def test_auto_takes_bfloat16_only_where_it_is_fast(monkeypatch, gain, name):
    monkeypatch.setattr("derive.training.precision.bfloat16_gain", lambda: gain)
    chosen = choose_precision("auto", torch.device("cpu"))
    assert chosen.name == name
    assert f"{gain:.1f}x" in chosen.reason
    trained = train(line(), square_loss, examples(), **options(precision="auto", steps=1))
    assert (trained.precision, trained.precision_reason) == chosen


def test_the_measured_gain_is_a_number():
    gain = bfloat16_gain()
    assert 0 <= gain < 100
    assert bfloat16_gain() == gain  # measured once: one process does not change its mind


def test_nobody_watches_a_test_or_a_stored_notebook(monkeypatch, capsys):
    trained = train(line(), square_loss, examples(), **options())
    assert len(trained.losses) == 10
    assert capsys.readouterr() == ("", "")
    monkeypatch.setitem(sys.modules, "ipykernel", io)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert not watched()
    monkeypatch.setenv("JPY_SESSION_NAME", "chapter.ipynb")
    assert watched()


def test_a_person_at_a_terminal_sees_a_bar(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert watched()
    bar = Progress(steps=10, start=0, shown=watched())
    for _ in range(10):
        bar.advance(0.25 if bar.wants_loss() else None)
    bar.bar.refresh()
    assert "10/10" in sys.stderr.getvalue()
    assert "loss 0.25" in sys.stderr.getvalue()
    bar.close()
    assert sys.stderr.getvalue().endswith("\r")  # wiped: it does not stay in a saved notebook
    shown = len(sys.stderr.getvalue())
    train(line(), square_loss, examples(), **options())
    assert "0/10" in sys.stderr.getvalue()[shown:]


def test_a_hidden_bar_asks_for_no_loss():
    assert not Progress(steps=3, start=0, shown=False).wants_loss()


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps >= 1, got 0"),
        ({"batch_size": 0}, "batch_size >= 1, got 0"),
        ({"batch_size": 10, "accumulate": 3}, "cannot be cut into 3 equal parts"),
        ({"ema": 1.0}, "between 0 and 1, got 1.0"),
        ({"clip_norm": 0.0}, "clip_norm > 0, got 0.0"),
        ({"workers": -1}, "workers >= 0, got -1"),
        ({"seed": -1}, "seed >= 0, got -1"),
        ({"precision": "float16"}, "float16 needs an accelerator"),
    ],
)
def test_train_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        train(line(), square_loss, examples(), **options(**changes))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((torch.zeros(3, 5), torch.zeros(4, 3)), r"equally many examples, got \[3, 4\]"),
        (torch.zeros(0, 5), "no examples"),
        (Endless(), "needs a length"),
    ],
)
def test_train_refuses_data(data, message):
    with pytest.raises(ValueError, match=message):
        train(line(), square_loss, data, **options())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda model, batch, generator: 1.0, "got float"),
        (lambda model, batch, generator: model(batch[0]), r"got shape \(10, 3\)"),
        (lambda model, batch, generator: batch[0].sum(), "requires_grad=False"),
    ],
)
def test_train_refuses_what_is_no_loss(loss, message):
    with pytest.raises(ValueError, match=message):
        train(line(), loss, examples(), **options())


def test_train_refuses_a_wrong_type_by_name():
    with pytest.raises(TypeError, match="batch_size"):
        train(line(), square_loss, examples(), **options(batch_size=2.5))


def test_a_model_without_parameters_is_refused():
    with pytest.raises(ValueError, match="no parameters"):
        train(nn.ReLU(), square_loss, examples(), **options())


def test_a_loss_that_is_not_finite_stops_the_training():
    def explode(model, batch, generator):
        return square_loss(model, batch, generator) * 1e30

    with pytest.raises(Diverged, match=r"at step \d+; the last finite loss was"):
        train(
            line(),
            explode,
            examples(),
            **options(optimizer=lambda p: torch.optim.SGD(p, lr=1.0)),
        )


def test_weights_that_are_not_finite_never_get_into_a_checkpoint(tmp_path):
    """A root of zero: the loss is finite, its gradient is not."""

    calls = []

    def late(model, batch, generator):
        value = square_loss(model, batch, generator)
        calls.append(value)
        return value + (0 * value).sqrt() if len(calls) == 4 else value

    with pytest.raises(Diverged, match=r"after step 4 the weight '.*' is not finite, although"):
        train(
            line(),
            late,
            examples(),
            **options(steps=4, checkpoints=tmp_path, checkpoint_every=2, keep=1),
        )
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000002"]


def test_importing_the_loop_is_cheap():
    code = (
        "import sys, derive.training, derive.nets, derive.data; "
        "print([name for name in ('accelerate', 'torch._dynamo', 'sklearn', 'torchvision', "
        "'PIL', 'safetensors') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
