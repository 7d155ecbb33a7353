"""Small images in RAM brought to the wanted size."""

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
    return _fitted(images.unsqueeze(1), frame_of(image_size), fit)[:, 0].unsqueeze(3).expand(-1, -1, -1, channels)


def rgb_pixels(images: UInt8[Tensor, "N h w 3"], image_size: ImageSize, fit: Fit = "crop") -> UInt8[Tensor, "N H W 3"]:
    """The images fitted into the frame as `grey_pixels` does it, each channel by itself."""
    return _fitted(images.permute(0, 3, 1, 2), frame_of(image_size), fit).permute(0, 2, 3, 1)


def _fitted(images: UInt8[Tensor, "N C h w"], frame: tuple[int, int], fit: Fit) -> UInt8[Tensor, "N C H W"]:
    size = images.shape[2], images.shape[3]
    if fit == "tile":
        check_tile(size, frame)
        return _middle(images, frame)
    if fit == "crop":
        images = _middle(images, cropped_size(size, frame))
    if fit != "pad":
        return images if images.shape[2:] == frame else _resized(images, frame)
    inner = inner_size(size, frame)
    whole = images if images.shape[2:] == inner else _resized(images, inner)
    if inner == frame:
        return whole
    left, top, right, bottom = middle(frame, inner)
    padded = _empty(images, frame).zero_()
    padded[..., top:bottom, left:right] = whole
    return padded


def _middle(images: UInt8[Tensor, "N C h w"], part: tuple[int, int]) -> UInt8[Tensor, "N C H W"]:
    left, top, right, bottom = middle((images.shape[2], images.shape[3]), part)
    return images[..., top:bottom, left:right]


def _resized(images: UInt8[Tensor, "N C h w"], size: tuple[int, int]) -> UInt8[Tensor, "N C H W"]:
    pixels = _empty(images, size)
    for source, target in zip(images.split(_CHUNK), pixels.split(_CHUNK), strict=True):
        target[:] = interpolate(source, size, mode="bicubic", antialias=True)
    return pixels


def _empty(images: UInt8[Tensor, "N C h w"], size: tuple[int, int]) -> UInt8[Tensor, "N C H W"]:
    # The channels of a pixel beside each other: loaders copy whole images in that order.
    return torch.empty(*images.shape[:2], *size, dtype=torch.uint8, memory_format=torch.channels_last)
