"""The whole of a 2-D latent space at a glance."""

import logging
from typing import NamedTuple

from jaxtyping import Float
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.callbacks.pictures import Drawing, PictureCallback
from vae_lightning.drawing.walks import manifold_picture
from vae_lightning.errors import require_at_least
from vae_lightning.latents.classes import one_label
from vae_lightning.latents.encoding import decode
from vae_lightning.latents.paths import manifold, why_no_manifold
from vae_lightning.models.latent_model import LatentModel

log = logging.getLogger("vae_lightning")

_PLANE = 2


class _Plane(NamedTuple):
    images: Float[Tensor, "n n C H W"]
    values: list[float]
    of: str


class Manifold(PictureCallback):
    """Draws the images at the quantiles of a 2-D prior N(0, I), of a model with labels those of label 0; else nothing.

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
        vae: LatentModel = pl_module.vae
        reason = why_no_manifold(vae)
        if reason is not None:
            if vae.latent_dim == _PLANE:  # else nobody expects one
                log.info("callbacks.%s: nothing is drawn, for it %s", self.name, reason)
            return None
        z, values = manifold(self.num_points)
        labels = one_label(vae, 0, z.shape[:2].numel(), pl_module.device)
        z_on_device, batch_size = z.flatten(0, 1).to(pl_module.device), trainer.datamodule.eval_batch_size
        images = decode(vae, z_on_device, labels, batch_size=batch_size).unflatten(0, z.shape[:2])
        return _Plane(images, values.tolist(), "" if labels is None else ", label 0")

    def draw(self, seen: _Plane, context: str) -> Drawing:
        images, values, of = seen
        return Drawing(manifold_picture(images, values, f"images over the latent plane{of}", context))
