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


@pytest.mark.parametrize(("channels", "end"), [(3, "epoch 1"), (5, "epoch 1 · channels 0, 1, 2 of 5")])
def test_captions_say_which_of_many_channels_are_shown(fit, channels, end):
    captions = []

    class Looking(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            captions.append(training_sources.training_source(trainer, pl_module, 1).context)
            training_sources.forget(trainer)

    fit(Looking(), channels=channels, max_epochs=1)
    assert captions[0].endswith(end)


@pytest.mark.parametrize("callback", [Projector(every_n_epochs=1), drawing(LatentUnits(every_n_epochs=1))])
def test_while_training_goes_on_no_copy_of_the_model_is_held(fit, callback):
    held = []

    class Looking(Callback):
        def on_train_batch_start(self, trainer, *_):
            held.append(trainer in training_sources._newest)

    trainer = fit(callback, Looking(), max_epochs=2)
    assert held == [False] * 12
    assert trainer not in training_sources._newest
