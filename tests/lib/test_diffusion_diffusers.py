"""derive.diffusion against the schedulers of diffusers, and the stored results of the chapter.

Renew the stored results with `python tests/lib/test_diffusion_diffusers.py`.
"""

import json
import sys
from pathlib import Path

import pytest
import torch

from derive.data import bench_results
from derive.diffusion import NoiseSchedule, apply_step, reverse_steps, step_grid

diffusers = pytest.importorskip("diffusers")

SCHEDULE = NoiseSchedule.ho_linear(1000)
SIZE = (1, 1, 2, 3)


def scheduler(kind="fixed_small", steps=1000):
    made = diffusers.DDPMScheduler(
        beta_schedule="linear", variance_type=kind, clip_sample=False, timestep_spacing="leading"
    )
    made.set_timesteps(steps)
    return made


def draw(seed, *, dtype=torch.float32):
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def reference():
    """What the chapter reads: single steps and jumps, both variances, with the noise they drew."""
    x, eps = draw(101).round(decimals=3), draw(102).round(decimals=3)
    cases = []
    for kind in ("fixed_small", "fixed_large"):
        for steps, indices in ((1000, (990, 500, 100, 10, 1, 0)), (50, (960, 500, 20, 0))):
            for i in indices:
                step = scheduler(kind, steps).step(
                    eps, i, x, generator=torch.Generator().manual_seed(i)
                )
                cases.append(
                    {
                        "kind": kind,
                        "i": i,
                        "previous": i - 1000 // steps,
                        "z": [round(v, 7) for v in draw(i).flatten().tolist()],
                        "result": [round(v, 7) for v in step.prev_sample.flatten().tolist()],
                    }
                )
    return {
        "subject": "diffusers_steps",
        "source": f"diffusers {diffusers.__version__}: DDPMScheduler.step, linear betas, float32, "
        "clip_sample=False; timestep i is t = i + 1 of the book",
        "x": [round(v, 3) for v in x.flatten().tolist()],
        "eps": [round(v, 3) for v in eps.flatten().tolist()],
        "cases": cases,
    }


def stored_path():
    import derive

    return Path(derive.__file__).parent / "results" / "diffusers_steps.json"


def numbers(results):
    return torch.tensor([case["result"] for case in results["cases"]])


def test_the_stored_results_are_what_diffusers_returns_now():
    stored, now = bench_results("diffusers_steps"), reference()
    assert [c["i"] for c in stored["cases"]] == [c["i"] for c in now["cases"]]
    torch.testing.assert_close(numbers(stored), numbers(now), atol=2e-6, rtol=0)


def test_alphas_are_those_of_diffusers_counted_from_one():
    theirs = scheduler().alphas_cumprod.double()
    torch.testing.assert_close(SCHEDULE.alpha[1:] ** 2, theirs, rtol=1e-6, atol=0)


def test_the_oracle_rejects_an_index_counted_from_zero():
    theirs = scheduler().alphas_cumprod.double()
    with pytest.raises(AssertionError):
        torch.testing.assert_close(SCHEDULE.alpha[:-1] ** 2, theirs, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("kind", "ours"), [("fixed_small", "posterior"), ("fixed_large", "beta")])
@pytest.mark.parametrize("num", [1000, 50])
def test_ddpm_steps_are_those_of_diffusers(kind, ours, num):
    steps = reverse_steps(SCHEDULE, step_grid(1000, num, kind="leading"), variance=ours)
    made = scheduler(kind, num)
    # The same float32 alphas_cumprod: what differs then is rounding alone.
    for step in [s for s in steps if s.t > 400] + steps[-3:]:
        x, eps = draw(7), draw(8)
        theirs = made.step(eps, step.t - 1, x, generator=torch.Generator().manual_seed(step.t))
        alpha, sigma = SCHEDULE.alpha[step.t].item(), SCHEDULE.sigma[step.t].item()
        x_0 = (x.double() - sigma * eps.double()) / alpha
        mine = apply_step(step, x.double(), x_0, draw(step.t).double())
        tolerance = 1e-5 * x_0.abs().max().item() if step.t > 400 else 3e-4
        torch.testing.assert_close(
            mine, theirs.prev_sample.double(), rtol=0, atol=max(tolerance, 1e-5)
        )


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_steps_are_those_of_diffusers(eta):
    made = diffusers.DDIMScheduler(
        beta_schedule="linear", clip_sample=False, set_alpha_to_one=True, timestep_spacing="leading"
    )
    made.set_timesteps(20)
    for step in reverse_steps(SCHEDULE, step_grid(1000, 20, kind="leading"), eta=eta)[:-1]:
        x, eps, z = draw(7), draw(8), draw(9)
        theirs = made.step(eps, step.t - 1, x, eta=eta, variance_noise=z).prev_sample
        alpha, sigma = SCHEDULE.alpha[step.t].item(), SCHEDULE.sigma[step.t].item()
        x_0 = (x.double() - sigma * eps.double()) / alpha
        mine = apply_step(step, x.double(), x_0, z.double())
        scale = max(1.0, x_0.abs().max().item())
        torch.testing.assert_close(mine, theirs.double(), rtol=0, atol=1e-4 * scale)


if __name__ == "__main__":
    stored_path().write_text(json.dumps(reference(), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote {stored_path().name}\n")
