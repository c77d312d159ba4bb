"""Small images with labels: scikit-learn's digits, and MNIST and CIFAR-10 through torchvision."""

import gzip
import hashlib
import json
import os
import zlib
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from derive._typing import typed
from derive._validate import check_finite

Split = Literal["train", "test"]
# The version without pickles: records of one label byte and 3 x 32 x 32 colour bytes.
CIFAR10 = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR10_FILES = {
    "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
    "test": ["test_batch.bin"],
}
RECORD = 1 + 3 * 32 * 32
CHECKSUMS = "sha256.json"


class LabelledImages(NamedTuple):
    """Images in [-1, 1] (count, channels, height, width) and the class of each."""

    images: Tensor
    labels: Tensor


@typed
def digits() -> LabelledImages:
    """The 1797 handwritten digits of scikit-learn, 8 x 8 with 17 grey levels.

    Read from the file that scikit-learn carries, without importing it: 0.1 s instead of one.

    Returns:
        Images of shape (1797, 1, 8, 8), from -1 (paper) to 1 (ink), and labels 0 to 9, in the
        order of `sklearn.datasets.load_digits`.

    Raises:
        ModuleNotFoundError: If scikit-learn is not installed.
        ValueError: If its file is damaged.

    Source:
        Alpaydin and Kaynak (1998), test part of the UCI set of optically recognised digits.

    Example:
        >>> images, labels = digits()
        >>> images.shape, labels[:3].tolist()
        (torch.Size([1797, 1, 8, 8]), [0, 1, 2])
    """
    spec = util.find_spec("sklearn")  # finds, and does not import
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "digits reads scikit-learn's data, and scikit-learn is missing; "
            "install derive-and-run[run]."
        )
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        rows = gzip.decompress(path.read_bytes()).decode("ascii").split()
        if not rows:
            raise EOFError("it is empty")
        table = torch.from_numpy(np.loadtxt(rows, delimiter=",", dtype=np.int64))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); install scikit-learn anew.") from error
    images = table[:, :-1].to(torch.float32).view(-1, 1, 8, 8) / 8 - 1
    return LabelledImages(images, table[:, -1].clone())


@typed
def mnist(
    split: Split = "train", *, root: str | Path | None = None, download: bool = False
) -> LabelledImages:
    """MNIST: 60 000 (train) or 10 000 (test) handwritten digits of 28 x 28.

    Args:
        split: Which part.
        root: Folder of the data; by default `$XDG_CACHE_HOME/derive` or `~/.cache/derive`.
        download: Whether to fetch what is not there (about 12 MB), by torchvision.

    Returns:
        Images of shape (n, 1, 28, 28) in [-1, 1], and labels 0 to 9.

    Raises:
        ModuleNotFoundError: If torchvision is missing, or does not fit the installed torch.
        FileNotFoundError: If the data are not in `root` and could not be, or were not to be,
            downloaded.
        ValueError: If a file is damaged.

    Source:
        LeCun, Bottou, Bengio, Haffner (1998).
    """
    datasets = _torchvision("MNIST").datasets
    folder = _root(root)
    try:
        found = datasets.MNIST(str(folder), train=split == "train", download=download)
    except (RuntimeError, OSError) as error:
        raise _absent("MNIST", folder, download, error) from error
    # torchvision compares checksums of what it fetches, and not of what has lain there since.
    except (ValueError, AssertionError, EOFError, zlib.error) as error:
        raise ValueError(
            f"a file of MNIST in {folder} is damaged ({error}); remove it and download it again."
        ) from error
    images = _scaled(torch.as_tensor(found.data).unsqueeze(1))
    return LabelledImages(images, torch.as_tensor(found.targets).to(torch.int64))


@typed
def cifar10(
    split: Split = "train", *, root: str | Path | None = None, download: bool = False
) -> LabelledImages:
    """CIFAR-10: 50 000 (train) or 10 000 (test) colour photographs of 32 x 32, in 10 classes.

    torchvision fetches and verifies the archive; it is read here, from the binary version, since
    the one that torchvision reads is pickled.

    Args:
        split: Which part.
        root: Folder of the data; by default `$XDG_CACHE_HOME/derive` or `~/.cache/derive`.
        download: Whether to fetch what is not there (about 170 MB).

    Returns:
        Images of shape (n, 3, 32, 32) in [-1, 1] (600 MB for the training part), and labels.

    Raises:
        ModuleNotFoundError: If a download is wanted and torchvision is missing.
        FileNotFoundError: If the data are not in `root` and could not be, or were not to be,
            downloaded.
        ValueError: If a file is damaged: not made of whole records, with a class that does not
            exist, or other than when it was downloaded.

    Source:
        Krizhevsky (2009).
    """
    folder = _root(root)
    files = [folder / "cifar-10-batches-bin" / name for name in CIFAR10_FILES[split]]
    if not all(file.exists() for file in files):
        utils = _torchvision("CIFAR-10").datasets.utils
        if not download:
            raise _absent("CIFAR-10", folder, download, None)
        try:
            utils.download_and_extract_archive(CIFAR10, str(folder), md5=CIFAR10_MD5)
        except (RuntimeError, OSError) as error:
            raise _absent("CIFAR-10", folder, download, error) from error
        _note_checksums(files[0].parent)
    return _records(files)


@typed
def to_pixels(images: Float[Tensor, "*axes"]) -> UInt8[Tensor, "*axes"]:
    """Numbers in [-1, 1] as bytes 0 to 255, rounded; what lies outside is cut off.

    Raises:
        ValueError: If an entry is not finite.

    Example:
        >>> to_pixels(torch.tensor([-1.0, 0.0, 1.0, 7.0])).tolist()
        [0, 128, 255, 255]
    """
    check_finite("images", images)
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _scaled(pixels: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    return pixels.to(torch.float32).div_(127.5).sub_(1)


def _records(files: list[Path]) -> LabelledImages:
    noted = _noted_checksums(files[0].parent)
    parts = []
    for file in files:
        content = np.fromfile(file, dtype=np.uint8)
        if len(content) % RECORD or not len(content):
            raise _damaged(
                file, f"has {len(content)} bytes, and should have a multiple of {RECORD}"
            )
        if file.name in noted and noted[file.name] != hashlib.sha256(content.tobytes()).hexdigest():
            raise _damaged(file, "is not as it was downloaded: its checksum differs")
        part = content.reshape(-1, RECORD)
        if (largest := int(part[:, 0].max())) > 9:
            raise _damaged(file, f"has an image of class {largest}, and there are 0 to 9")
        parts.append(part)
    records = torch.from_numpy(np.concatenate(parts))
    images = _scaled(records[:, 1:].reshape(-1, 3, 32, 32))
    return LabelledImages(images, records[:, 0].to(torch.int64))


def _damaged(file: Path, what: str) -> ValueError:
    return ValueError(f"{file} {what}; remove it and download it again.")


def _note_checksums(folder: Path) -> None:
    """Write down what was unpacked from an archive whose checksum was right."""
    files = [folder / name for names in CIFAR10_FILES.values() for name in names]
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    (folder / CHECKSUMS).write_text(json.dumps(found, indent=1), encoding="utf-8")


def _noted_checksums(folder: Path) -> dict[str, str]:
    """By file name; none of files that somebody has put there by hand."""
    path = folder / CHECKSUMS
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise _damaged(path, f"is no list of checksums ({error})") from error


def _root(root: str | Path | None) -> Path:
    if root is not None:
        return Path(root)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "derive"


def _torchvision(wanted: str) -> ModuleType:
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:  # a build for another torch fails on import
        raise ModuleNotFoundError(
            f"{wanted} comes through torchvision, which is missing or does not fit this torch "
            f"({error}). Install the torchvision of the same release and kind (CPU or CUDA) as "
            f"torch {torch.__version__}, or use digits(), which needs no download."
        ) from error
    return torchvision


def _absent(name: str, folder: Path, download: bool, error: Exception | None) -> FileNotFoundError:
    if not download:
        return FileNotFoundError(
            f"{name} is not in {folder}; pass download=True to fetch it, or the root that has it."
        )
    return FileNotFoundError(
        f"{name} is not in {folder} and could not be downloaded ({error}). Without a network use "
        "digits(), which needs none."
    )
