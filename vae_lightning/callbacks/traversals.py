"""What each latent dimension does to an image."""

import math
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, UInt8
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.callbacks.examples import example_latents
from vae_lightning.callbacks.pictures import Drawing, FixedPictureCallback, PictureModel
from vae_lightning.drawing.gifs import encode_gif
from vae_lightning.drawing.walks import traversal_frames, traversal_picture
from vae_lightning.errors import require_at_least, require_frame_duration
from vae_lightning.latents.encoding import decode
from vae_lightning.latents.paths import traversals
from vae_lightning.latents.units import unit_statistics

Centre = Literal["image", "prior"]
_TITLES = {"image": "traversals around a validation image", "prior": "traversals around the prior's mean"}


class _Walk(NamedTuple):
    images: Float[Tensor, "R N C H W"]
    dims: list[int]
    rates: list[float]


class Traversals(FixedPictureCallback):
    """Draws a row a latent dimension, those with the most KL first, in which it alone is varied.

    A grid, and a looping GIF of all rows at once; `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last; None: after the last only.
        num_dims: at most so many dimensions.
        num_columns: how many values of each.
        limit: the values run from -limit to limit.
        centre: where all other dimensions stay: `image`, at the posterior mean of a validation image, the same one
            every time; or `prior`, at the prior's mean.
        num_images: the KL of a dimension is its mean over at most so many validation images.
        frame_ms: how long a frame of the GIF stays.

    Raises:
        ValueError: an unknown centre, a `limit` that is not positive, `num_columns` below 2, `frame_ms` below 20, or
            another number below 1.
    """

    fixed_are = "images"

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

    def choose(self, trainer: Trainer, vae: PictureModel) -> UInt8[Tensor, "1 C H W"]:
        return trainer.datamodule.examples(1).images

    def look(self, trainer: Trainer, pl_module: LightningModule) -> _Walk | None:
        vae = pl_module.vae
        latents = example_latents(trainer, pl_module, self.num_images)
        if latents is None:
            return None
        statistics = unit_statistics(latents, vae.prior())
        dims = statistics.by_rate[: self.num_dims]
        z = traversals(self._centre(vae, pl_module.device), dims, self.values.to(pl_module.device))
        images = decode(vae, z.flatten(0, 1), trainer.datamodule.eval_batch_size).unflatten(0, z.shape[:2])
        return _Walk(images, dims, statistics.rate[dims].tolist())

    def draw(self, seen: _Walk, context: str) -> Drawing:
        values, title = self.values.tolist(), _TITLES[self.centre]
        frames = traversal_frames(*seen, values, title, context)
        picture = traversal_picture(*seen, values, title, context)
        return Drawing(picture, encode_gif(frames, self.frame_ms, self.frame_ms))

    def _centre(self, vae: PictureModel, device: torch.device) -> Float[Tensor, " D"]:
        if self.centre == "prior":
            return vae.prior().mean
        return vae.encode(self.fixed_on(device).float() / 255).mean[0]
