"""Samples beside their nearest training images."""

import pytest
import torch

from tests.callbacks.fakes import FakeData, FakeVAE, captured, evaluated
from vae_lightning.exports.samples import WriteSamples
from vae_lightning.exports.saving import save_picture
from vae_lightning.pictures.neighbours import Neighbours

PICTURE = "vae_lightning.pictures.neighbours.neighbours_picture"


def test_the_samples_of_the_same_seed_stand_left_of_their_nearest_training_images(colour, tmp_path, places_of):
    save_picture(Neighbours(num_images=2, num_nearest=2, seed=5), colour, tmp_path, "neighbours")
    assert [path.name for path in tmp_path.iterdir()] == ["neighbours.png"]
    (tmp_path / "samples").mkdir()
    WriteSamples(num_images=2, seed=5, save="png")(colour, tmp_path / "samples")
    z = colour.draw(torch.arange(2), 5)
    training = torch.cat([batch.images for batch in colour.data.stream("train")])
    assert len(training) > 25
    for index, sample in enumerate(colour.decode(z)):
        distances = (training.float() / 255 - sample).square().mean((1, 2, 3))
        places = [places_of(tmp_path / "samples" / f"sample_{index:06d}.png", tmp_path / "neighbours.png")]
        places += [places_of(training[row], tmp_path / "neighbours.png") for row in distances.argsort()[:2]]
        top = places[0][0][0]
        lefts = [[left for y, left in found if y == top] for found in places]
        assert [len(found) for found in lefts] == [1, 1, 1]
        assert lefts == sorted(lefts)


def test_a_model_that_has_learned_by_heart_is_found_out(colour, tmp_path, monkeypatch):
    from vae_lightning.pictures import neighbours
    from vae_lightning.runs.trained import TrainedRun

    training, held_out = next(colour.data.stream("train")).images[:3].float() / 255, colour.data.example_images(200)
    monkeypatch.setattr(TrainedRun, "decode", lambda self, z, labels=None: training if len(z) == 3 else held_out)
    found = []
    plain = neighbours.memorizing
    monkeypatch.setattr(neighbours, "memorizing", lambda *given: found.append(plain(*given)) or found[0])
    save_picture(Neighbours(num_images=3, num_nearest=1), colour, tmp_path, "neighbours")
    assert found[0].distances.abs().max() < 1e-6
    assert found[0].reference > 0.05


@pytest.mark.parametrize(("name", "least"), [("num_images", 1), ("num_nearest", 1), ("seed", 0)])
def test_numbers_too_small_are_named(name, least):
    Neighbours(**{name: least})
    with pytest.raises(ValueError, match=rf"^{name} must be at least {least}, got {least - 1}$"):
        Neighbours(**{name: least - 1})


@pytest.fixture
def pictures(monkeypatch):
    return captured(monkeypatch, PICTURE)


def distances_to_training_images(data, images):
    """Root mean squared pixel differences `[N, M]`, in float64, from images in [0, 1] to all training images."""
    training = data.levels["train"].double() / 255
    return (images.double()[:, None] - training).square().flatten(2).mean(2).sqrt()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_nearest_training_images_of_samples_from_the_prior(fit, pictures, channels):
    callback = Neighbours(num_images=5, num_nearest=3, seed=2)
    trainer = fit(callback, channels=channels)
    samples, neighbours, distances, _, title, context = pictures[0]
    vae = evaluated(trainer)
    with torch.no_grad():
        assert torch.allclose(samples, vae.generate(vae.sampled(5, seed=2)), atol=1e-6)
    expected, order = distances_to_training_images(trainer.datamodule, samples).sort(dim=1)
    assert torch.equal(neighbours, trainer.datamodule.levels["train"][order[:, :3]] / 255)
    assert torch.allclose(distances.double(), expected[:, :3], atol=1e-6)
    assert distances.min() > 0
    assert title == "samples and their nearest training images"
    assert context == "fake · epoch 3"


def test_the_reference_is_the_median_of_reconstructed_validation_images(fit, pictures):
    trainer = fit(Neighbours(num_images=2))
    reference = pictures[0][3]
    data = trainer.datamodule
    with torch.no_grad():
        reconstructions = evaluated(trainer).reconstruct(data.example_images(24))
    nearest = distances_to_training_images(data, reconstructions).min(dim=1).values
    assert reference == pytest.approx(nearest.sort().values[11].item(), abs=1e-6)  # the lower of two in the middle
    assert reference > 0.1


def test_training_images_learned_by_heart_have_distance_zero(fit, pictures, monkeypatch):
    learned = FakeData().levels["train"][[17, 3, 8]]
    monkeypatch.setattr(
        FakeVAE, "generate", lambda self, z, _: torch.cat([learned / 255, torch.full((len(z), 3, 8, 8), 0.5)])[: len(z)]
    )
    fit(Neighbours(num_images=3, num_nearest=2), max_epochs=1)
    _, neighbours, distances, reference, _, _ = pictures[0]
    assert distances[:, 0].tolist() == [0, 0, 0]
    assert torch.equal(neighbours[:, 0].mul(255).round(), learned)
    assert distances[:, 1].min() > 0
    assert reference > 0.1


def test_the_samples_are_the_same_at_every_epoch(fit, pictures):
    callback = Neighbours(every_n_epochs=1, num_images=2)
    trainer = fit(callback)
    assert len(pictures) == 3
    vae = evaluated(trainer)
    with torch.no_grad():
        expected = vae.generate(vae.sampled(2, seed=0))
    torch.testing.assert_close(pictures[-1][0], expected, atol=1e-6, rtol=0)


def test_more_neighbours_than_training_images_are_all_of_them(fit, pictures):
    fit(Neighbours(num_images=2, num_nearest=30), max_epochs=1)
    assert pictures[0][1].shape[1] == 24


def test_a_resumed_run_of_another_number_keeps_its_samples_apart_from_the_reconstructions(fit, pictures, tmp_path):
    fit(Neighbours(num_images=4), max_epochs=1).save_checkpoint(tmp_path / "run.ckpt")
    trainer = fit(Neighbours(num_images=2), max_epochs=2, ckpt_path=tmp_path / "run.ckpt")
    samples, _, _, reference, _, _ = pictures[-1]
    assert len(samples) == 4
    with torch.no_grad():
        reconstructions = evaluated(trainer).reconstruct(trainer.datamodule.example_images(24))
    nearest = distances_to_training_images(trainer.datamodule, reconstructions).min(dim=1).values
    assert reference == pytest.approx(nearest.sort().values[11].item(), abs=1e-6)
