"""Where the validation images lie in the latent space, on a plane."""

import logging
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from vae_lightning.callbacks.examples import example_batch, example_latents
from vae_lightning.callbacks.pictures import Drawing, PictureCallback
from vae_lightning.drawing.embeddings import embedding_picture
from vae_lightning.errors import require_at_least
from vae_lightning.latents.embeddings import FEWEST, METHODS, Method, embed
from vae_lightning.models.latent_model import Latents

log = logging.getLogger("vae_lightning")


class Embedding(PictureCallback):
    """Draws the posterior means of validation images on a plane, coloured by label, or as thumbnails without labels.

    `PictureCallback` says when and where; the method is the picture's name.

    Args:
        method: `tsne`; `pca`, the first two principal components; or `plane`, the latents themselves, which draws
            nothing unless they have two dimensions.
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last; None: after the last only.
        num_images: at most so many points.
        seed: of t-SNE.

    Raises:
        ValueError: an unknown method, `every_n_epochs` below 1, `num_images` below 4, or `seed` below 0.
    """

    def __init__(
        self, method: Method = "tsne", every_n_epochs: int | None = None, num_images: int = 2000, seed: int = 0
    ):
        super().__init__(method, every_n_epochs)
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method}")
        require_at_least("num_images", num_images, FEWEST)
        require_at_least("seed", seed, 0)
        self.method = method
        self.num_images = num_images
        self.seed = seed

    def look(self, trainer: Trainer, pl_module: LightningModule) -> tuple[Latents, Any] | None:
        if self.method == "plane" and pl_module.vae.latent_dim != 2:
            return None
        latents = example_latents(trainer, pl_module, self.num_images)
        if latents is None:
            return None
        if len(latents) < FEWEST:
            log.warning("callbacks.%s: %d validation images are too few", self.name, len(latents))
            return None
        return latents, example_batch(trainer, self.num_images)

    def draw(self, seen: tuple[Latents, Any], context: str) -> Drawing:
        latents, batch = seen
        embedding = embed(latents.loc, self.method, self.seed)
        labels = None if batch.labels is None else batch.labels.numpy()
        title = f"{embedding.name} of {len(latents):,} validation images"
        return Drawing(embedding_picture(embedding.points, batch.images, labels, embedding.axes, title, context))
