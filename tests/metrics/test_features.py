"""A network that is trained on the spot tells images apart, is a function of the data and the seed, and is kept."""

import logging
import shutil

import pytest
import torch

from vae_lightning.data.cache import cache_folder
from vae_lightning.metrics import features
from vae_lightning.metrics.features import features_of
from vae_lightning.metrics.frechet import frechet_distance

CPU = torch.device("cpu")


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(features, "_STEPS", 3)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def kept() -> list:
    return sorted((cache_folder(None) / "feature_networks").iterdir())


def test_with_labels_it_learns_them_and_noise_is_farther_away_than_other_images(digits):
    found = features_of(digits.data, 0, CPU)
    assert found.what == "classifier"
    assert found.accuracy > 0.8
    seen = found.network(digits.data.example_images(150, "test"))
    others = found.network(digits.data.example_images(150, "val"))
    blurred = found.network(torch.nn.functional.avg_pool2d(digits.data.example_images(150, "test"), 9, 1, 4))
    noise = found.network(torch.rand(150, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    near, softer, far = (frechet_distance(seen, each) for each in (others, blurred, noise))
    assert softer > 3 * near
    assert far > 3 * near


def test_without_labels_it_learns_turns(colour, few_steps):
    found = features_of(colour.data, 0, CPU)
    assert found.what == "rotations"
    assert found.network.answer.out_features == 4
    assert found.network(colour.data.example_images(3)).shape == (3, features.NUM_FEATURES)


def test_images_that_are_no_squares_are_turned_upside_down_only(colour, monkeypatch):
    monkeypatch.setattr(type(colour.data), "image_shape", (3, 32, 20))
    task = features._Task(colour.data, "rotations")
    monkeypatch.setattr(colour.data, "images_at", lambda *_: _Batch())
    images, answers = task.batch(torch.arange(4), "train", CPU)
    assert answers.tolist() == [0, 0, 1, 1]
    assert torch.equal(images[2], _Batch.images[2].flip(1, 2).float() / 255)


class _Batch:
    images = torch.arange(4 * 3 * 32 * 20).remainder(251).to(torch.uint8).reshape(4, 3, 32, 20)


def test_it_is_a_function_of_the_seed_and_is_read_again(digits, few_steps, caplog):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with caplog.at_level(logging.INFO, "vae_lightning"):
        first = features_of(digits.data, 0, CPU)
        again = features_of(digits.data, 0, CPU)
    assert sum("trained on the spot" in line for line in caplog.messages) == 1
    assert torch.equal(before, torch.get_rng_state())
    shutil.rmtree(kept()[0].parent)
    anew = features_of(digits.data, 0, CPU)
    other = features_of(digits.data, 1, CPU)
    weights = [each.network.features.weight for each in (first, again, anew, other)]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])
    assert first.accuracy == again.accuracy
    assert len(kept()) == 2


def test_what_is_damaged_is_told_and_made_anew(digits, few_steps, caplog):
    first = features_of(digits.data, 0, CPU)
    kept()[0].write_bytes(b"no network")
    again = features_of(digits.data, 0, CPU)
    assert "can't be read" in caplog.text
    assert torch.equal(first.network.features.weight, again.network.features.weight)
    assert kept()[0].stat().st_size > 1000


def test_without_a_place_to_keep_it_it_is_trained_all_the_same(digits, few_steps, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert features_of(digits.data, 0, CPU).what == "classifier"
    assert "not kept" in caplog.text
