"""Images from the same points of the prior, epoch after epoch."""

import math

import numpy as np
from jaxtyping import Float, UInt8
from lightning.pytorch import Trainer
from torch import Tensor

from vae_lightning.callbacks.pictures import PictureCallback, PictureModel
from vae_lightning.figures.grids import image_grid


class Samples(PictureCallback):
    """Draws the mean images of fixed z from the prior; `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last.
        num_images: how many points of the prior.
        seed: of the points.

    Raises:
        ValueError: `every_n_epochs` or `num_images` is below 1.
    """

    def __init__(self, every_n_epochs: int = 1, num_images: int = 64, seed: int = 0):
        super().__init__("samples", every_n_epochs, num_images)
        self.seed = seed

    def choose(self, trainer: Trainer, vae: PictureModel) -> Float[Tensor, "N D"]:
        return vae.sample_prior(self.num_images, self.seed)

    def draw(self, vae: PictureModel, fixed: Float[Tensor, "N D"]) -> UInt8[np.ndarray, "H W 3"]:
        return image_grid(vae.generate(fixed), columns=math.ceil(math.sqrt(len(fixed))))
