"""A folder of pictures as a data set, read when they are needed."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from derive._typing import typed

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")


class BrokenImageError(ValueError):
    """A file that should hold a picture, and cannot be read as one."""


class ImageFolder(Dataset[Tensor]):
    """The PNG and JPEG pictures below a folder, as square tensors in [-1, 1].

    A picture is cut to the square in its middle, then resized. They are read one by one when
    they are asked for, so that the folder may be larger than the memory. Every file is decoded
    once at the start (about a millisecond for a small one), so that a broken one is found before
    training and not after an hour.

    Args:
        path: The folder; pictures in folders below it count too. In the order of their names.
        size: Side of the square.
        channels: 1 for grey, 3 for colour.
        skip_broken: Leave out files that cannot be read, and list them in `broken`.
        thorough: Decode every picture at the start; otherwise only its header is read, which is
            quicker and misses truncated files.

    Raises:
        FileNotFoundError: If there is no such folder, or no picture in it.
        BrokenImageError: If a picture cannot be read, and they are not to be skipped.
        ValueError: If size < 1.
    """

    @typed
    def __init__(
        self,
        path: str | Path,
        *,
        size: int = 32,
        channels: Literal[1, 3] = 3,
        skip_broken: bool = False,
        thorough: bool = True,
    ) -> None:
        folder = Path(path)
        if size < 1:
            raise ValueError(f"ImageFolder needs size >= 1, got {size}.")
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}.")
        self.size, self.channels = size, channels
        self.files: list[Path] = []
        self.broken: list[Path] = []
        for file in sorted(folder.rglob("*")):
            if file.suffix.lower() not in SUFFIXES or not file.is_file():
                continue
            try:
                _open(file, decode=thorough)
            except BrokenImageError:
                if not skip_broken:
                    raise
                self.broken.append(file)
            else:
                self.files.append(file)
        if not self.files:
            raise FileNotFoundError(
                f"{folder} holds no picture that can be read ({', '.join(SUFFIXES)}); "
                f"{len(self.broken)} broken ones were skipped."
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """One picture, (channels, size, size), in [-1, 1]."""
        from PIL import Image, ImageOps

        picture = _open(self.files[index], decode=True)
        # An alpha channel is laid over white: dropping it would show what was hidden.
        if "A" in picture.getbands() or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            ground = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(ground, picture)
        picture = picture.convert("L" if self.channels == 1 else "RGB")
        picture = ImageOps.fit(picture, (self.size, self.size), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(picture, dtype=np.float32))
        return pixels.view(self.size, self.size, self.channels).permute(2, 0, 1) / 127.5 - 1


def _open(file: Path, *, decode: bool) -> "Image":
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            if decode:
                picture.load()
                # Cameras store how they were held; a picture is meant upright.
                return ImageOps.exif_transpose(picture)
            return picture
    # Pillow's readers raise what they please at bytes that make no sense.
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BrokenImageError(
            f"{file} is not a picture that can be read ({error}); remove it, or pass "
            "skip_broken=True."
        ) from error
    except Image.DecompressionBombError as error:
        raise BrokenImageError(f"{file}: {error}.") from error
