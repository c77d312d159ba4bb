"""`python -m derive.diffusion train …` and `… sample …`: diffusion models of images.

Train on the digits, on a CPU, in some minutes, and draw from the result:

    python -m derive.diffusion train --data digits --out runs/digits --steps 2000
    python -m derive.diffusion sample --from runs/digits --out digits.png --gif digits.gif

On several accelerators: `accelerate launch -m derive.diffusion train …`. A training that was
interrupted goes on when the same command is given again.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from derive.data import ImageFolder, cifar10, digits, mnist
from derive.device import as_device
from derive.diffusion.images import save_animation, save_grid
from derive.diffusion.train import DiffusionModel, Recipe, draw, load_diffusion, train_diffusion
from derive.training import (
    CheckpointError,
    Diverged,
    Event,
    choose_precision,
    list_checkpoints,
    read_checkpoint,
)

REFUSALS = (ValueError, TypeError, OSError, ModuleNotFoundError, CheckpointError, Diverged)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except REFUSALS as error:
        print(f"derive.diffusion: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; give the same command again to go on.", file=sys.stderr)
        return 130
    return 0


def _train(options: argparse.Namespace) -> None:
    say = _speaker()
    folder = Path(options.out)
    images = load_images(options)
    channels, size = images[0].shape[0], images[0].shape[1]
    recipe = Recipe(
        channels=channels,
        size=size,
        widths=options.widths,
        blocks=options.blocks[0] if len(options.blocks) == 1 else options.blocks,
        noise=options.noise,
        num_times=options.times,
    )
    device = as_device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if list_checkpoints(folder):
        say(f"going on from step {read_checkpoint(folder).step}")
    else:
        chosen = choose_precision(options.precision, device)
        say(f"computing in {chosen.name} on {device.type}: {chosen.reason}")
    weights = sum(parameter.numel() for parameter in recipe.network().parameters())
    say(f"{len(images)} images of {channels} x {size} x {size}, {weights:,} weights")
    for file in getattr(images, "broken", []):
        say(f"skipped: {file}")
    trained = train_diffusion(
        images,
        recipe,
        steps=options.steps,
        seed=options.seed,
        batch_size=options.batch,
        learning_rate=options.rate,
        warmup=min(options.warmup, options.steps - 1),
        ema=options.ema or None,
        precision=options.precision,
        accumulate=options.accumulate,
        checkpoints=folder,
        checkpoint_every=options.checkpoint_every,
        callback=_follower(recipe, folder, options, say),
        device=device,
        workers=options.workers,
    )
    last = trained.losses[-100:].mean().item()
    say(f"{options.steps} steps in {trained.precision}, loss {last:.4f}; checkpoints in {folder}")


def load_images(options: argparse.Namespace) -> Tensor | ImageFolder:
    """The images that `--data` names, of the size that the network can take."""
    if options.data == "digits":
        return digits().images
    if options.data == "mnist":  # 28 does not halve often enough: a margin of paper makes it 32
        images = mnist(root=options.root, download=options.download).images
        return F.pad(images, (2, 2, 2, 2), value=-1.0)
    if options.data == "cifar10":
        return cifar10(root=options.root, download=options.download).images
    return ImageFolder(
        options.data,
        size=options.size,
        channels=options.channels,
        skip_broken=options.skip_broken,
    )


def _follower(
    recipe: Recipe, folder: Path, options: argparse.Namespace, say: Callable[[str], None]
) -> Callable[[Event], None]:
    """What is shown along the way: a line for logs, and a grid of samples."""
    schedule = recipe.schedule()
    quiet = sys.stderr.isatty()  # a bar is shown there

    def follow(event: Event) -> None:
        if event.step % options.checkpoint_every == 0 and not quiet:
            say(f"step {event.step}: loss {event.loss.item():.4f}")
        if options.sample_every and event.step % options.sample_every == 0:
            net: Any = event.average if event.average is not None else event.model.eval()
            # Their own source of noise: the training does not notice whether samples are drawn.
            samples = draw(
                DiffusionModel(net, schedule, recipe),
                options.sample_num,
                generator=Generator().manual_seed(options.seed),
                num_steps=min(50, recipe.num_times),
                precision="float32",
            )
            save_grid(samples, folder / "samples" / f"step-{event.step:08d}.png", scale=3)

    return follow


def _sample(options: argparse.Namespace) -> None:
    say = _speaker()
    model = load_diffusion(options.source, average=options.weights == "average")
    device = as_device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model.net.to(device)
    path = draw(
        model,
        options.num,
        generator=Generator().manual_seed(options.seed),
        sampler=options.sampler,
        num_steps=options.steps,
        eta=options.eta,
        precision=options.precision,
        return_path=options.gif is not None,
    )
    images = path if options.gif is None else path[-1]
    say(f"{options.num} images: {save_grid(images, options.out, scale=options.scale)}")
    if options.gif is not None:
        say(f"their way from noise: {save_animation(path, options.gif, scale=options.scale)}")


def _speaker() -> Callable[[str], None]:
    """Prints in the main process only."""
    main_process = os.environ.get("RANK", "0") == "0"
    return (lambda text: print(text, flush=True)) if main_process else (lambda text: None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m derive.diffusion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    wide = argparse.ArgumentDefaultsHelpFormatter
    _train_options(commands.add_parser("train", help="train a model", formatter_class=wide))
    _sample_options(commands.add_parser("sample", help="draw from a model", formatter_class=wide))
    return parser


def _train_options(train: argparse.ArgumentParser) -> None:
    add = train.add_argument
    add("--data", required=True, help="digits, mnist, cifar10, or a folder of PNG and JPEG files")
    add("--out", required=True, help="folder of the checkpoints and samples")
    add("--steps", type=int, default=20_000, help="updates of the weights")
    add("--batch", type=int, default=64, help="images of an update, over all processes")
    add("--widths", type=_numbers, default=(32, 64, 128), help="channels of the levels, a,b,c")
    add("--blocks", type=_numbers, default=(2,), help="residual blocks a level: a, or a,b,c")
    add("--noise", choices=("ho", "su", "cosine"), default="ho", help="schedule of the noise")
    add("--times", type=int, default=1000, help="number of noise levels")
    add("--rate", type=float, default=5e-4, help="learning rate")
    add("--warmup", type=int, default=200, help="steps in which it rises")
    add("--ema", type=float, default=0.999, help="decay of the weights' average; 0: none")
    _common_options(train)
    add("--accumulate", type=int, default=1, help="parts in which a batch is computed")
    add("--checkpoint-every", type=int, default=1000, help="steps between checkpoints")
    add("--sample-every", type=int, default=0, help="steps between grids of samples; 0: none")
    add("--sample-num", type=int, default=36, help="images in such a grid")
    add("--size", type=int, default=32, help="side of the images of a folder")
    add("--channels", type=int, choices=(1, 3), default=3, help="1: a folder's images in grey")
    add("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    add("--workers", type=int, default=0, help="processes that read a folder ahead")
    add("--root", help="folder of mnist and cifar10 (default: the user's cache)")
    add("--download", action="store_true", help="fetch mnist or cifar10 if it is not there")
    train.set_defaults(run=_train)


def _sample_options(sample: argparse.ArgumentParser) -> None:
    add = sample.add_argument
    add("--from", dest="source", required=True, help="folder of checkpoints, or one of them")
    add("--out", required=True, help="the picture to write")
    add("--gif", help="also write the way from noise, as an animation")
    add("--num", type=int, default=36, help="how many images")
    add("--sampler", choices=("ddim", "ddpm"), default="ddim", help="how to draw")
    add("--steps", type=int, default=50, help="calls of the network")
    add("--eta", type=float, default=0.0, help="noise of ddim, 1: as much as ddpm")
    add("--weights", choices=("average", "last"), default="average", help="which weights")
    add("--scale", type=int, default=4, help="pixels of the picture for each of an image's")
    _common_options(sample)
    sample.set_defaults(run=_sample)


def _common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="everything random follows from it")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="auto: bfloat16 where it is fast",
    )


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers like 32,64,128, got {text!r}") from None


if __name__ == "__main__":
    sys.exit(main())
