"""Images from the same points of the prior, epoch after epoch."""

import math

from jaxtyping import Float
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.callbacks.pictures import Drawing, FixedPictureCallback, PictureModel
from vae_lightning.drawing.captions import with_caption
from vae_lightning.drawing.grids import image_grid
from vae_lightning.errors import require_at_least


class Samples(FixedPictureCallback):
    """Draws the mean images of fixed z from the prior; `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last.
        num_images: how many points of the prior.
        seed: of the points.

    Raises:
        ValueError: `every_n_epochs` or `num_images` is below 1.
    """

    fixed_are = "latents"

    def __init__(self, every_n_epochs: int | None = 1, num_images: int = 64, seed: int = 0):
        super().__init__("samples", every_n_epochs, chosen_by={"num_images": num_images, "seed": seed})
        require_at_least("num_images", num_images, 1)
        self.num_images = num_images
        self.seed = seed

    def choose(self, trainer: Trainer, vae: PictureModel) -> Float[Tensor, "N D"]:
        return vae.sample_prior(self.num_images, self.seed)

    def look(self, trainer: Trainer, pl_module: LightningModule) -> Float[Tensor, "N C H W"]:
        return pl_module.vae.generate(self.fixed_on(pl_module.device))

    def draw(self, seen: Float[Tensor, "N C H W"], context: str) -> Drawing:
        grid = image_grid(seen, columns=math.ceil(math.sqrt(len(seen))))
        return Drawing(with_caption(grid, "samples from the prior", context))
