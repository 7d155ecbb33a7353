"""Images from the prior: each a function of the seed and its number alone."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lightning.exports.samples import WriteSamples
from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.runs.trained import TrainedRun


@pytest.fixture(params=["digits", "colour"])
def run(request) -> TrainedRun:
    return request.getfixturevalue(request.param)


def made(run: TrainedRun, folder: Path, **settings) -> Path:
    folder.mkdir()
    WriteSamples(**settings)(run, folder)
    return folder


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def test_image_17_is_the_same_whatever_the_number_the_batch_size_and_the_way_of_saving(run, tmp_path):
    settings = [
        {"num_images": 64, "batch_size": 64},
        {"num_images": 64, "batch_size": 1, "save": "png"},
        {"num_images": 18, "batch_size": 7, "save": ["png", "npz"]},
        {"num_images": 300, "batch_size": 100, "save": ["grid", "npz", "png"]},
    ]
    folders = [made(run, tmp_path / str(index), **each) for index, each in enumerate(settings)]
    assert len({(folder / "sample_000017.png").read_bytes() for folder in folders}) == 1
    assert len({(folder / "sample_000016.png").read_bytes() for folder in folders}) == 1
    for folder in folders[2:]:
        stored = np.load(folder / "samples.npz")["images"][17]
        assert np.array_equal(stored.squeeze(), pixels(folder / "sample_000017.png"))
    assert (folders[0] / "sample_000017.png").read_bytes() != (folders[0] / "sample_000016.png").read_bytes()


def test_the_seed_alone_makes_other_images(digits, tmp_path):
    one, same, other = (
        made(digits, tmp_path / name, num_images=3, seed=seed, save="npz")
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    z = [np.load(folder / "samples.npz")["z"] for folder in (one, same, other)]
    assert np.array_equal(z[0], z[1])
    assert not np.isclose(z[0], z[2]).any()


def test_temperature_scales_z_about_the_priors_mean(digits, tmp_path):
    z = {}
    for temperature in (1.0, 0.5, 0.0):
        folder = made(digits, tmp_path / str(temperature), num_images=5, temperature=temperature, save="npz")
        z[temperature] = np.load(folder / "samples.npz")
    assert np.allclose(z[0.5]["z"], z[1.0]["z"] / 2)
    assert z[1.0]["z"].std() > 0.5
    assert (z[0.0]["z"] == 0).all()
    of_the_mean = digits.decode(torch.zeros(1, 4))[0].mul(255).round().permute(1, 2, 0).numpy()
    assert all(np.array_equal(image, of_the_mean) for image in z[0.0]["images"])


def test_temperature_keeps_the_mean_of_a_prior_that_is_elsewhere(digits, monkeypatch):
    loc = torch.tensor([5.0, -1.0, 0.0, 2.0])
    run = dataclasses.replace(digits, vae=copy.deepcopy(digits.vae))
    monkeypatch.setattr(StandardNormal, "forward", lambda self: DiagonalNormal(loc, torch.full((4,), 3.0)))
    indices = torch.arange(2000)
    torch.testing.assert_close(run.draw(indices, 0, 0.0), loc.expand(2000, 4))
    z = run.draw(indices, 0, 0.5)
    torch.testing.assert_close(z.mean(0), loc, atol=0.15, rtol=0)
    torch.testing.assert_close(z.std(0), torch.full((4,), 1.5), atol=0.1, rtol=0)


def test_the_images_are_the_models_means_of_the_z_that_is_stored(run, tmp_path):
    stored = np.load(made(run, tmp_path / "out", num_images=9, save="npz") / "samples.npz")
    size = run.preprocessing.image_size
    assert stored["images"].shape == (9, size, size, run.preprocessing.channels)
    assert stored["images"].dtype == np.uint8
    assert stored["z"].shape == (9, run.latent_dim)
    assert stored["z"].dtype == np.float32
    with torch.no_grad():
        means = run.vae.generate(torch.from_numpy(stored["z"])).permute(0, 2, 3, 1).numpy()
    assert np.abs(stored["images"] - 255 * means).max() < 0.51  # rounded; the model itself is float32


def test_files_are_of_the_datas_own_size_and_colours(digits, colour, tmp_path):
    for run, size, mode in ((digits, (28, 28), "L"), (colour, (32, 32), "RGB")):
        folder = made(run, tmp_path / mode, num_images=2)
        assert sorted(path.name for path in folder.iterdir()) == [
            "sample_000000.png",
            "sample_000001.png",
            "samples.png",
        ]
        picture = Image.open(folder / "sample_000001.png")
        assert (picture.size, picture.mode) == (size, mode)


@pytest.mark.parametrize(
    ("save", "files"), [("grid", ["samples.png"]), ("npz", ["samples.npz"]), (["png"], ["sample_000000.png"])]
)
def test_only_what_is_asked_for_is_saved(digits, tmp_path, save, files):
    folder = made(digits, tmp_path / "out", num_images=1, save=save)
    assert [path.name for path in folder.iterdir()] == files


def test_the_grid_shows_all_images_in_reading_order(colour, tmp_path, places_of):
    folder = made(colour, tmp_path / "out", num_images=5)
    grid = pixels(folder / "samples.png")
    places = [places_of(pixels(folder / f"sample_{index:06d}.png"), grid) for index in range(5)]
    assert [len(found) for found in places] == [1] * 5
    rows, columns = zip(*(found[0] for found in places), strict=True)
    assert rows[0] == rows[1] == rows[2] < rows[3] == rows[4]  # ceil(sqrt 5) = 3 columns
    assert columns[0] == columns[3] < columns[1] == columns[4] < columns[2]


def test_images_that_go_to_files_alone_are_not_kept_in_memory(digits, tmp_path, monkeypatch):
    kept = []
    plain = torch.cat
    monkeypatch.setattr(torch, "cat", lambda parts, *rest: kept.append(len(parts)) or plain(parts, *rest))
    made(digits, tmp_path / "out", num_images=20, batch_size=5, save="png")
    assert max(kept) == 1  # decode's own


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_images": 0}, "num_images must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"temperature": -0.5}, "temperature must be at least 0, got -0.5"),
        ({"temperature": float("nan")}, "temperature must be at least 0, got nan"),
        ({"save": []}, "save must be one or more of grid, png, npz"),
        ({"num_images": 2501}, "num_images must be at most 2500 for a grid; save=npz or save=png takes more"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        WriteSamples(**settings)
    assert str(error.value) == message


def test_many_images_are_welcome_without_a_grid():
    assert dataclasses.asdict(WriteSamples(num_images=2501, save=["npz", "png"]))["num_images"] == 2501
