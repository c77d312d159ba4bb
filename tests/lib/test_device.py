"""`derive.device`: profile, seed and sizes of a run."""

import pytest
import torch

from derive.device import as_device, start


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("DERIVE_PROFILE", raising=False)
    monkeypatch.delenv("DERIVE_SEED", raising=False)


def test_the_same_seed_gives_the_same_numbers():
    first, second = (torch.randn(4, generator=start(seed=3).generator) for _ in range(2))
    assert torch.equal(first, second)


def test_the_offset_changes_the_numbers_and_says_so(monkeypatch, capsys):
    monkeypatch.setenv("DERIVE_PROFILE", "cpu")
    monkeypatch.setenv("DERIVE_SEED", "5")
    run = start(seed=3)
    assert run.seed == 8
    assert capsys.readouterr().out == "cpu profile, seed 8\n"
    assert torch.equal(
        torch.randn(4, generator=run.generator),
        torch.randn(4, generator=torch.Generator().manual_seed(8)),
    )


def test_no_global_state_is_seeded():
    before = torch.random.get_rng_state()
    start(seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_profile_follows_the_machine(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    run = start(seed=0)
    assert (run.profile, run.device.type, run.scale(cpu=1, gpu=2)) == ("gpu", "cuda", 2)


def test_the_profile_can_be_overridden(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("DERIVE_PROFILE", "cpu")
    run = start(seed=0)
    assert (run.profile, run.device.type, run.scale(cpu=1, gpu=2)) == ("cpu", "cpu", 1)


@pytest.mark.parametrize(
    ("variable", "value", "seed", "message"),
    [
        ("DERIVE_PROFILE", "tpu", 0, "'cpu' or 'gpu', got 'tpu'"),
        ("DERIVE_PROFILE", "gpu", 0, "no CUDA device"),
        ("DERIVE_SEED", "two", 0, "whole number, got 'two'"),
        ("DERIVE_SEED", "-4", 3, "seed >= 0, got -1"),
    ],
)
def test_start_refuses(monkeypatch, variable, value, seed, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=message):
        start(seed=seed)


def test_a_seed_that_is_no_integer_is_a_type_error():
    with pytest.raises(TypeError):
        start(seed=0.5)


@pytest.mark.parametrize(
    ("count", "there", "absent"), [(0, "cpu", "cuda"), (2, "cuda:1", "cuda:2")]
)
def test_a_cuda_device_that_is_not_there_is_refused(monkeypatch, count, there, absent):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert as_device(there) == torch.device(there)
    for asked in (absent, torch.device(absent)):
        with pytest.raises(ValueError, match=f"no device '{absent}': torch sees {count} CUDA dev"):
            as_device(asked)
