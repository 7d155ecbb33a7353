"""Whether there is anything to learn of images: pixels of one value teach nothing, and a crop may leave no others."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_lightning.data.loader import ImageSet

_MOST_IMAGES = 2000  # looked at, spread evenly: how many there are does not matter for what they are
_MOST_BYTES = 500_000_000
_CHUNK_BYTES = 16_000_000
_SLIGHT = 1.0  # levels of 255


@dataclass(frozen=True)
class Variety:
    """What the pixels of a set of images are, by a sample of it.

    Attributes:
        num_images: that were looked at.
        deviation: of the channel that varies most, over all pixels of these, in levels of 255.
        lowest, highest: levels.
        one_coloured: the indices of the images that have one colour throughout.
    """

    num_images: int
    deviation: float
    lowest: int
    highest: int
    one_coloured: tuple[int, ...]

    @property
    def is_nearly_constant(self) -> bool:
        """Whether all pixels are one colour but for less than a level."""
        return self.deviation < _SLIGHT


def variety_of(images: ImageSet) -> Variety:
    """Look at 2,000 of the images, spread evenly, or at all where there are fewer; at fewer where they are large."""
    image_bytes = math.prod(images.image_shape)
    number = max(1, min(len(images), _MOST_IMAGES, _MOST_BYTES // image_bytes))
    looked_at = torch.arange(number) * len(images) // number
    lowest, highest, one_coloured, moments = 255, 0, list[int](), list[tuple[Tensor, Tensor]]()
    for indices in looked_at.split(max(1, _CHUNK_BYTES // image_bytes)):
        pixels = images.images(indices).flatten(2)
        low, high = pixels.aminmax(dim=2)
        lowest, highest = min(lowest, int(low.min())), max(highest, int(high.max()))
        one_coloured += indices[(low == high).all(1)].tolist()
        moments.append(torch.var_mean(pixels.float(), dim=2, correction=0))
    within, means = (torch.cat(of_images).double() for of_images in zip(*moments, strict=True))
    variance = within.mean(0) + means.var(0, correction=0)
    return Variety(number, float(variance.max().sqrt()), lowest, highest, tuple(one_coloured))
