"""Whether the model has learned its training images by heart: samples beside the nearest of them."""

from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.callbacks.pictures import Drawing, SampledPictureCallback
from vae_lightning.drawing.walks import neighbours_picture
from vae_lightning.errors import require_at_least
from vae_lightning.latents.encoding import decode, encode
from vae_lightning.latents.memorizing import HELD_OUT, memorizing


class Neighbours(SampledPictureCallback):
    """Draws samples beside their nearest training images, by root mean squared pixel difference.

    For comparison it tells how far reconstructions of validation images, as soft as the samples are, lie from their
    nearest training image: samples that are much nearer are copies. `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last; None: after the last only.
        num_images: how many samples.
        num_nearest: how many training images beside each.
        seed: of the samples.

    Raises:
        ValueError: `every_n_epochs`, `num_images` or `num_nearest` is below 1.
    """

    def __init__(self, every_n_epochs: int | None = None, num_images: int = 12, num_nearest: int = 5, seed: int = 0):
        super().__init__("neighbours", every_n_epochs, num_images, seed)
        require_at_least("num_nearest", num_nearest, 1)
        self.num_nearest = num_nearest

    def look(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> tuple[Float[Tensor, "N C H W"], Float[Tensor, "M C H W"], Any]:
        data, vae, device = trainer.datamodule, pl_module.vae, pl_module.device
        z, labels = self.drawn(pl_module)
        held_out = data.examples(HELD_OUT)
        codes = encode(vae, held_out.images, held_out.labels, data.eval_batch_size).loc
        told = None if labels is None else torch.cat([labels, held_out.labels.to(device)])
        images = decode(vae, torch.cat([z, codes.to(device)]), told, batch_size=data.eval_batch_size).cpu()
        return images[: len(z)], images[len(z) :], data

    def draw(
        self, seen: tuple[Float[Tensor, "N C H W"], Float[Tensor, "M C H W"], Any], context: str
    ) -> Drawing | None:
        samples, reconstructions, data = seen
        if not (samples.isfinite().all() and reconstructions.isfinite().all()):
            return None  # weights that are not finite: the loss says so
        training_images = (batch.images for batch in data.stream("train"))
        found = memorizing(samples, reconstructions, training_images, self.num_nearest)
        title = "samples and their nearest training images"
        neighbours = found.neighbours.float() / 255
        return Drawing(neighbours_picture(samples, neighbours, found.distances, found.reference, title, context))
