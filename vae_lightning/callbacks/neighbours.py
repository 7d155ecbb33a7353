"""Whether the model has learned its training images by heart: samples beside the nearest of them."""

from typing import Any

from jaxtyping import Float
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.arguments import require_at_least
from vae_lightning.callbacks.pictures import Drawing, FixedPictureCallback, PictureModel
from vae_lightning.evaluation.memorizing import HELD_OUT, memorizing
from vae_lightning.figures.walks import neighbours_picture


class Neighbours(FixedPictureCallback):
    """Draws samples beside their nearest training images, by root mean squared pixel difference.

    For comparison it tells how far validation images are from their nearest training image: samples that are much
    nearer are copies. `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last; None: after the last only.
        num_images: how many samples.
        num_nearest: how many training images beside each.
        seed: of the samples.

    Raises:
        ValueError: `every_n_epochs`, `num_images` or `num_nearest` is below 1.
    """

    def __init__(self, every_n_epochs: int | None = None, num_images: int = 12, num_nearest: int = 5, seed: int = 0):
        super().__init__("neighbours", every_n_epochs)
        require_at_least("num_images", num_images, 1)
        require_at_least("num_nearest", num_nearest, 1)
        self.num_images = num_images
        self.num_nearest = num_nearest
        self.seed = seed

    def choose(self, trainer: Trainer, vae: PictureModel) -> Float[Tensor, "N D"]:
        return vae.sample_prior(self.num_images, self.seed)

    def look(self, trainer: Trainer, pl_module: LightningModule) -> tuple[Float[Tensor, "N C H W"], Any]:
        return pl_module.vae.generate(self.fixed_on(pl_module.device)).cpu(), trainer.datamodule

    def draw(self, seen: tuple[Float[Tensor, "N C H W"], Any], context: str) -> Drawing:
        samples, data = seen
        training_images = (batch.images for batch in data.stream("train"))
        found = memorizing(samples, data.example_images(HELD_OUT), training_images, self.num_nearest)
        title = "samples and their nearest training images"
        neighbours = found.neighbours.float() / 255
        return Drawing(neighbours_picture(samples, neighbours, found.distances, found.reference, title, context))
