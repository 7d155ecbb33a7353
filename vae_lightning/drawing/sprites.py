"""The one large picture from which TensorBoard's projector cuts its thumbnails."""

import math

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from vae_lightning.drawing.shown import drawable

_CHUNK = 1024  # images shrunk at a time: bounds the memory


def sprite_sheet(
    images: UInt8[Tensor, "N C H W"], limit: int = 8192
) -> tuple[UInt8[np.ndarray, "height width 3"], tuple[int, int]]:
    """All images in reading order, ceil(sqrt(N)) a side, black where there is none.

    Args:
        images: `[N, C, H, W]`; of its channels those that `drawable` chooses.
        limit: longest side of the sheet; the thumbnails are shrunk to keep it. TensorBoard's is 8192 px.

    Returns:
        The sheet, and the (width, height) of one thumbnail.

    Raises:
        ValueError: there are no images, or more than a pixel each would fit.
    """
    images = drawable(images)
    num_images = len(images)
    cells = math.isqrt(num_images - 1) + 1
    if cells > limit:
        raise ValueError(f"images must be at most {limit**2} for a sheet of {limit} px, got {num_images}")
    height, width = _size(images.shape[2], images.shape[3], limit // cells)
    sheet = np.zeros((cells * cells, height, width, 3), dtype=np.uint8)
    for start in range(0, num_images, _CHUNK):
        thumbnails = _shrunk(images[start : start + _CHUNK].cpu(), (height, width))
        sheet[start : start + len(thumbnails)] = thumbnails.permute(0, 2, 3, 1).numpy()
    rows = sheet.reshape(cells, cells, height, width, 3).swapaxes(1, 2)
    return rows.reshape(cells * height, cells * width, 3), (width, height)


def _size(height: int, width: int, longest: int) -> tuple[int, int]:
    shrink = min(1.0, longest / max(height, width))
    return max(1, int(height * shrink)), max(1, int(width * shrink))


def _shrunk(images: UInt8[Tensor, "N C h w"], size: tuple[int, int]) -> UInt8[Tensor, "N C height width"]:
    if images.shape[2:] == torch.Size(size):
        return images
    small = interpolate(images.float(), size=size, mode="bilinear", antialias=True)
    return small.round().clamp(0, 255).to(torch.uint8)
