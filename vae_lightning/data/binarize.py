"""Binarization that stays the same: a Bernoulli draw that is a function of the seed and the image's index."""

from dataclasses import replace

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from vae_lightning.data.loader import ImageSet, seeded_generator
from vae_lightning.noise import indexed_uniform

_CHUNK = 256  # images drawn at a time


def fixed_draw(
    pixels: UInt8[Tensor, "B H W C"], indices: Int64[Tensor, " B"], seed: int, split: str
) -> UInt8[Tensor, "B H W C"]:
    """255 with probability `pixels / 255`, else 0; a function of the pixels, index, seed and split."""
    noise = indexed_uniform(_noise_seed(seed, split), indices, tuple(pixels.shape[1:]))
    return (noise < pixels / 255).to(torch.uint8) * 255


def binarized(images: ImageSet, seed: int, split: str) -> ImageSet:
    """The split with its `fixed_draw` in place of its pixels, in RAM."""
    pixels = torch.empty(len(images), *images.image_shape, dtype=torch.uint8)
    for indices in torch.arange(len(images)).split(_CHUNK):
        pixels[indices] = fixed_draw(images.images(indices).permute(0, 2, 3, 1), indices, seed, split)
    return replace(images, pixels=pixels, rows=torch.arange(len(images)), pages=None, packed_channels=None)


def _noise_seed(seed: int, split: str) -> int:
    # Splits share indices but must not share noise, nor share z's, which starts from the same run seed.
    return seeded_generator("binarize", seed, split).initial_seed()
