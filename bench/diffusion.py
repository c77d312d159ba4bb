"""The U-Net and the samplers' updates against diffusers; the memory of the exact denoiser.

Run `python -m bench.diffusion` from the repository's root; about five minutes on a calm core.
denoising-diffusion-pytorch is not among the peers: its package imports torchvision at once.
"""

import sys
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn

from bench import harness
from derive.data import digits
from derive.diffusion import (
    EmpiricalModel,
    NoiseSchedule,
    add_noise,
    reverse_steps,
    sample_times,
)
from derive.diffusion.steps import unchecked_step
from derive.diffusion.train import Recipe, train_diffusion
from derive.diffusion.unet import UNet
from derive.training import choose_precision, train

BATCH = 64
# 3.7 M weights, diffusers' network has 3.9 M. Blocks are moved from the finest level to the
# coarsest, where they cost least, as in Imagen's efficient U-Net (Saharia et al., 2022).
WIDTHS, BLOCKS = (32, 64, 128), (1, 2, 3)
GOALS = {16: (2.0, 2.5), 32: (2.5, 3.2)}  # against diffusers in float32: training, sampling
REPEATS = 3
N, DIM = 50_000, 64
Call = Callable[[], object]


def main() -> list[dict]:
    auto = choose_precision("auto", torch.device("cpu"))
    rows = [networks(size, auto.name, auto.reason) for size in GOALS]
    return [*rows, quality(), halves(), updates(), memory()]


def ours() -> UNet:
    return UNet(1, widths=WIDTHS, blocks=BLOCKS, generator=torch.Generator().manual_seed(0))


def diffusers_unet() -> nn.Module:
    """Of the same widths, with two blocks a level (three on the way up), attention as ours."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=32,
        in_channels=1,
        out_channels=1,
        layers_per_block=2,
        block_out_channels=WIDTHS,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )


class Answer(nn.Module):
    """diffusers' network with a tensor for an answer, as ours has."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.net(x, t, return_dict=False)[0]


def networks(size: int, auto: str, reason: str) -> dict:
    """A step of training and a call of sampling, in float32 and in bfloat16."""
    x = torch.randn(BATCH, 1, size, size, generator=torch.Generator().manual_seed(1))
    t = torch.arange(1, 1001, 1000 // BATCH)[:BATCH]
    peer = Answer(diffusers_unet())
    last = deepcopy(peer).to(memory_format=torch.channels_last)
    half = deepcopy(ours()).bfloat16().eval()
    training = {
        "diffusers, float32": training_step(peer, x, t, bfloat16=False),
        "diffusers, bfloat16, channels last": training_step(last, x, t, bfloat16=True),
        "ours, float32": training_step(ours(), x, t, bfloat16=False),
        "ours, bfloat16": training_step(ours(), x, t, bfloat16=True),
    }
    sampling = {
        "diffusers, float32": sampling_call(peer, x, t, bfloat16=False),
        "diffusers, bfloat16, channels last": sampling_call(last, x, t, bfloat16=True),
        "ours, float32": sampling_call(ours().eval(), x, t, bfloat16=False),
        "ours, bfloat16": sampling_call(half, x, t, bfloat16=False),
    }
    kinds = {"training": training, "sampling": sampling}
    seconds = {
        f"{kind}: {name}": times
        for kind, calls in kinds.items()
        for name, times in harness.summary(harness.cpu_seconds(calls, repeats=REPEATS)).items()
    }
    counts = {"diffusers": weights(peer), "ours": weights(ours())}
    if abs(counts["ours"] / counts["diffusers"] - 1) > 0.1:
        raise RuntimeError(f"the networks differ by more than 10 %: {counts}")
    work = {"diffusers": operations(peer, size), "ours": operations(ours(), size)}
    return {
        "task": f"{BATCH} images of {size} x {size}",
        "weights": counts,
        "forward GFLOP": work,
        "ours computes in": f"{auto} ({reason})",
        "seconds": seconds,
        "ratios": speed_ratios(seconds, size, auto),
        "others": {
            f"{kind}: diffusers / ours, float32, per operation": harness.significant(
                median(seconds, kind, "diffusers, float32")
                / median(seconds, kind, "ours, float32")
                * work["ours"]
                / work["diffusers"]
            )
            for kind in kinds
        },
    }


def speed_ratios(seconds: dict, size: int, auto: str) -> list[dict]:
    ratios = []
    for kind, goal in zip(("training", "sampling"), GOALS[size], strict=True):
        exact = median(seconds, kind, "diffusers, float32")
        half = median(seconds, kind, "diffusers, bfloat16, channels last")
        pairs = {
            f"{kind}, diffusers in float32 / ours in {auto}": (
                exact / median(seconds, kind, f"ours, {auto}"),
                goal,
            ),
            f"{kind}, both in bfloat16": (half / median(seconds, kind, "ours, bfloat16"), 1.5),
            f"{kind}, both in float32": (exact / median(seconds, kind, "ours, float32"), 1.2),
        }
        ratios += [harness.ratio(name, value, goal=goal) for name, (value, goal) in pairs.items()]
    return ratios


def median(seconds: dict, kind: str, name: str) -> float:
    return seconds[f"{kind}: {name}"]["median"]


def weights(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def operations(net: nn.Module, size: int) -> float:
    """GFLOP of one call, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 1, size, size), torch.tensor([1]))
    return harness.significant(counter.get_total_flops() * BATCH / 1e9)


def training_step(net: nn.Module, x: Tensor, t: Tensor, *, bfloat16: bool) -> Call:
    """Forward, backward and AdamW, as the training loop has them."""
    optimizer = torch.optim.AdamW(net.parameters())
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))

    def call() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            answer = net(x, t)
        (answer.float() - noise).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return call


def sampling_call(net: nn.Module, x: Tensor, t: Tensor, *, bfloat16: bool) -> Call:
    def call() -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            net(x, t)

    return call


def quality() -> dict:
    """Whether the quicker network learns as well: 400 steps on the digits, the same noise."""
    images, schedule = digits().images, NoiseSchedule.ho_linear()

    def loss(model, batch, generator):
        t = sample_times(len(batch), schedule, generator=generator, stratified=True)
        noise = torch.randn(batch.shape, generator=generator)
        return (model(add_noise(batch, t, schedule, noise), t) - noise).square().mean()

    ends = {}
    for name, net in (("diffusers", Answer(diffusers_unet())), ("ours", ours())):
        done = train(net, loss, images, steps=400, batch_size=32, seed=0, learning_rate=5e-4)
        ends[name] = done.losses[-100:].mean().item()
    return {
        "task": "mean loss of steps 301 to 400 on the digits, batch 32",
        "loss": {name: harness.significant(value) for name, value in ends.items()},
        "ratios": [
            harness.ratio(
                "ours / diffusers", ends["ours"] / ends["diffusers"], goal=1.05, at_least=False
            )
        ],
    }


def halves() -> dict:
    """What bfloat16 costs: the loss after 400 steps, against float32 with the same draws."""
    recipe = Recipe(channels=1, size=8, widths=(16, 32), blocks=2)
    ends = {}
    for precision in ("float32", "bfloat16"):
        done = train_diffusion(
            digits().images,
            recipe,
            steps=400,
            seed=0,
            learning_rate=1e-3,
            ema=None,
            precision=precision,
        )
        ends[precision] = done.losses[-100:].mean().item()
    apart = abs(ends["bfloat16"] / ends["float32"] - 1)
    return {
        "task": "mean loss of steps 301 to 400 in bfloat16",
        "loss": {name: harness.significant(value) for name, value in ends.items()},
        "ratios": [harness.ratio("|bfloat16 / float32 - 1|", apart, goal=0.02, at_least=False)],
    }


def updates() -> dict:
    """One update as `run_reverse` makes it, from the estimate of x_0, for 64 images of 32 x 32."""
    from diffusers import DDIMScheduler, DDPMScheduler

    generator = torch.Generator().manual_seed(3)
    x, x_0 = torch.randn(2, BATCH, 1, 32, 32, generator=generator)
    schedule = NoiseSchedule.ho_linear()
    ddpm = reverse_steps(schedule, [499, 500])[0]
    ddim = reverse_steps(schedule, [480, 500], eta=0.0)[0]
    plain = {"prediction_type": "sample", "clip_sample": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own future versions
        peers = DDPMScheduler(**plain), DDIMScheduler(**plain)
    peers[1].set_timesteps(50)
    into = torch.empty_like(x)

    def many(call: Call) -> Call:
        def calls() -> None:  # each result is dropped at once, as in a sampler
            for _ in range(500):
                call()

        return calls

    calls = {
        "copy": lambda: into.copy_(x),
        "randn": lambda: torch.randn(x.shape, generator=generator),
        "ours, DDIM": lambda: unchecked_step(ddim, x, x_0),
        "diffusers, DDIM": lambda: peers[1].step(x_0, 480, x, return_dict=False),
        "ours, DDPM": lambda: unchecked_step(
            ddpm, x, x_0, torch.randn(x.shape, generator=generator)
        ),
        "diffusers, DDPM": lambda: peers[0].step(
            x_0, 499, x, generator=generator, return_dict=False
        ),
    }
    runs = harness.cpu_seconds({name: many(call) for name, call in calls.items()}, repeats=9)
    seconds = harness.summary({name: [run / 500 for run in times] for name, times in runs.items()})
    cost = {name: times["median"] for name, times in seconds.items()}
    return {
        "task": f"sampler update, {BATCH} x 1 x 32 x 32",
        "seconds": seconds,
        "ratios": [
            harness.ratio(
                "DDIM, diffusers / ours", cost["diffusers, DDIM"] / cost["ours, DDIM"], goal=5
            ),
            harness.ratio(
                "DDIM, ours / copy", cost["ours, DDIM"] / cost["copy"], goal=3, at_least=False
            ),
            harness.ratio(
                "DDPM, ours / its randn",
                cost["ours, DDPM"] / cost["randn"],
                goal=1.25,
                at_least=False,
            ),
        ],
        "others": {
            "DDPM, diffusers / ours": harness.significant(
                cost["diffusers, DDPM"] / cost["ours, DDPM"]
            )
        },
    }


def memory() -> dict:
    """The exact denoiser of many points never holds all distances at once."""
    extra = harness.peak_extra_mb("bench.diffusion", "memory_case", n=BATCH, num=N, d=DIM)
    ratios = []
    if extra is not None:
        ratios = [harness.ratio("extra MB", extra, goal=200, at_least=False)]
    return {
        "task": f"EmpiricalModel.denoise, {N} points, {BATCH} x {DIM}",
        "ratios": ratios,
    }


def memory_case(n: int, num: int, d: int):
    """The call whose memory `memory` measures, and a small one to make first."""
    generator = torch.Generator().manual_seed(4)
    points = torch.randn(num, d, generator=generator, dtype=torch.float64)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    model, small = EmpiricalModel(points), EmpiricalModel(points[:100])
    return lambda: model.denoise(x, 0.6, 0.8), lambda: small.denoise(x, 0.6, 0.8)


if __name__ == "__main__":
    harness.run("diffusion", main, ("torch", "numpy", "diffusers", "accelerate"))
