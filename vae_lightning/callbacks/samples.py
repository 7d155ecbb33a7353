"""Images from the prior by the same noise, epoch after epoch."""

from jaxtyping import Float
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.callbacks.pictures import Drawing, SampledPictureCallback
from vae_lightning.drawing.captions import with_caption
from vae_lightning.drawing.grids import sample_grid


class Samples(SampledPictureCallback):
    """Draws the mean images of samples from the prior, of a model with labels a row for each label.

    `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last.
        num_images: how many samples.
        seed: of their noise.

    Raises:
        ValueError: `every_n_epochs` or `num_images` is below 1.
    """

    def __init__(self, every_n_epochs: int | None = 1, num_images: int = 64, seed: int = 0):
        super().__init__("samples", every_n_epochs, num_images, seed)

    def look(self, trainer: Trainer, pl_module: LightningModule) -> tuple[Float[Tensor, "N C H W"], int | None]:
        return self.images(pl_module)

    def draw(self, seen: tuple[Float[Tensor, "N C H W"], int | None], context: str) -> Drawing:
        rows = "" if seen[1] is None else ", a row a label"
        return Drawing(with_caption(sample_grid(*seen), f"samples from the prior{rows}", context))
