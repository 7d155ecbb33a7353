"""Pictures at their places in the plane: a map of images that have no labels."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import interpolate

from vae_lightning.drawing.captions import BACKGROUND, with_caption, with_note

_LARGEST, _SMALLEST = 64, 32  # sides of the thumbnails
_COVERED = 0.2  # of a thumbnail's side, at most, by another
_DOT = 128
_MARGIN = 8


def thumbnail_map(
    points: Float[np.ndarray, "N 2"], images: UInt8[Tensor, "N C H W"], title: str, context: str, side: int = 1200
) -> UInt8[np.ndarray, "height width 3"]:
    """Each image at its point, as many as fit without covering one another; the others are faint dots.

    Args:
        points: places in the plane, the second coordinate upwards; points that are not finite are left out.
        images: C = 1 (grey) or 3 (RGB); large ones are shrunk.
        title: of the picture.
        context: what it was made from.
        side: longer one of the map in pixels, without caption and note.

    Raises:
        ValueError: there are no images, C is neither 1 nor 3, or no point is finite.
    """
    if len(images) == 0 or images.shape[1] not in (1, 3):
        raise ValueError(f"images must be at least one, with 1 or 3 channels, got shape {tuple(images.shape)}")
    known = np.flatnonzero(np.isfinite(points).all(axis=1))
    if not len(known):
        raise ValueError("points must be finite, but none is")
    height, width = _size(len(known), images.shape[2], images.shape[3], side)
    corners = _corners(points[known], side, height, width)
    chosen = _uncovered(corners, height, width)
    right, bottom = (corners.max(axis=0) + np.array([width, height]) + _MARGIN).tolist()
    ground = _dots(np.delete(corners, chosen, axis=0) + np.array([width / 2, height / 2]), bottom, right)
    thumbnails = _thumbnails(images[torch.from_numpy(known[chosen])], (height, width))
    for thumbnail, (x, y) in zip(thumbnails, corners[chosen], strict=True):
        ground[y : y + height, x : x + width] = thumbnail
    note = f"{len(chosen):,} of {len(images):,} images, where they don't cover one another; dots for the others"
    return with_caption(with_note(ground, note), title, context)


def _size(num_images: int, height: int, width: int, side: int) -> tuple[int, int]:
    """Of a thumbnail: smaller when there are many, enlarged by whole numbers only."""
    wanted = min(_LARGEST, max(_SMALLEST, int(side / math.sqrt(num_images))))
    longest = max(height, width)
    factor = wanted // longest if longest <= wanted else wanted / longest
    return max(1, round(height * factor)), max(1, round(width * factor))


def _corners(points: Float[np.ndarray, "N 2"], side: int, height: int, width: int) -> Int[np.ndarray, "N 2"]:
    """Upper left corners (x, y) on the canvas, the axes' scale being the same."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = side - max(height, width) - 2 * _MARGIN
    scale = room / max((high - low).max(), 1e-12)
    from_upper_left = np.stack([points[:, 0] - low[0], high[1] - points[:, 1]], axis=1)
    return np.round(scale * from_upper_left).astype(np.int64) + _MARGIN


def _uncovered(corners: Int[np.ndarray, "N 2"], height: int, width: int) -> list[int]:
    """Greedily, in order: those that cover no earlier one by more than a little."""
    cells = corners / ((1 - _COVERED) * np.array([width, height]))
    taken: dict[tuple[int, int], tuple[float, float]] = {}
    chosen = []
    for index, (x, y) in enumerate(cells.tolist()):
        column, row = int(x), int(y)
        around = (taken.get((column + right, row + down)) for right in (-1, 0, 1) for down in (-1, 0, 1))
        if all(other is None or abs(other[0] - x) >= 1 or abs(other[1] - y) >= 1 for other in around):
            taken[column, row] = (x, y)
            chosen.append(index)
    return chosen


def _dots(centres: Float[np.ndarray, "N 2"], height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
    canvas = Image.new("L", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for x, y in centres.tolist():
        draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=_DOT)
    return np.array(canvas.convert("RGB"))


def _thumbnails(images: UInt8[Tensor, "N C H W"], size: tuple[int, int]) -> UInt8[np.ndarray, "N height width 3"]:
    images = images.float() / 255
    shrinks = size[0] < images.shape[2]
    images = interpolate(images, size=size, mode="bicubic" if shrinks else "nearest", antialias=shrinks)
    levels = images.clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
