"""python -m derive.diffusion: train and sample, as a person would."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from PIL import Image

from derive.diffusion.__main__ import main
from derive.training import list_checkpoints, read_checkpoint

TINY = ["--widths", "16", "--blocks", "1", "--times", "40", "--batch", "8", "--warmup", "3"]


def command(folder, *more, data="digits", steps=12, every=4):
    places = ["train", "--data", str(data), "--out", str(folder)]
    return [*places, "--steps", str(steps), "--checkpoint-every", str(every), *TINY, *more]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    assert main(command(folder, "--sample-every", "6", "--sample-num", "4")) == 0
    return folder


def test_training_says_what_it_does(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("derive.training.precision.bfloat16_gain", lambda: 0.3)
    assert main(command(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("computing in float32 on cpu: bfloat16 convolutions run 0.3x")
    assert lines[1].startswith("1797 images of 1 x 8 x 8, ")
    assert [line.split(":")[0] for line in lines[2:5]] == ["step 4", "step 8", "step 12"]
    assert lines[5].startswith("12 steps in float32, loss ")
    assert len(lines) == 6


def test_bfloat16_is_taken_where_it_is_fast(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("derive.training.precision.bfloat16_gain", lambda: 3.0)
    assert main(command(tmp_path, steps=2)) == 0
    assert "2 steps in bfloat16" in capsys.readouterr().out


def test_samples_are_drawn_along_the_way_and_change_nothing(finished, tmp_path):
    names = sorted(file.name for file in (finished / "samples").iterdir())
    assert names == ["step-00000006.png", "step-00000012.png"]
    assert size_of(finished / "samples" / names[0]) == (2 * 26 + 2, 2 * 26 + 2)
    assert main(command(tmp_path)) == 0
    assert same(tmp_path, finished)


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def same(one, other):
    first, second = read_checkpoint(one), read_checkpoint(other)
    return all(torch.equal(first.tensors[name], value) for name, value in second.tensors.items())


def test_a_killed_command_goes_on_when_it_is_given_again(finished, tmp_path, capsys):
    process = subprocess.Popen(
        [sys.executable, "-m", "derive.diffusion", *command(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        for line in process.stdout:
            if line.startswith("step 8"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    reached = read_checkpoint(tmp_path).step
    assert reached in (4, 8)
    assert main(command(tmp_path)) == 0
    assert f"going on from step {reached}" in capsys.readouterr().out
    assert same(tmp_path, finished)
    assert not same(tmp_path, list_checkpoints(finished)[0])


def test_an_interrupted_command_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("derive.diffusion.__main__.train_diffusion", interrupt)
    assert main(command(tmp_path)) == 130
    assert "give the same command again" in capsys.readouterr().err


@pytest.mark.parametrize(
    "sampler", [["--sampler", "ddpm"], ["--eta", "0.5"], ["--weights", "last"]]
)
def test_samples_become_a_picture_and_an_animation(finished, tmp_path, sampler):
    picture, film = tmp_path / "a" / "s.png", tmp_path / "s.gif"
    arguments = ["sample", "--from", str(finished), "--out", str(picture), "--gif", str(film)]
    assert main([*arguments, "--num", "3", "--steps", "8", "--scale", "2", *sampler]) == 0
    assert size_of(picture) == (2 * 18 + 2, 2 * 18 + 2)
    with Image.open(film) as opened:
        assert opened.n_frames == 9
    before = picture.read_bytes()
    assert main([*arguments[:5], "--num", "3", "--steps", "8", "--scale", "2", *sampler]) == 0
    assert picture.read_bytes() == before  # the same seed, the same samples


def test_a_folder_of_pictures_and_a_broken_one(tmp_path, capsys):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(3):
        Image.new("RGB", (9, 7), (80 * index, 10, 10)).save(pictures / f"{index}.png")
    (pictures / "broken.png").write_bytes(b"no picture")
    size = ["--size", "8", "--channels", "1"]
    assert main(command(tmp_path / "out", *size, data=pictures, steps=2)) == 1
    assert "broken.png is not a picture" in capsys.readouterr().err
    assert main(command(tmp_path / "out", *size, "--skip-broken", data=pictures, steps=2)) == 0
    out = capsys.readouterr().out
    assert "3 images of 1 x 8 x 8" in out
    assert "skipped: " in out
    assert "broken.png" in out


def test_mnist_gets_a_margin(monkeypatch, tmp_path, capsys):
    def mnist(root, download):
        assert (root, download) == ("there", True)
        return type("Images", (), {"images": torch.zeros(9, 1, 28, 28)})

    monkeypatch.setattr("derive.diffusion.__main__.mnist", mnist)
    assert main(command(tmp_path, "--root", "there", "--download", data="mnist", steps=1)) == 0
    assert "9 images of 1 x 32 x 32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "--from", "nowhere", "--out", "x.png"], "no checkpoints in nowhere"),
        (command("out", data="nowhere"), "there is no folder nowhere"),
        (command("out", "--download", data="cifar10"), "torchvision"),
        (command("out", "--batch", "9", "--accumulate", "2"), "cannot be cut into 2 equal parts"),
        (command("out", "--widths", "16,20"), "multiples of 16"),
        (command("out", "--blocks", "1,2"), "each of the 1 levels, got blocks=(1, 2)"),
        (command("out", "--precision", "float16"), "float16 needs an accelerator"),
        (command("out", "--device", "cuda"), "cuda"),
    ],
)
def test_refusals_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("derive.diffusion: ")
    assert message.lower() in error.lower()
    assert "Traceback" not in error


def test_sampling_on_a_device_that_is_not_there_is_refused(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    out = str(tmp_path / "x.png")
    assert main(["sample", "--from", str(finished), "--out", out, "--device", "cuda"]) == 1
    assert "no device 'cuda': torch sees 0 CUDA devices here" in capsys.readouterr().err


def test_settings_of_another_training_are_named(finished, capsys):
    assert main(command(finished, "--rate", "0.1")) == 1
    assert "learning_rates=[0.0005] there, [0.1] now" in capsys.readouterr().err


def test_widths_are_numbers(capsys):
    with pytest.raises(SystemExit):
        main(command("out", "--widths", "a,b"))
    assert "expected numbers like 32,64,128, got 'a,b'" in capsys.readouterr().err
