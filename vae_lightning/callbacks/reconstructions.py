"""The same validation images beside their reconstructions, epoch after epoch."""

from typing import Any

from jaxtyping import Float
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.callbacks.pictures import Drawing, FixedPictureCallback
from vae_lightning.data.loader import ImageBatch
from vae_lightning.drawing.grids import comparison_grid
from vae_lightning.errors import require_at_least

_COLUMNS = 8


class Reconstructions(FixedPictureCallback):
    """Draws fixed validation images above their mean reconstructions; `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last.
        num_images: how many validation images.

    Raises:
        ValueError: `every_n_epochs` or `num_images` is below 1.
    """

    def __init__(self, every_n_epochs: int | None = 1, num_images: int = 16):
        super().__init__("reconstructions", every_n_epochs, chosen_by={"num_images": num_images})
        require_at_least("num_images", num_images, 1)
        self.num_images = num_images

    def choose(self, data: Any) -> ImageBatch:
        return data.examples(self.num_images)

    def look(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> tuple[Float[Tensor, "N C H W"], Float[Tensor, "N C H W"]]:
        originals = self.fixed_on(pl_module.device).float() / 255
        return originals, pl_module.vae.reconstruct(originals, self.told_on(pl_module))

    def draw(self, seen: tuple[Tensor, Tensor], context: str) -> Drawing:
        return Drawing(comparison_grid(*seen, columns=_COLUMNS, context=context))
