"""What training gets of a set of images, to be looked at."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.data.loader import seeded_generator

_MOST_VALUES = 200_000_000  # pixels that are counted
_MOST_IMAGES = 2000
_CHUNK = 100


@dataclass(frozen=True)
class Preview:
    """A look at the training images as a model is given them: fitted, flipped, augmented and binarized.

    Attributes:
        images: a few, in [0, 1].
        levels: how many pixels of each channel have each of the 256 levels, over `num_counted` images.
        num_counted: these few and others, drawn by the seed.
    """

    images: Float32[Tensor, "N C H W"]
    levels: Int64[Tensor, "C 256"]
    num_counted: int

    @property
    def mean(self) -> float:
        """Of all pixels that were counted, in levels."""
        return float((self.levels.double() @ torch.arange(256.0, dtype=torch.float64)).sum() / self.levels.sum())

    @property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest level there is."""
        found = self.levels.sum(0).nonzero()
        return int(found.min()), int(found.max())


def preview(data: ImageDataModule, num_images: int) -> Preview:
    """Look at images of the training split, which are drawn by the data's seed.

    Flips, augmentations and the binarization are drawn from PyTorch's global generator, as in training.
    """
    images = data.splits["train"]
    order = torch.randperm(len(images), generator=seeded_generator("preview", data.seed))
    order = order[: max(num_images, min(_MOST_IMAGES, _MOST_VALUES // math.prod(images.image_shape)))]
    channels, shown = data.image_shape[0], list[Tensor]()
    levels = torch.zeros(channels, 256, dtype=torch.int64)
    for indices in order.split(_CHUNK):
        given = data.training_images(images.images(indices))
        if sum(map(len, shown)) < num_images:
            shown.append(given)
        whole = given.mul(255).round().to(torch.int64).transpose(0, 1).flatten(1)
        levels += torch.stack([values.bincount(minlength=256) for values in whole])
    return Preview(torch.cat(shown)[:num_images].contiguous(), levels, len(order))
