from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tests.callbacks.fakes import FakeData, captured, evaluated, events, frames, pixels, train, unchecked
from vae_lightning.callbacks.traversals import Traversals

PICTURE = "vae_lightning.callbacks.traversals.traversal_picture"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, module_patch):
    """By centre: the arguments of its picture at the end of a run, and the run directory; and the Trainer."""
    calls, pictures = captured(module_patch, PICTURE), {}
    for centre in ("image", "prior"):
        run_dir = tmp_path_factory.mktemp(centre)
        callback = Traversals(None, num_dims=4, num_columns=5, limit=2.0, centre=centre, num_images=20, frame_ms=70)
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
    assert pictures["image"][0][4] == "traversals around a validation image"
    assert pictures["prior"][0][4] == "traversals around the prior's mean"


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
    fit(Traversals(None, num_dims=10, num_columns=2), latent_dim=3, max_epochs=1)
    images, dims, rates, *_ = calls[0]
    assert images.shape[:2] == (3, 2)
    assert sorted(dims) == [0, 1, 2]
    assert rates == sorted(rates, reverse=True)


def test_the_image_is_the_same_at_every_epoch_and_after_a_resume(fit, tmp_path, monkeypatch):
    centres = []
    look = Traversals._of_image
    monkeypatch.setattr(Traversals, "_of_image", lambda self, *args: centres.append(self.fixed) or look(self, *args))
    trainer = fit(Traversals(1, num_columns=2), max_epochs=2)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    data = FakeData()
    data.levels["val"] = data.levels["val"].flip(0)
    fit(Traversals(1, num_columns=2), max_epochs=3, data=data, ckpt_path=tmp_path / "run.ckpt")
    assert len(centres) == 3
    assert all(torch.equal(centre, FakeData().levels["val"][:1]) for centre in centres)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("inf")])
def test_a_limit_that_is_not_positive_is_named(limit):
    with pytest.raises(ValueError, match=f"^limit must be positive and finite, got {limit}$"):
        Traversals(limit=limit)


def test_an_unknown_centre_is_named():
    with pytest.raises(ValueError, match=r"^centre must be one of image, prior, got mean$"):
        unchecked(Traversals, centre="mean")
