"""What each latent dimension does: a row each, ordered as the checkpoint says, without the data."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tests.callbacks.fakes import FakeData, captured, evaluated, events, frames, pixels, train, unchecked
from vae_lightning.errors import UserError
from vae_lightning.exports.saving import save_image, save_picture
from vae_lightning.latents.paths import Spread, traversals
from vae_lightning.latents.units import UnitStatistics
from vae_lightning.pictures.traversals import Traversals
from vae_lightning.runs.trained import TrainedRun

PICTURE = "vae_lightning.pictures.traversals.traversal_picture"

UNIT = Spread(torch.zeros(4), torch.ones(4), True)


def with_rates(run: TrainedRun, *rates: float) -> TrainedRun:
    rate = torch.tensor(rates, dtype=torch.float64)
    config = run.config | {"data": {"_target_": "vae_lightning.data.image_folder.ImageFolder", "root": "/gone"}}
    return dataclasses.replace(run, config=config, units=UnitStatistics(rate, rate))


def made(run: TrainedRun, folder: Path, **settings) -> Path:
    folder.mkdir()
    save_picture(Traversals(**settings), run, folder, "traversal")
    assert sorted(path.name for path in folder.iterdir()) == ["traversal.gif", "traversal.png"]
    return folder


def rows_shown(run: TrainedRun, picture: Path, centre: torch.Tensor, values: list[float], places_of) -> list[int]:
    """The dimensions from the top row down; each must have its images at all values, left to right."""
    tops = {}
    for dim in range(run.latent_dim):
        images = run.decode(traversals(centre, [dim], torch.tensor(values), UNIT)[0])
        places = [places_of(image, picture) for image in images]
        if any(places):
            top = {places[0][0][0]}
            in_row = [[left for y, left in found if y in top] for found in places]
            assert [len(found) for found in in_row] == [1] * len(values), dim
            assert in_row == sorted(in_row)
            tops[dim] = top.pop()
    return sorted(tops, key=lambda dim: tops[dim])


def test_rows_are_in_the_order_of_the_stored_kl_and_need_no_data(digits, tmp_path, places_of):
    run, mean = with_rates(digits, 0.5, 2.0, 0.0, 1.0), torch.zeros(4)
    picture = made(run, tmp_path / "all", num_columns=4, limit=2.0) / "traversal.png"
    values = [-2.0, -2 / 3, 2 / 3, 2.0]
    assert rows_shown(run, picture, mean, values, places_of) == [1, 3, 0, 2]
    picture = made(run, tmp_path / "two", num_columns=4, limit=2.0, num_dims=2) / "traversal.png"
    assert rows_shown(run, picture, mean, values, places_of) == [1, 3]


def test_chosen_dimensions_are_shown_as_chosen(digits, tmp_path, places_of):
    run = with_rates(digits, 0.5, 2.0, 0.0, 1.0)
    picture = made(run, tmp_path / "out", dims=[2, 0, 1], num_columns=2, num_dims=1) / "traversal.png"
    assert rows_shown(run, picture, torch.zeros(4), [-3.0, 3.0], places_of) == [2, 0, 1]


def test_the_other_dimensions_stay_at_an_image_that_is_given(digits, tmp_path, places_of):
    image = digits.data.images_of_indices([8], "test").images
    save_image(tmp_path / "own.png", image[0])
    centre = digits.encode(image.float() / 255)[0]
    assert centre.abs().max() > 0.1
    for name, settings in {"file": {"images": str(tmp_path / "own.png")}, "index": {"indices": [8]}}.items():
        folder = made(digits, tmp_path / name, split="test", num_columns=2, limit=2.5, **settings)
        shown = rows_shown(digits, folder / "traversal.png", centre, [-2.5, 2.5], places_of)
        assert shown == digits.units.by_rate
        assert rows_shown(digits, folder / "traversal.png", torch.zeros(4), [-2.5, 2.5], places_of) == []


def test_the_animation_shows_all_dimensions_at_one_value_after_the_other(digits, tmp_path, places_of, frames_of):
    run = with_rates(digits, 4.0, 3.0, 2.0, 1.0)
    frames = frames_of(made(run, tmp_path / "out", num_columns=3) / "traversal.gif")
    assert len(frames) == 4
    z = traversals(torch.zeros(4), range(4), torch.tensor([-3.0, 0.0, 3.0]), UNIT)
    images = run.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2])
    for frame, column in zip(frames, [0, 1, 2, 1], strict=True):
        assert all(places_of(image, frame) for image in images[:, column])


def test_an_older_run_counts_on_its_data(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    older = dataclasses.replace(digits, units=None)
    new = made(digits, tmp_path / "new", num_columns=3)
    computed = made(older, tmp_path / "computed", num_columns=3)
    assert (computed / "traversal.png").read_bytes() == (new / "traversal.png").read_bytes()
    gone = dataclasses.replace(with_rates(digits), units=None)
    with pytest.raises(
        UserError, match=r"has no KL of the dimensions, .*: data\.root=/gone: there is no folder /gone$"
    ):
        save_picture(Traversals(), gone, tmp_path, "traversal")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dims": [1, 4]}, "dims=[1, 4]: choose from 0 to 3"),
        ({"dims": [-1]}, "dims=[-1]: choose from 0 to 3"),
        ({"dims": []}, "dims=[]: choose from 0 to 3"),
        ({"indices": [1, 2]}, "a traversal starts from one image, and 2 were given"),
        ({"indices": [1], "labels": [2]}, "indices and labels: give only one of them"),
    ],
)
def test_what_cannot_be_traversed_is_told(digits, tmp_path, settings, message):
    with pytest.raises(UserError) as error:
        save_picture(Traversals(**settings), digits, tmp_path, "traversal")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_dims": 0}, "num_dims must be at least 1, got 0"),
        ({"num_columns": 1}, "num_columns must be at least 2, got 1"),
        ({"frame_ms": 19}, "frame_ms must be at least 20, got 19"),
        ({"limit": 0.0}, "limit must be positive and finite, got 0.0"),
        ({"limit": float("inf")}, "limit must be positive and finite, got inf"),
        ({"limit": float("nan")}, "limit must be positive and finite, got nan"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        Traversals(**settings)
    assert str(error.value) == message


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, module_patch):
    """By centre: the arguments of its picture at the end of a run, and the run directory; and the Trainer."""
    calls, pictures = captured(module_patch, PICTURE), {}
    for centre in ("image", "prior"):
        run_dir = tmp_path_factory.mktemp(centre)
        callback = Traversals(num_dims=4, num_columns=5, limit=2.0, centre=centre, num_images=20, frame_ms=70)
        trainer = train(run_dir, callback)
        pictures[centre] = calls.pop(), run_dir
    return pictures, trainer


def kl_of_each_dimension(vae, images):
    with torch.no_grad():
        posterior = vae.observe(images)
    normal = Normal(posterior.mean.double(), posterior.stddev.double())
    return kl_divergence(normal, Normal(0.0, 1.0)).mean(0)


@pytest.mark.parametrize("centre", ["image", "prior"])
def test_rows_are_the_dimensions_of_most_kl_the_largest_first(drawn, centre):
    pictures, trainer = drawn
    _, dims, rates, *_ = pictures[centre][0]
    kl = kl_of_each_dimension(evaluated(trainer), trainer.datamodule.example_images(20))
    assert dims == kl.argsort(descending=True)[:4].tolist()
    assert dims != sorted(dims)
    assert rates == pytest.approx(kl[dims].tolist(), rel=1e-5)


@pytest.mark.parametrize("centre", ["image", "prior"])
def test_a_row_varies_one_dimension_around_the_centre(drawn, centre):
    pictures, trainer = drawn
    images, dims, _, values, _, context, in_deviations = pictures[centre][0]
    vae = evaluated(trainer)
    with torch.no_grad():
        around = vae.encode(trainer.datamodule.example_images(1)).loc[0] if centre == "image" else torch.zeros(6)
        for row, dim in zip(images, dims, strict=True):
            z = around.repeat(5, 1)
            z[:, dim] = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
            assert torch.allclose(row, vae.generate(z), atol=1e-6)
    assert values == [-2, -1, 0, 1, 2]
    assert context == "fake · epoch 3"
    assert not in_deviations


def test_the_rows_around_the_prior_meet_in_the_middle(drawn):
    pictures, _ = drawn
    (images, *_), _ = pictures["prior"]
    assert all(torch.allclose(row[2], images[0, 2], atol=1e-6) for row in images)
    assert not torch.allclose(images[0, 1], images[1, 1], atol=1e-3)


def test_the_centre_makes_another_picture_and_is_told(drawn):
    pictures, _ = drawn
    around_image, around_prior = (
        pixels(pictures[centre][1] / "images/traversals/epoch_0003.png") for centre in ("image", "prior")
    )
    assert not np.array_equal(around_image, around_prior)
    assert pictures["image"][0][4] == "traversals around an image's posterior mean, 4 of 6 dimensions"
    assert pictures["prior"][0][4] == "traversals around the prior's mean, 4 of 6 dimensions"


def test_the_gif_goes_there_and_back(drawn):
    pictures, trainer = drawn
    run_dir = pictures["prior"][1]
    gif = (run_dir / "images/traversals/epoch_0003.gif").read_bytes()
    [event] = events(run_dir).Images("animations/traversals")
    assert event.encoded_image_string == gif
    assert event.step == trainer.global_step - 1
    shown, durations = frames(gif)
    assert durations == [70] * (2 * 5 - 2)
    assert all(np.array_equal(shown[5 + index], shown[3 - index]) for index in range(3))
    assert all(not np.array_equal(one, other) for one, other in pairwise(shown[:5]))


def test_there_are_not_more_rows_than_dimensions(fit, monkeypatch):
    calls = captured(monkeypatch, PICTURE)
    fit(Traversals(num_dims=10, num_columns=2), latent_dim=3, max_epochs=1)
    images, dims, rates, *_ = calls[0]
    assert images.shape[:2] == (3, 2)
    assert sorted(dims) == [0, 1, 2]
    assert rates == sorted(rates, reverse=True)


def test_the_image_is_the_same_at_every_epoch_and_after_a_resume(fit, tmp_path, monkeypatch):
    centres = []
    look = Traversals._centre
    noted = lambda self, source, spread: centres.append(source.kept.images) or look(self, source, spread)  # noqa: E731
    monkeypatch.setattr(Traversals, "_centre", noted)
    trainer = fit(Traversals(every_n_epochs=1, centre="image", num_columns=2), max_epochs=2)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    data = FakeData()
    data.levels["val"] = data.levels["val"].flip(0)
    fit(
        Traversals(every_n_epochs=1, centre="image", num_columns=2),
        max_epochs=3,
        data=data,
        ckpt_path=tmp_path / "run.ckpt",
    )
    assert len(centres) == 3
    assert all(torch.equal(centre, FakeData().levels["val"][:1]) for centre in centres)


def test_an_unknown_centre_is_named():
    with pytest.raises(ValueError, match=r"^centre must be one of prior, image, got mean$"):
        unchecked(Traversals, centre="mean")
