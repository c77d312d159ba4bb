"""derive.training: factors of schedules, the average's weight, and timing by a clock of ours."""

import pytest
import torch
from torch import nn

from derive.training import cosine, linear_warmup, precision
from derive.training._state import move_average
from derive.training.batches import Batches


def test_a_cosine_rises_in_equal_steps_and_falls_to_its_floor_by_half_a_wave():
    factor = cosine(10, warmup=4, floor=0.2)
    found = [factor(step) for step in (0, 1, 2, 3, 4, 7, 10, 99)]
    assert found == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.6, 0.2, 0.2])
    assert cosine(6)(1) == pytest.approx((1 + 3**0.5 / 2) / 2)
    assert [linear_warmup(5)(step) for step in (0, 3, 4, 9)] == pytest.approx([0.2, 0.8, 1, 1])


@pytest.mark.parametrize(("step", "kept"), [(0, 0.1), (8, 0.5), (10**6, 0.9)])
def test_the_average_keeps_little_of_its_first_values(step, kept):
    average, model = nn.Linear(1, 1), nn.Linear(1, 1)
    with torch.no_grad():
        average.weight.fill_(1.0), average.bias.fill_(0.0)
        model.weight.fill_(0.0), model.bias.fill_(1.0)
    move_average(average, model, 0.9, step)
    assert average.weight.item() == pytest.approx(kept)
    assert average.bias.item() == pytest.approx(1 - kept)


def test_batches_walk_through_one_order_after_another():
    batches = Batches(torch.arange(7), batch_size=6, shares=3, seed=4)
    walk = torch.cat([batches.indices(step, share) for step in range(7) for share in range(3)])
    rounds = walk.view(6, 7)
    assert (rounds.sort(dim=1).values == torch.arange(7)).all()
    assert len({tuple(order) for order in rounds.tolist()}) == 6
    assert torch.equal(batches.indices(2, 1), walk[14:16])


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="the gain is 0 there")
def test_the_gain_is_the_ratio_of_the_fastest_turns_after_the_first(monkeypatch):
    ticks, now = [0.0, 0.0], 0.0
    for turn in range(1, 6):
        for seconds in (3.0, 1.5):  # float32, bfloat16; only the last turn is as fast as that
            now += 10
            ticks += [now, now + seconds * (1 if turn == 5 else 2)]
    monkeypatch.setattr(precision.time, "perf_counter", iter(ticks).__next__)
    assert precision.bfloat16_gain.__wrapped__() == pytest.approx(2.0)
