"""derive.data and derive.words: files that are cut off or altered are named, and left alone."""

import gzip
import json
import random
import struct
import sys
import types
import zlib

import numpy as np
import pytest

from derive.data import bench_results, cifar10, digits, docstrings, measurements, mnist
from derive.data.images import CHECKSUMS
from derive.words import load_vectors

# ---- measurements that travel with the package -----------------------------------------------


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A package with one stored benchmark, as a file to spoil."""
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(measurements.resources, "files", lambda package: tmp_path)
    file = tmp_path / "results" / "one.json"
    file.write_text(json.dumps({"rows": list(range(40))}))
    assert bench_results("one") == {"rows": list(range(40))}
    return file


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_measurements_that_are_cut_off_are_named(results, share):
    cut = results.read_bytes()[: int(share * results.stat().st_size)]
    results.write_bytes(cut)
    with pytest.raises(ValueError, match=r"one\.json are damaged \(.*install the package again"):
        bench_results("one")
    assert results.read_bytes() == cut


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[1, 2]", b"3", b'{"rows": 1}}'])
def test_measurements_that_are_no_table_are_named(results, content):
    results.write_bytes(content)
    with pytest.raises(ValueError, match=r"stored measurements one\.json (are damaged|hold a)"):
        bench_results("one")


# ---- scikit-learn's digits -------------------------------------------------------------------


@pytest.fixture
def own_digits(tmp_path, monkeypatch):
    """A copy of the file that scikit-learn carries, to spoil."""
    from derive.data import images

    origin = images.util.find_spec("sklearn").origin
    source = tmp_path / "datasets" / "data" / "digits.csv.gz"
    source.parent.mkdir(parents=True)
    rows = "\n".join(",".join(str((k * j) % 17) for j in range(64)) + f",{k}" for k in range(10))
    source.write_bytes(gzip.compress(rows.encode(), mtime=0))
    spec = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(images.util, "find_spec", lambda name: spec)
    assert digits().labels.tolist() == list(range(10))
    assert origin != spec.origin
    return source


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.95])
def test_digits_that_are_cut_off_are_named(own_digits, share):
    own_digits.write_bytes(own_digits.read_bytes()[: int(share * own_digits.stat().st_size)])
    with pytest.raises(ValueError, match=r"digits\.csv\.gz is damaged .*install scikit-learn anew"):
        digits()


def test_digits_with_a_bit_turned_anywhere_are_refused_or_the_same(own_digits):
    """gzip keeps a checksum; what it does not cover (a name, a date) changes nothing."""
    whole, before = own_digits.read_bytes(), digits()
    draw, refused, same = random.Random(0), 0, 0
    for _ in range(60):
        altered = bytearray(whole)
        altered[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        own_digits.write_bytes(bytes(altered))
        try:
            after = digits()
        except ValueError as error:
            refused += "digits.csv.gz is damaged" in str(error)
        else:
            same += all(bool((a == b).all()) for a, b in zip(before, after, strict=True))
    assert refused + same == 60
    assert refused > 40


# ---- downloaded pictures ---------------------------------------------------------------------


def write_records(folder):
    """Six files of two images each, as CIFAR-10's binary version has them."""
    (folder / "cifar-10-batches-bin").mkdir()
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    for number, name in enumerate(names):
        content = bytes([number]) + bytes(range(256)) * 12 + bytes([9]) + bytes(3072)
        (folder / "cifar-10-batches-bin" / name).write_bytes(content)


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """CIFAR-10 as a download leaves it."""
    fetched = []

    def fetch(url, folder, md5):
        fetched.append(url)
        write_records(tmp_path)

    fake = types.ModuleType("torchvision")
    fake.datasets = types.SimpleNamespace(
        utils=types.SimpleNamespace(download_and_extract_archive=fetch)
    )
    monkeypatch.setitem(sys.modules, "torchvision", fake)
    assert len(cifar10("train", root=tmp_path, download=True).labels) == 10
    assert len(fetched) == 1
    return tmp_path / "cifar-10-batches-bin"


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_downloaded_file_with_one_bit_turned_is_named(downloaded, split):
    """Both parts: the archive is unpacked as a whole, whichever part was asked for."""
    file = downloaded / ("data_batch_4.bin" if split == "train" else "test_batch.bin")
    altered = bytearray(file.read_bytes())
    altered[1000] ^= 1
    file.write_bytes(bytes(altered))
    with pytest.raises(ValueError, match=rf"{file.name} is not as it was downloaded.*download it"):
        cifar10(split, root=downloaded.parent)
    assert file.read_bytes() == bytes(altered)


def test_a_list_of_checksums_that_is_cut_off_is_named(downloaded):
    path = downloaded / CHECKSUMS
    path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match=r"sha256\.json is no list of checksums"):
        cifar10("train", root=downloaded.parent)


def test_files_put_there_by_hand_are_held_to_what_the_format_says(tmp_path):
    write_records(tmp_path)
    assert len(cifar10("train", root=tmp_path).labels) == 10
    file = tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin"
    file.write_bytes(bytes([77]) + file.read_bytes()[1:])
    with pytest.raises(ValueError, match=r"data_batch_2\.bin has an image of class 77"):
        cifar10("train", root=tmp_path)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"data_batch_2\.bin has 0 bytes"):
        cifar10("train", root=tmp_path)


@pytest.mark.parametrize(
    "error", [ValueError("buffer is smaller"), AssertionError(), EOFError("ended"), zlib.error("x")]
)
def test_a_damaged_file_of_mnist_is_told_with_its_folder(tmp_path, monkeypatch, error):
    def read(*arguments, **options):
        raise error

    fake = types.ModuleType("torchvision")
    fake.datasets = types.SimpleNamespace(MNIST=read)
    monkeypatch.setitem(sys.modules, "torchvision", fake)
    with pytest.raises(ValueError, match=rf"MNIST in {tmp_path} is damaged .*download it again"):
        mnist(root=tmp_path)


# ---- text and vectors ------------------------------------------------------------------------


def test_a_source_file_that_is_no_text_is_named(tmp_path, monkeypatch):
    from derive.data import texts

    (tmp_path / "odd.py").write_bytes(b'"""\xff\xfe"""')
    monkeypatch.setattr(texts, "_source_files", lambda: [("numpy.odd", tmp_path / "odd.py")])
    with pytest.raises(ValueError, match=r"odd\.py cannot be read .*install numpy anew"):
        docstrings(1)


def packed_vectors():
    draw = np.random.default_rng(0)
    words = [f"word{k}" for k in range(40)]
    rows = (w.encode() + b" " + struct.pack("<4f", *draw.normal(size=4)) for w in words)
    return gzip.compress(b"40 4\n" + b"".join(rows), mtime=0)


def test_packed_vectors_with_a_bit_turned_anywhere_are_refused_or_the_same(tmp_path):
    path, whole = tmp_path / "vectors.bin.gz", packed_vectors()
    path.write_bytes(whole)
    before = load_vectors(path)
    draw, refused, same = random.Random(1), 0, 0
    for _ in range(150):
        altered = bytearray(whole)
        altered[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(bytes(altered))
        try:
            after = load_vectors(path)
        except ValueError as error:
            refused += "vectors.bin.gz" in str(error)
        else:
            same += after.words == before.words and after.vectors.equal(before.vectors)
        assert path.read_bytes() == bytes(altered)
    assert refused + same == 150
    assert refused > 100
