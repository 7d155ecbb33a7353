"""Small colour images in RAM brought to the wanted size, and made grey where that is wanted."""

from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.decode import decode_rgb
from vae_lightning.data.fitting import Fit, ImageSize
from vae_lightning.data.resize import grey_pixels, rgb_pixels

_CHUNK = 1000  # images at a time
_LUMA = (19595, 38470, 7471)  # of red, green and blue, in 65,536ths: as Pillow makes grey of colours


def colour_pixels(
    images: UInt8[Tensor, "N h w 3"], image_size: ImageSize, channels: int, fit: Fit = "crop"
) -> UInt8[Tensor, "N H W C"]:
    """The images fitted into the frame as `rgb_pixels` does it; `channels` 1 makes them grey first."""
    if channels == 1:
        return grey_pixels(_grey(images), image_size, 1, fit)
    return rgb_pixels(images, image_size, fit)


def decode_colour(
    path: Path | Image.Image, image_size: ImageSize, channels: int, fit: Fit = "crop"
) -> UInt8[Tensor, "H W C"]:
    """One picture, fitted into the frame as `colour_pixels` does it; raises what Pillow raises."""
    whole = torch.from_numpy(decode_rgb(path).copy())
    return colour_pixels(whole.unsqueeze(0), image_size, channels, fit)[0]


def _grey(images: UInt8[Tensor, "N h w 3"]) -> UInt8[Tensor, "N h w"]:
    grey = torch.empty(images.shape[:3], dtype=torch.uint8)
    for source, target in zip(images.split(_CHUNK), grey.split(_CHUNK), strict=True):
        target[:] = (source.int() * torch.tensor(_LUMA)).sum(3).add(2**15) >> 16
    return grey
