"""What each latent dimension does: a row each, ordered as the checkpoint says, without the data."""

import dataclasses
from pathlib import Path

import pytest
import torch

from vae_lightning.errors import UserError
from vae_lightning.latents.paths import Spread, traversals
from vae_lightning.latents.units import UnitStatistics
from vae_lightning.pictures.saving import save_image
from vae_lightning.pictures.traversal import DrawTraversal
from vae_lightning.runs.trained import TrainedRun

UNIT = Spread(torch.zeros(4), torch.ones(4), True)


def with_rates(run: TrainedRun, *rates: float) -> TrainedRun:
    rate = torch.tensor(rates, dtype=torch.float64)
    config = run.config | {"data": {"_target_": "vae_lightning.data.image_folder.ImageFolder", "root": "/gone"}}
    return dataclasses.replace(run, config=config, units=UnitStatistics(rate, rate))


def made(run: TrainedRun, folder: Path, **settings) -> Path:
    folder.mkdir()
    DrawTraversal(**settings)(run, folder)
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
        DrawTraversal()(gone, tmp_path)


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
        DrawTraversal(**settings)(digits, tmp_path)
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
        DrawTraversal(**settings)
    assert str(error.value) == message
