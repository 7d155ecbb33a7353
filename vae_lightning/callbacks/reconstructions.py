"""The same validation images beside their reconstructions, epoch after epoch."""

import numpy as np
import torch
from jaxtyping import UInt8
from lightning.pytorch import Trainer
from torch import Tensor

from vae_lightning.callbacks.pictures import PictureCallback, PictureModel
from vae_lightning.figures.grids import comparison_grid

_COLUMNS = 8


class Reconstructions(PictureCallback):
    """Draws fixed validation images above their mean reconstructions; `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last.
        num_images: how many validation images.

    Raises:
        ValueError: `every_n_epochs` or `num_images` is below 1.
    """

    def __init__(self, every_n_epochs: int = 1, num_images: int = 16):
        super().__init__("reconstructions", every_n_epochs, num_images)

    def choose(self, trainer: Trainer, vae: PictureModel) -> UInt8[Tensor, "N C H W"]:
        images = trainer.datamodule.example_images(self.num_images)
        return images.mul(255).round().to(torch.uint8)

    def draw(self, vae: PictureModel, fixed: UInt8[Tensor, "N C H W"]) -> UInt8[np.ndarray, "height width 3"]:
        originals = fixed.float() / 255
        return comparison_grid(originals, vae.reconstruct(originals), _COLUMNS)
