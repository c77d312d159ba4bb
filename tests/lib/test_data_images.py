"""derive.data: images, on small files that the tests make. Text is in test_data.py."""

import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from derive.data import BrokenImageError, ImageFolder, cifar10, digits, mnist, to_pixels
from derive.data.images import CIFAR10, CIFAR10_MD5


def picture(path, colour, size=(6, 4), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


# --- digits ---------------------------------------------------------------------------------


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    theirs = load_digits()
    ours = digits()
    np.testing.assert_array_equal((ours.images[:, 0].numpy() + 1) * 8, theirs.images)
    np.testing.assert_array_equal(ours.labels.numpy(), theirs.target)
    assert ours.images.dtype is torch.float32
    assert (ours.images.min().item(), ours.images.max().item()) == (-1.0, 1.0)


def test_digits_import_no_scikit_learn():
    code = "import sys; from derive.data import digits; digits(); print('sklearn' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_digits_say_that_scikit_learn_is_missing(monkeypatch):
    monkeypatch.setattr("derive.data.images.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="scikit-learn is missing"):
        digits()


def test_pixels_are_the_bytes_the_images_came_from():
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_pixels(every.float() / 127.5 - 1), every)
    with pytest.raises(TypeError, match="images"):
        to_pixels(every)


# --- MNIST and CIFAR-10 ---------------------------------------------------------------------


@pytest.fixture
def without_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)


@pytest.fixture
def torchvision(monkeypatch, tmp_path):
    """A stand-in with the two things that are used of torchvision."""
    log = []

    class MNIST:
        def __init__(self, root, train, download):
            log.append((root, train, download))
            if not download:
                raise RuntimeError("Dataset not found.")
            self.data = torch.arange(2 * 28 * 28).view(2, 28, 28).to(torch.uint8)
            self.targets = torch.tensor([7, 2])

    def fetch(url, folder, md5):
        log.append((url, md5))
        write_records(tmp_path)

    fake = types.ModuleType("torchvision")
    fake.datasets = types.SimpleNamespace(
        MNIST=MNIST, utils=types.SimpleNamespace(download_and_extract_archive=fetch)
    )
    monkeypatch.setitem(sys.modules, "torchvision", fake)
    return log


def write_records(folder):
    """Six files of two records each, as CIFAR-10's binary version has them."""
    (folder / "cifar-10-batches-bin").mkdir()
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    for number, name in enumerate(names):
        first = bytes([number]) + bytes([255]) * 1024 + bytes(1024) + bytes([51]) * 1024
        second = bytes([9]) + bytes([0, 255] * 1536)
        (folder / "cifar-10-batches-bin" / name).write_bytes(first + second)


def test_mnist_comes_in_the_shape_and_range_of_all_images(torchvision, tmp_path):
    images, labels = mnist("test", root=tmp_path, download=True)
    assert torchvision == [(str(tmp_path), False, True)]
    assert images.shape == (2, 1, 28, 28)
    assert labels.tolist() == [7, 2]
    assert labels.dtype is torch.int64
    expected = torch.arange(2 * 28 * 28).view(2, 1, 28, 28) % 256
    torch.testing.assert_close(images, expected / 127.5 - 1)


def test_cifar_records_are_read_as_they_were_written(without_torchvision, tmp_path):
    write_records(tmp_path)
    images, labels = cifar10("train", root=tmp_path)
    assert labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert images.shape == (10, 3, 32, 32)
    torch.testing.assert_close(images[2].mean(dim=(1, 2)), torch.tensor([1.0, -1.0, -0.6]))
    assert images[1, 0, 0, :4].tolist() == [-1.0, 1.0, -1.0, 1.0]
    assert cifar10("test", root=tmp_path).labels.tolist() == [5, 9]


@pytest.mark.parametrize(("split", "size"), [("train", 10), ("test", 2)])
def test_cifar_is_fetched_when_it_is_asked_for(torchvision, tmp_path, split, size):
    assert len(cifar10(split, root=tmp_path, download=True).labels) == size
    assert torchvision == [(CIFAR10, CIFAR10_MD5)]
    assert len(cifar10(split, root=tmp_path, download=True).labels) == size
    assert len(torchvision) == 1  # not fetched again


def test_a_truncated_cifar_file_is_named(tmp_path):
    write_records(tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"data_batch_3\.bin has 6145 bytes"):
        cifar10("train", root=tmp_path)


@pytest.mark.parametrize("load", [mnist, cifar10])
def test_nothing_is_downloaded_unasked(torchvision, tmp_path, load):
    with pytest.raises(FileNotFoundError, match="pass download=True"):
        load(root=tmp_path)


@pytest.mark.parametrize("load", [mnist, cifar10])
def test_a_missing_torchvision_is_explained(without_torchvision, tmp_path, load):
    with pytest.raises(ModuleNotFoundError, match=r"comes through torchvision.* use digits\(\)"):
        load(root=tmp_path, download=True)


@pytest.mark.parametrize("load", [mnist, cifar10])
def test_a_missing_network_is_explained(torchvision, tmp_path, load, monkeypatch):
    def offline(*arguments, **options):
        raise OSError("Name or service not known")

    datasets = sys.modules["torchvision"].datasets
    datasets.MNIST = datasets.utils.download_and_extract_archive = offline
    with pytest.raises(FileNotFoundError, match=r"Name or service not known.* Without a network"):
        load(root=tmp_path, download=True)


# --- folders --------------------------------------------------------------------------------


def test_a_folder_gives_its_pictures_in_the_order_of_their_names(tmp_path):
    picture(tmp_path / "b.png", (255, 0, 0))
    picture(tmp_path / "a" / "z.PNG", (0, 0, 255))
    picture(tmp_path / "c.jpeg", (0, 255, 0), quality=100)
    (tmp_path / "notes.txt").write_text("no picture")
    data = ImageFolder(tmp_path, size=4)
    assert [file.name for file in data.files] == ["z.PNG", "b.png", "c.jpeg"]
    assert len(data) == 3
    assert data[0].shape == (3, 4, 4)
    assert data[0].dtype is torch.float32
    assert data[1][:, 0, 0].tolist() == [1.0, -1.0, -1.0]
    torch.testing.assert_close(data[2][:, 0, 0], torch.tensor([-1.0, 1.0, -1.0]), atol=0.02, rtol=0)


def test_a_wide_picture_is_cut_to_its_middle(tmp_path):
    wide = Image.new("L", (12, 4), 0)
    wide.paste(255, (4, 0, 8, 4))
    wide.save(tmp_path / "wide.png")
    (image,) = ImageFolder(tmp_path, size=4, channels=1)
    assert image.shape == (1, 4, 4)
    assert image.min().item() == 1.0


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 51, -0.6),
        ("LA", (0, 0), 1.0),
        ("RGBA", (0, 0, 0, 0), 1.0),
        ("RGBA", (255, 255, 255, 255), 1.0),
        ("P", 0, -1.0),
        ("1", 1, 1.0),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_picture_becomes_a_tensor(tmp_path, mode, colour, expected, channels):
    picture(tmp_path / "one.png", colour, mode=mode)
    (image,) = ImageFolder(tmp_path, size=2, channels=channels)
    torch.testing.assert_close(image, torch.full((channels, 2, 2), expected))


def test_a_picture_is_turned_as_its_camera_was_held(tmp_path):
    lying = Image.new("RGB", (2, 2), (0, 0, 0))
    lying.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    lying.save(tmp_path / "a.png", exif=exif)
    (image,) = ImageFolder(tmp_path, size=2, channels=1)
    assert image[0].tolist() == [[-1.0, -1.0], [-1.0, 1.0]]


BROKEN = {
    "empty": b"",
    "text": b"this is no picture",
    "header only": b"\x89PNG\r\n\x1a\n",
    "truncated": None,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_picture_is_named_and_skipped_only_if_asked(tmp_path, kind):
    good = picture(tmp_path / "good.png", (1, 2, 3), size=(40, 40))
    whole = good.read_bytes()
    content = whole[: len(whole) // 2] if BROKEN[kind] is None else BROKEN[kind]
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(BrokenImageError, match=r"bad\.png is not a picture.*skip_broken=True"):
        ImageFolder(tmp_path)
    data = ImageFolder(tmp_path, skip_broken=True)
    assert data.files == [good]
    assert [file.name for file in data.broken] == ["bad.png"]


def test_a_picture_that_breaks_later_is_named_too(tmp_path):
    path = picture(tmp_path / "good.png", (1, 2, 3), size=(40, 40))
    data = ImageFolder(tmp_path)
    path.write_bytes(b"gone")
    with pytest.raises(BrokenImageError, match=r"good\.png"):
        data[0]


def test_headers_alone_do_not_show_a_truncated_picture(tmp_path):
    path = picture(tmp_path / "half.png", (1, 2, 3), size=(40, 40))
    path.write_bytes(path.read_bytes()[:-30])
    assert len(ImageFolder(tmp_path, thorough=False)) == 1


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no picture"):
        ImageFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="size >= 1, got 0"):
        ImageFolder(tmp_path, size=0)
    with pytest.raises(TypeError, match="channels"):
        ImageFolder(tmp_path, channels=2)
