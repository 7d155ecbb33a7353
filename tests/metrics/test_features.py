"""A network that is trained on the spot tells images apart, is a function of the data and the seed, and is kept."""

import logging
import math
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


def test_without_labels_it_tells_images_apart_and_is_farther_from_what_is_worse(digits, monkeypatch):
    monkeypatch.setattr(features, "_has_classes", lambda data: False)
    found = features_of(digits.data, 0, CPU)
    assert found.what == "instances"
    assert found.network.answer.out_features == features.NUM_FEATURES
    assert found.accuracy > 0.5  # by chance one of 255
    images, others = (digits.data.example_images(150, split) for split in ("test", "val"))
    worse = {
        "blurred": torch.nn.functional.avg_pool2d(images, 9, 1, 4),
        "pale": images / 2,
        "of two halves": torch.cat([images[:, :, :14], images.roll(1, 0)[:, :, 14:]], 2),
        "few, again and again": images[:5].repeat(30, 1, 1, 1),
        "means of two": (images + images.roll(1, 0)) / 2,
    }
    near = frechet_distance(*map(found.network, (images, others)))
    for name, each in worse.items():
        assert frechet_distance(*map(found.network, (images, each))) > 1.5 * near, name


def test_images_that_are_no_squares_are_moved_and_scaled_within_their_frame():
    torch.manual_seed(0)
    image = torch.zeros(200, 1, 20, 40)
    image[:, :, 8:12, 18:22] = 1
    moved = features._moved(image)
    assert moved.shape == image.shape
    heights, widths = (moved.sum(axis).squeeze(1) > 0.5 for axis in (3, 2))
    middles = heights.float().argmax(1), widths.float().argmax(1)
    assert all(len(middle.unique()) > 3 for middle in middles)
    assert int((middles[0] - 8).abs().max()) <= 3  # a seventh of ten
    assert 4 <= int((middles[1] - 18).abs().max()) <= 5
    areas = moved.sum((1, 2, 3))
    assert 16 / 1.16**2 * 0.9 < float(areas.min()) < 13
    assert 19 < float(areas.max()) < 16 / 0.84**2 * 1.1


@pytest.mark.parametrize("labelled", [True, False])
def test_it_is_a_function_of_the_seed_and_is_read_again(digits, few_steps, caplog, monkeypatch, labelled):
    monkeypatch.setattr(features, "_has_classes", lambda data: labelled)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with caplog.at_level(logging.INFO, "vae_lightning"):
        first = features_of(digits.data, 0, CPU)
        again = features_of(digits.data, 0, CPU)
    assert sum("trained on the spot" in line for line in caplog.messages) == 1
    assert torch.equal(before, torch.get_rng_state())
    shutil.rmtree(kept()[0].parent)
    torch.manual_seed(2)
    anew = features_of(digits.data, 0, CPU)
    other = features_of(digits.data, 1, CPU)
    weights = [each.network.features.weight for each in (first, again, anew, other)]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])
    assert first.accuracy == again.accuracy == anew.accuracy
    assert len(kept()) == 2


def test_one_image_can_be_told_from_no_other(digits, few_steps, monkeypatch, caplog):
    monkeypatch.setattr(features, "_has_classes", lambda data: False)
    monkeypatch.setattr(features, "_TESTED", 1)
    caplog.set_level(logging.INFO, "vae_lightning")
    assert math.isnan(features_of(digits.data, 0, CPU).accuracy)
    assert "no validation images to try it on" in caplog.text
    assert math.isnan(features_of(digits.data, 0, CPU).accuracy)  # as it is kept


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
