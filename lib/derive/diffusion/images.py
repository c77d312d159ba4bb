"""Pictures of samples: a grid as PNG, and their way from noise as an animated GIF."""

import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from derive._typing import typed
from derive.data import to_pixels

GAP = 2  # grey pixels between two images


@typed
def image_grid(
    images: Float[Tensor, "n c h w"], *, columns: int | None = None, scale: int = 1
) -> UInt8[Tensor, "height width c"]:
    """The images side by side, row by row, as bytes; what lies outside [-1, 1] is cut off.

    Args:
        images: At least one, with 1 or 3 channels.
        columns: Images a row; by default as many as make the grid about square.
        scale: How many pixels wide a pixel is drawn.

    Raises:
        ValueError: If there is no image, or one has other than 1 or 3 channels, or a choice < 1.

    Example:
        >>> image_grid(torch.zeros(3, 1, 8, 8), columns=2).shape
        torch.Size([22, 22, 1])
    """
    n, c, h, w = images.shape
    if n < 1 or c not in (1, 3):
        raise ValueError(f"image_grid needs images of 1 or 3 channels, got {tuple(images.shape)}.")
    wide = math.ceil(math.sqrt(n)) if columns is None else columns
    if wide < 1 or scale < 1:
        raise ValueError(f"image_grid needs columns, scale >= 1, got {columns} and {scale}.")
    pixels = to_pixels(images.detach().float().cpu()).permute(0, 2, 3, 1)
    pixels = pixels.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    h, w = h * scale, w * scale
    high = math.ceil(n / wide)
    sheet = torch.full((high * (h + GAP) + GAP, wide * (w + GAP) + GAP, c), 128, dtype=torch.uint8)
    for place, picture in enumerate(pixels):
        top, left = GAP + place // wide * (h + GAP), GAP + place % wide * (w + GAP)
        sheet[top : top + h, left : left + w] = picture
    return sheet


@typed
def save_grid(
    images: Float[Tensor, "n c h w"],
    path: str | Path,
    *,
    columns: int | None = None,
    scale: int = 1,
) -> Path:
    """Write a grid of images as a picture (its suffix decides the format); returns the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _picture(image_grid(images, columns=columns, scale=scale)).save(target)
    return target


@typed
def save_animation(
    states: Float[Tensor, "steps n c h w"],
    path: str | Path,
    *,
    frames: int = 40,
    seconds: float = 4.0,
    columns: int | None = None,
    scale: int = 1,
) -> Path:
    """Write the states of a sampler, noise first, as a GIF that holds its last picture a while.

    Args:
        states: All states, as `run_reverse(…, return_path=True)` returns them.
        path: Where to; the folder is created.
        frames: At most so many of the states are shown, spread evenly, the last among them.
        seconds: How long they take together.
        columns: Images a row.
        scale: How many pixels wide a pixel is drawn.

    Raises:
        ValueError: If frames < 2 or seconds <= 0, or the images are not images.
    """
    if frames < 2 or not seconds > 0:
        raise ValueError(
            f"save_animation needs frames >= 2 and seconds > 0, got {frames} and {seconds}."
        )
    last = len(states) - 1
    chosen = np.unique(np.linspace(0, last, min(frames, len(states))).round().astype(int))
    pictures = [
        _picture(image_grid(states[index], columns=columns, scale=scale)) for index in chosen
    ]
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # GIF counts hundredths of a second, and programs show less than two of them as ten.
    each = max(20, round(100 * seconds / len(pictures)) * 10)
    durations = [each] * (len(pictures) - 1) + [each + 2000]
    # Without optimising: equal pictures would be merged, and their times with them.
    pictures[0].save(
        target,
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        optimize=False,
        disposal=1,
    )
    return target


def _picture(sheet: Tensor):
    from PIL import Image

    array = sheet.numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
