"""Samples beside their nearest training images."""

import pytest
import torch

from vae_lightning.exports.samples import WriteSamples
from vae_lightning.pictures.neighbours import DrawNeighbours


def test_the_samples_of_the_same_seed_stand_left_of_their_nearest_training_images(colour, tmp_path, places_of):
    DrawNeighbours(num_images=2, num_nearest=2, seed=5)(colour, tmp_path)
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
    DrawNeighbours(num_images=3, num_nearest=1)(colour, tmp_path)
    assert found[0].distances.abs().max() < 1e-6
    assert found[0].reference > 0.05


@pytest.mark.parametrize(("name", "least"), [("num_images", 1), ("num_nearest", 1), ("seed", 0)])
def test_numbers_too_small_are_named(name, least):
    DrawNeighbours(**{name: least})
    with pytest.raises(ValueError, match=rf"^{name} must be at least {least}, got {least - 1}$"):
        DrawNeighbours(**{name: least - 1})
