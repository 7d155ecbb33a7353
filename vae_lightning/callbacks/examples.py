"""The posterior of validation images, encoded once for all callbacks that look at it."""

import logging
from typing import Any
from weakref import WeakKeyDictionary

from lightning.pytorch import LightningModule, Trainer

from vae_lightning.latents.encoding import encode
from vae_lightning.models.latent_model import Latents

log = logging.getLogger("vae_lightning")

_newest: "WeakKeyDictionary[Trainer, tuple[tuple[int, int], Latents]]" = WeakKeyDictionary()


def example_batch(trainer: Trainer, num_images: int) -> Any:
    """An `ImageBatch` of so many validation images, or all there are, chosen by the seed whatever their labels."""
    return trainer.datamodule.examples(num_images, balanced=False)


def example_latents(trainer: Trainer, pl_module: LightningModule, num_images: int) -> Latents | None:
    """The posteriors of `example_batch`'s images, None, and a warning, where they are not finite.

    Callbacks that ask for equally many at the same step share the work. The module must be in evaluation mode.
    """
    moment = (trainer.global_step, num_images)
    known_moment, latents = _newest.get(trainer, (None, None))
    if known_moment != moment or latents is None:
        batch = example_batch(trainer, num_images)
        latents = encode(pl_module.vae, batch.images, batch.labels, trainer.datamodule.eval_batch_size)
        _newest[trainer] = (moment, latents)
    known = [each for each in (latents.loc, latents.scale, latents.rates) if each is not None]
    if not all(bool(each.isfinite().all()) for each in known):
        # No reason to end a run: where it matters the loss is not finite either, and says so.
        log.warning("the posteriors of validation images are not finite: nothing is drawn of them")
        return None
    return latents
