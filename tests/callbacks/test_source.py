"""The model in training as a source of pictures: in which precision, and for how long its copy is held."""

import logging

import pytest
from lightning.pytorch import Callback

from tests.callbacks.fakes import FakeVAE, drawing
from vae_lightning.callbacks import source as training_sources
from vae_lightning.callbacks.projector import Projector
from vae_lightning.pictures.embedding import Embedding
from vae_lightning.pictures.latent_units import LatentUnits
from vae_lightning.pictures.reconstructions import Reconstructions
from vae_lightning.pictures.samples import Samples
from vae_lightning.runs import source


class OfFloat32(FakeVAE):
    """A network of a user's own, which has its own types."""

    def decode(self, z, labels=None, target=None):
        return super().decode(z.float())


def test_a_model_that_has_no_float64_is_drawn_in_float32(fit, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("vae_lightning"), "propagate", True)
    monkeypatch.setattr("tests.callbacks.fakes.FakeVAE", OfFloat32)
    source._warn_of_float32.cache_clear()
    fit(Samples(num_images=4), Reconstructions(num_images=4), Embedding(method="pca"), max_epochs=2)
    drawn = sorted(path.relative_to(tmp_path / "images").as_posix() for path in tmp_path.glob("images/*/*.png"))
    of_both = [f"{name}/epoch_{epoch:04d}.png" for name in ("reconstructions", "samples") for epoch in (1, 2)]
    assert drawn == ["pca/epoch_0002.png", *of_both]
    assert caplog.text.count("this model can't compute in float64 (") == 1


@pytest.mark.parametrize("callback", [Projector(every_n_epochs=1), drawing(LatentUnits(every_n_epochs=1))])
def test_while_training_goes_on_no_copy_of_the_model_is_held(fit, callback):
    held = []

    class Looking(Callback):
        def on_train_batch_start(self, trainer, *_):
            held.append(trainer in training_sources._newest)

    trainer = fit(callback, Looking(), max_epochs=2)
    assert held == [False] * 12
    assert trainer not in training_sources._newest
