"""Small grey images in RAM brought to the wanted size."""

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from vae_lightning.data.fitting import Fit, ImageSize, check_tile, cropped_size, frame_of, inner_size, middle

_CHUNK = 1000  # images resized at a time


def grey_pixels(
    images: UInt8[Tensor, "N h w"], image_size: ImageSize, channels: int, fit: Fit = "crop"
) -> UInt8[Tensor, "N H W C"]:
    """The images fitted into the frame, see `fitting.fitted`; `channels` 3 repeats the grey without a copy.

    What is resized, is so by bicubic interpolation, antialiased and clamped; what is cropped, by whole pixels.
    """
    return _fitted(images, frame_of(image_size), fit).unsqueeze(3).expand(-1, -1, -1, channels)


def _fitted(images: UInt8[Tensor, "N h w"], frame: tuple[int, int], fit: Fit) -> UInt8[Tensor, "N H W"]:
    size = images.shape[1], images.shape[2]
    if fit == "tile":
        check_tile(size, frame)
        return _middle(images, frame)
    if fit == "crop":
        images = _middle(images, cropped_size(size, frame))
    if fit != "pad":
        return images if images.shape[1:] == frame else _resized(images, frame)
    inner = inner_size(size, frame)
    whole = images if images.shape[1:] == inner else _resized(images, inner)
    if inner == frame:
        return whole
    left, top, right, bottom = middle(frame, inner)
    padded = torch.zeros(len(images), *frame, dtype=torch.uint8)
    padded[:, top:bottom, left:right] = whole
    return padded


def _middle(images: UInt8[Tensor, "N h w"], part: tuple[int, int]) -> UInt8[Tensor, "N H W"]:
    left, top, right, bottom = middle((images.shape[1], images.shape[2]), part)
    return images[:, top:bottom, left:right]


def _resized(images: UInt8[Tensor, "N h w"], size: tuple[int, int]) -> UInt8[Tensor, "N H W"]:
    pixels = torch.empty(len(images), *size, dtype=torch.uint8)
    for source, target in zip(images.split(_CHUNK), pixels.split(_CHUNK), strict=True):
        target[:] = interpolate(source.unsqueeze(1), size, mode="bicubic", antialias=True).squeeze(1)
    return pixels
