"""The posterior of validation images, encoded once for all callbacks that look at it."""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from lightning.pytorch import LightningModule, Trainer

from vae_lightning.evaluation.latents import Latents, encode


@dataclass(frozen=True)
class EncodedExamples:
    """Validation images as they look at one step of the training.

    Attributes:
        batch: their uint8 images `[N, C, H, W]`, indices and any labels, from the DataModule's `examples`.
        latents: their posteriors.
    """

    batch: Any
    latents: Latents


_newest: "WeakKeyDictionary[LightningModule, tuple[tuple[int, int], EncodedExamples]]" = WeakKeyDictionary()


def encoded_examples(trainer: Trainer, pl_module: LightningModule, num_images: int) -> EncodedExamples:
    """The posteriors of so many validation images, fewer if there are not so many.

    Callbacks that ask for equally many at the same step share the work. The module must be in evaluation mode.
    """
    moment = (trainer.global_step, num_images)
    known_moment, examples = _newest.get(pl_module, (None, None))
    if known_moment != moment or examples is None:
        batch = trainer.datamodule.examples(num_images)
        examples = EncodedExamples(batch, encode(pl_module.vae, batch.images))
        _newest[pl_module] = (moment, examples)
    return examples
