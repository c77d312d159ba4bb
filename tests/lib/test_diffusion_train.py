"""derive.diffusion: training a U-Net, drawing from it, and pictures of what comes out."""

import numpy as np
import pytest
import torch
from PIL import Image

from derive.data import ImageFolder, digits
from derive.diffusion import ddim_sample, ddpm_loss, ddpm_sample, denoiser_of
from derive.diffusion.images import image_grid, save_animation, save_grid
from derive.diffusion.train import DiffusionModel, Recipe, draw, load_diffusion, train_diffusion
from derive.training import CheckpointError, list_checkpoints, train, write_checkpoint

SMALL = Recipe(channels=1, size=8, widths=(16,), blocks=1, num_times=50)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def trained(folder=None, recipe=SMALL, **changes):
    options = {
        "steps": 12,
        "seed": 0,
        "batch_size": 16,
        "precision": "float32",
        "checkpoints": folder,
        "checkpoint_every": 5,
    }
    return train_diffusion(digits().images, recipe, **{**options, **changes})


# --- training -------------------------------------------------------------------------------


def test_training_lowers_the_loss_on_fresh_noise():
    recipe = Recipe(channels=1, size=8, widths=(16,), blocks=1)
    images = digits().images
    schedule = recipe.schedule()
    t = torch.arange(1, 1001, 10)

    def error(net):
        with torch.no_grad():
            return ddpm_loss(net, images[:100], schedule, t, generator=generator(9)).loss.item()

    done = trained(recipe=recipe, steps=100, batch_size=32, learning_rate=4e-3, ema=0.9)
    assert error(recipe.network(generator())) > 0.9  # an untrained network answers zero
    assert error(done.model.eval()) < 0.5
    assert error(done.average) < 0.5


@pytest.mark.parametrize("moment", [3, 7, 11])
def test_an_interrupted_training_ends_as_if_it_had_not_been(tmp_path, moment):
    class Interrupted(Exception):
        pass

    def stop(event):
        if event.step == moment:
            raise Interrupted

    straight = trained(accumulate=2)
    with pytest.raises(Interrupted):
        trained(tmp_path, accumulate=2, callback=stop)
    resumed = trained(tmp_path, accumulate=2)
    assert resumed.resumed_at == moment // 5 * 5
    assert torch.equal(resumed.losses, straight.losses)
    for one, other in ((resumed.model, straight.model), (resumed.average, straight.average)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
    # Restored moments lie in memory as fresh ones do.
    weight = resumed.model.enter.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_the_seed_decides_everything():
    torch.manual_seed(1)
    first = trained(steps=3)
    torch.manual_seed(2)
    assert torch.equal(trained(steps=3).losses, first.losses)
    assert not torch.equal(trained(steps=3, seed=1).losses, first.losses)


def test_a_folder_of_pictures_can_be_trained_on(tmp_path):
    for index in range(5):
        Image.new("RGB", (12, 10), (50 * index, 0, 100)).save(tmp_path / f"{index}.png")
    recipe = Recipe(channels=3, size=8, widths=(16,), blocks=1, num_times=20)
    images = ImageFolder(tmp_path, size=8)
    done = train_diffusion(images, recipe, steps=3, seed=0, batch_size=4, precision="float32")
    assert torch.isfinite(done.losses).all()


def test_a_training_with_another_noise_is_not_resumed(tmp_path):
    trained(tmp_path, steps=5)
    other = Recipe(channels=1, size=8, widths=(16,), blocks=1, num_times=50, noise="cosine")
    with pytest.raises(CheckpointError, match=r"meta=.*'ho'.*there.*'cosine'.*now"):
        trained(tmp_path, recipe=other, steps=5)


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"wants images \(1, 8, 8\), got \(1, 4, 4\)"):
        train_diffusion(torch.zeros(3, 1, 4, 4), SMALL, steps=1, seed=0)
    pairs = torch.utils.data.TensorDataset(torch.zeros(3, 1, 8, 8), torch.zeros(3))
    with pytest.raises(ValueError, match="without labels"):
        train_diffusion(pairs, SMALL, steps=1, seed=0)


@pytest.mark.parametrize("noise", ["ho", "su", "cosine"])
def test_recipes_build_what_they_say(noise):
    recipe = Recipe(channels=3, size=8, widths=[16, 32], blocks=2, noise=noise, num_times=30)
    assert recipe == Recipe(3, 8, (16, 32), 2, noise, 30)
    assert recipe.schedule().T == 30
    assert recipe.network().factor == 2
    uneven = Recipe(3, 8, [16, 32], [1, 2])
    assert uneven == Recipe(3, 8, (16, 32), (1, 2))
    assert [len(down.blocks) for down in uneven.network().down] == [1, 2]


# --- drawing --------------------------------------------------------------------------------


def test_a_checkpoint_gives_the_model_back(tmp_path):
    done = trained(tmp_path)
    model = load_diffusion(tmp_path)
    assert model.recipe == SMALL
    assert torch.equal(model.net.enter.weight, done.average.enter.weight)
    last = load_diffusion(tmp_path, average=False)
    assert torch.equal(last.net.enter.weight, done.model.enter.weight)
    first = load_diffusion(list_checkpoints(tmp_path)[0])
    assert not torch.equal(first.net.enter.weight, model.net.enter.weight)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    net = torch.nn.Linear(1, 1)

    def loss(model, batch, generator):
        return model(batch).mean()

    train(net, loss, torch.ones(3, 1), steps=1, batch_size=3, seed=0, checkpoints=tmp_path)
    with pytest.raises(CheckpointError, match="not of a diffusion model"):
        load_diffusion(tmp_path)


class OnePoint(torch.nn.Module):
    """The exact network for data that are a single image: the noise is what is left of x."""

    def __init__(self, image, schedule):
        super().__init__()
        self.image = torch.nn.Parameter(image, requires_grad=False)
        self.schedule = schedule

    def forward(self, x, t):
        alpha, sigma = self.schedule.at(t, x)
        return ((x.double() - alpha.double() * self.image) / sigma.double()).to(x.dtype)


@pytest.mark.parametrize(
    "options",
    [{"sampler": "ddpm"}, {"sampler": "ddim"}, {"sampler": "ddim", "eta": 1.0}],
    ids=["ddpm", "ddim", "ddim with noise"],
)
def test_an_exact_network_draws_its_image(options):
    image = torch.linspace(-1, 1, 64, dtype=torch.float64).view(1, 8, 8)
    schedule = SMALL.schedule()
    model = DiffusionModel(OnePoint(image, schedule), schedule, SMALL)
    drawn = draw(model, 3, generator=generator(), num_steps=10, precision="float32", **options)
    assert drawn.shape == (3, 1, 8, 8)
    expected = image.float().expand(3, 1, 8, 8)
    # At T the image is 1/alpha_T of a difference in float32; later steps only shrink its error.
    torch.testing.assert_close(drawn, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_drawing_equals_the_sampler_by_hand(tmp_path, sampler):
    trained(tmp_path, steps=5)
    model = load_diffusion(tmp_path)
    options = {"num_steps": 6, "return_path": True}
    path = draw(model, 2, generator=generator(), sampler=sampler, precision="float32", **options)
    source = generator()
    start = torch.randn(2, 1, 8, 8, generator=source)
    denoiser = denoiser_of(model.net, model.schedule, clip=1.0)
    by_hand = {"ddpm": ddpm_sample, "ddim": ddim_sample}[sampler]
    expected = by_hand(denoiser, model.schedule, start, generator=source, **options)
    torch.testing.assert_close(path, expected)
    loose = denoiser_of(model.net, model.schedule)
    assert not torch.allclose(
        path, by_hand(loose, model.schedule, start, generator=source, **options)
    )


def test_samples_do_not_depend_on_how_many_are_drawn_together(tmp_path):
    trained(tmp_path)
    model = load_diffusion(tmp_path)
    options = {"num_steps": 5, "precision": "float32"}
    together = draw(model, 4, generator=generator(), **options)
    apart = draw(model, 4, generator=generator(), batch_size=1, **options)
    torch.testing.assert_close(apart, together, atol=1e-4, rtol=1e-4)
    path = draw(model, 4, generator=generator(), return_path=True, **options)
    assert path.shape == (6, 4, 1, 8, 8)
    torch.testing.assert_close(path[-1], together)


def test_drawing_in_bfloat16_stays_near_and_leaves_the_model_alone(tmp_path):
    trained(tmp_path)
    model = load_diffusion(tmp_path)
    exact = draw(model, 2, generator=generator(), num_steps=3, precision="float32")
    rough = draw(model, 2, generator=generator(), num_steps=3, precision="bfloat16")
    assert rough.dtype is torch.float32
    assert model.net.enter.weight.dtype is torch.float32
    assert 0 < (rough - exact).abs().max() < 0.2


def test_drawing_refuses_numbers(tmp_path):
    trained(tmp_path, steps=1)
    model = load_diffusion(tmp_path)
    with pytest.raises(ValueError, match="got 0 and 256"):
        draw(model, 0, generator=generator())
    with pytest.raises(ValueError, match="51"):
        draw(model, 1, generator=generator(), num_steps=51)


def test_a_damaged_checkpoint_is_named(tmp_path):
    trained(tmp_path)
    path = list_checkpoints(tmp_path)[-1] / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"step-00000012 is damaged.*step-00000010"):
        load_diffusion(tmp_path)


# --- pictures -------------------------------------------------------------------------------


def test_a_grid_places_every_image():
    images = torch.linspace(-1, 1, 5).view(5, 1, 1, 1).expand(5, 1, 3, 4)
    sheet = image_grid(images, columns=2)
    assert sheet.shape == (3 * 5 + 2, 2 * 6 + 2, 1)
    assert [sheet[r, c, 0].item() for r in (2, 7, 12) for c in (2, 8)] == [
        0,
        64,
        128,
        191,
        255,
        128,
    ]
    assert (sheet[:2] == 128).all()
    larger = image_grid(images, columns=2, scale=3)
    assert larger.shape == (3 * 11 + 2, 2 * 14 + 2, 1)
    assert (larger[2:11, 2:14] == 0).all()


def test_a_grid_is_about_square_and_cuts_what_is_too_bright():
    sheet = image_grid(torch.full((9, 3, 2, 2), 7.0))
    assert sheet.shape == (14, 14, 3)
    assert sheet.max() == 255


def test_a_picture_file_holds_the_grid(tmp_path):
    images = 2 * torch.rand(3, 3, 4, 4, generator=generator()) - 1
    path = save_grid(images, tmp_path / "new" / "grid.png", columns=3)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.array(picture), image_grid(images, columns=3).numpy())


def test_an_animation_runs_from_the_first_state_to_the_last(tmp_path):
    states = torch.linspace(1, -1, 30).view(30, 1, 1, 1, 1).expand(30, 2, 1, 4, 4)
    path = save_animation(states, tmp_path / "way.gif", frames=6, seconds=3.0)
    with Image.open(path) as film:
        assert film.n_frames == 6
        assert film.info["loop"] == 0
        shades, times = [], []
        for index in range(6):
            film.seek(index)
            shades.append(film.convert("L").getpixel((4, 4)))
            times.append(film.info["duration"])
    assert shades == sorted(shades, reverse=True)
    assert (shades[0], shades[-1]) == (255, 0)
    assert times == [500] * 5 + [2500]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda path: image_grid(torch.zeros(0, 1, 2, 2)), r"got \(0, 1, 2, 2\)"),
        (lambda path: image_grid(torch.zeros(1, 2, 2, 2)), r"got \(1, 2, 2, 2\)"),
        (lambda path: image_grid(torch.zeros(1, 1, 2, 2), scale=0), "got None and 0"),
        (lambda path: save_animation(torch.zeros(2, 1, 1, 2, 2), path, frames=1), "got 1 and"),
    ],
)
def test_pictures_refuse(tmp_path, call, message):
    with pytest.raises(ValueError, match=message):
        call(tmp_path / "x.gif")


def test_foreign_checkpoints_cannot_slip_in(tmp_path):
    """A recipe is plain values: a checkpoint with others is refused, and nothing is executed."""
    trained(tmp_path)
    from derive.training import read_checkpoint

    found = read_checkpoint(tmp_path)
    other = found._replace(step=99, meta={"recipe": {**found.meta["recipe"], "widths": [32]}})
    write_checkpoint(tmp_path, other)
    with pytest.raises(CheckpointError, match="another model"):
        load_diffusion(tmp_path)
