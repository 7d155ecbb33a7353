"""What each latent dimension does to an image."""

import math
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int64
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.callbacks.examples import example_latents
from vae_lightning.callbacks.pictures import Drawing, FixedPictureCallback
from vae_lightning.data.loader import ImageBatch
from vae_lightning.drawing.gifs import encode_gif
from vae_lightning.drawing.walks import traversal_frames, traversal_picture
from vae_lightning.errors import require_at_least, require_frame_duration
from vae_lightning.latents.encoding import decode
from vae_lightning.latents.paths import prior_spread, traversals
from vae_lightning.latents.units import unit_statistics
from vae_lightning.models.latent_model import LatentModel

Centre = Literal["image", "prior"]
_TITLES = {"image": "traversals around a validation image", "prior": "traversals around the prior's mean"}


class _Walk(NamedTuple):
    images: Float[Tensor, "R N C H W"]
    dims: list[int]
    rates: list[float]
    in_deviations: bool


class Traversals(FixedPictureCallback):
    """Draws a row a latent dimension, those with the most KL first, in which it alone is varied.

    A grid, and a looping GIF of all rows at once; `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last; None: after the last only.
        num_dims: at most so many dimensions.
        num_columns: how many values of each.
        limit: the values run from -limit to limit, in standard deviations of the prior from its mean.
        centre: where all other dimensions stay: `image`, at the posterior mean of a validation image, the same one
            every time; or `prior`, at the prior's mean.
        num_images: the KL of a dimension is its mean over at most so many validation images.
        frame_ms: how long a frame of the GIF stays.

    Raises:
        ValueError: an unknown centre, a `limit` that is not positive, `num_columns` below 2, `frame_ms` below 20, or
            another number below 1.
    """

    def __init__(
        self,
        every_n_epochs: int | None = 10,
        num_dims: int = 10,
        num_columns: int = 11,
        limit: float = 3.0,
        centre: Centre = "image",
        num_images: int = 2000,
        frame_ms: int = 120,
    ):
        super().__init__("traversals", every_n_epochs, chosen_by={})
        if centre not in get_args(Centre):
            raise ValueError(f"centre must be one of {', '.join(get_args(Centre))}, got {centre}")
        if not 0 < limit < math.inf:
            raise ValueError(f"limit must be positive and finite, got {limit}")
        least = {"num_dims": (num_dims, 1), "num_columns": (num_columns, 2), "num_images": (num_images, 1)}
        for name, (value, smallest) in least.items():
            require_at_least(name, value, smallest)
        require_frame_duration("frame_ms", frame_ms)
        self.num_dims = num_dims
        self.values = torch.linspace(-limit, limit, num_columns)
        self.centre = centre
        self.num_images = num_images
        self.frame_ms = frame_ms

    def choose(self, data: Any) -> ImageBatch:
        return data.examples(1)

    def look(self, trainer: Trainer, pl_module: LightningModule) -> _Walk | None:
        vae: LatentModel = pl_module.vae
        latents = example_latents(trainer, pl_module, self.num_images)
        if latents is None:
            return None
        statistics = unit_statistics(latents)
        dims = statistics.by_rate[: self.num_dims]
        label = self.told_on(pl_module)
        spread = prior_spread(vae, pl_module.device)
        centre = spread.mean if self.centre == "prior" else self._of_image(vae, label, pl_module.device)
        z = traversals(centre, dims, self.values.to(pl_module.device), spread)
        told = None if label is None else label.expand(z.shape[:2].numel())
        images = decode(vae, z.flatten(0, 1), told, batch_size=trainer.datamodule.eval_batch_size)
        return _Walk(images.unflatten(0, z.shape[:2]), dims, statistics.rate[dims].tolist(), not spread.is_unit)

    def draw(self, seen: _Walk, context: str) -> Drawing:
        values, title = self.values.tolist(), _TITLES[self.centre]
        shown = seen.images, seen.dims, seen.rates, values, title, context, seen.in_deviations
        frames, picture = traversal_frames(*shown), traversal_picture(*shown)
        return Drawing(picture, encode_gif(frames, self.frame_ms, self.frame_ms))

    def _of_image(
        self, vae: LatentModel, label: Int64[Tensor, " 1"] | None, device: torch.device
    ) -> Float[Tensor, " D"]:
        return vae.encode(self.fixed_on(device).float() / 255, label).loc[0]
