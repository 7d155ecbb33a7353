"""The whole of a 2-D latent space at a glance."""

from typing import NamedTuple

from jaxtyping import Float
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.callbacks.pictures import Drawing, PictureCallback
from vae_lightning.drawing.walks import manifold_picture
from vae_lightning.errors import require_at_least
from vae_lightning.latents.encoding import decode
from vae_lightning.latents.paths import manifold


class _Plane(NamedTuple):
    images: Float[Tensor, "n n C H W"]
    values: list[float]


class Manifold(PictureCallback):
    """Draws the images at the Gaussian quantiles of a 2-D latent space; of any other nothing.

    Kingma & Welling, arXiv 1312.6114, figure 4. `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last; None: after the last only.
        num_points: the picture is of num_points x num_points images.

    Raises:
        ValueError: `every_n_epochs` or `num_points` is below 1.
    """

    def __init__(self, every_n_epochs: int | None = 10, num_points: int = 20):
        super().__init__("manifold", every_n_epochs)
        require_at_least("num_points", num_points, 1)
        self.num_points = num_points

    def look(self, trainer: Trainer, pl_module: LightningModule) -> _Plane | None:
        if tuple(pl_module.vae.prior().event_shape) != (2,):
            return None
        z, values = manifold(self.num_points)
        images = decode(pl_module.vae, z.flatten(0, 1).to(pl_module.device), trainer.datamodule.eval_batch_size)
        return _Plane(images.unflatten(0, z.shape[:2]), values.tolist())

    def draw(self, seen: _Plane, context: str) -> Drawing:
        return Drawing(manifold_picture(*seen, "images over the latent plane", context))
