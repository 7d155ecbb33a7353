"""Small grey images in RAM brought to the wanted size."""

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import interpolate

_CHUNK = 1000  # images resized at a time


def grey_pixels(images: UInt8[Tensor, "N h w"], image_size: int, channels: int) -> UInt8[Tensor, "N H W C"]:
    """The images resized (bicubic, antialiased, clamped); `channels` 3 repeats the grey without a copy."""
    pixels = images if images.shape[1:] == (image_size, image_size) else _resized(images, image_size)
    return pixels.unsqueeze(3).expand(-1, -1, -1, channels)


def _resized(images: Tensor, image_size: int) -> Tensor:
    pixels = torch.empty(len(images), image_size, image_size, dtype=torch.uint8)
    for source, target in zip(images.split(_CHUNK), pixels.split(_CHUNK), strict=True):
        size = (image_size, image_size)
        target[:] = interpolate(source.unsqueeze(1), size, mode="bicubic", antialias=True).squeeze(1)
    return pixels
