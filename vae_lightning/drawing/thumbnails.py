"""Pictures at their places in the plane: a map of images that have no labels."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from vae_lightning.drawing.captions import BACKGROUND
from vae_lightning.drawing.sheets import Captioned, Layout, Named, Noted, Raster
from vae_lightning.drawing.shown import drawable

_LARGEST, _SMALLEST = 96, 28  # sides of the thumbnails
_MOST = 2500  # which make a map of 2,100 px
_TAKEN = 0.5  # of the map, by thumbnails: the shape of the cloud is seen, and no image is far from its place
_NARROWEST = 0.4  # of the map, in lengths of its longer side
_GAP = 2
_MARGIN = 8
_PAPER = 255


def thumbnail_map(
    points: Float[np.ndarray, "N 2"],
    images: UInt8[Tensor, "N C H W"],
    title: str,
    context: str,
    axes: tuple[str, str] | None = None,
    side: int = 1200,
) -> Layout:
    """All images, each whole and as near to its point as a free place is: from the middle of the cloud outwards, so
    that what is crowded spreads and neighbours stay neighbours.

    Args:
        points: places in the plane, the second coordinate upwards; points that are not finite are left out.
        images: of their channels those that `drawable` chooses; large ones are shrunk. Of more than 2,500 every k-th is
            shown.
        title: of the picture.
        context: what it was made from.
        axes: what the coordinates are; None where they mean nothing.
        side: of a square in pixels that the map is as large as, texts aside; larger where not all images would fit.

    Raises:
        ValueError: there are no images, or no point is finite.
    """
    images = drawable(images)
    known = np.flatnonzero(np.isfinite(points).all(axis=1))
    if not len(known):
        raise ValueError("points must be finite, but none is")
    shown = known[:: math.ceil(len(known) / _MOST)]
    narrowness = _narrowness(points[shown])
    size = _size(len(shown), images.shape[2:], math.sqrt(_TAKEN / len(shown)) * side - _GAP)
    step = np.array(size[::-1]) + _GAP
    area = max(side**2, len(shown) * step.prod() / _TAKEN)
    places = _places(points[shown], math.sqrt(area / narrowness), narrowness, step)
    thumbnails = _thumbnails(images[torch.from_numpy(shown)], size)
    picture: Layout = Raster(_paste(thumbnails, places, BACKGROUND), _paste(thumbnails, places, _PAPER))
    if axes is not None:
        picture = Named(picture, f"{axes[0]} →", f"{axes[1]} →")
    which = "all images" if len(shown) == len(images) else f"{len(shown):,} of {len(images):,} images"
    note = f"{which}, each in the free place nearest to its point, from the middle outwards"
    return Captioned(Noted(picture, note), title, context)


def _narrowness(points: Float[np.ndarray, "N 2"]) -> float:
    """How long the shorter side of the map is, in lengths of the longer one."""
    width, height = np.ptp(points, axis=0).tolist()
    return max(_NARROWEST, min(width, height) / max(width, height, 1e-12)) if max(width, height) > 0 else 1.0


def _size(num_images: int, of_image: torch.Size, wanted: float) -> tuple[int, int]:
    """Of a thumbnail: about as large as is wanted, small images enlarged by whole numbers only."""
    height, width = of_image
    longest = max(height, width)
    wanted = min(_LARGEST, max(_SMALLEST, wanted))
    factor = wanted // longest if longest <= wanted else wanted / longest
    return max(1, round(height * factor)), max(1, round(width * factor))


def _places(
    points: Float[np.ndarray, "N 2"], length: float, narrowness: float, step: Int[np.ndarray, " 2"]
) -> Int[np.ndarray, "N 2"]:
    """Upper left corners (x, y), all on a grid whose cells are of that step, the axes' scale being the same."""
    extent = np.ptp(points, axis=0)
    is_wide = extent[0] >= extent[1]
    of_map = np.array([length, narrowness * length] if is_wide else [narrowness * length, length])
    cells = np.ceil(of_map / step).astype(np.int64)
    while cells.prod() < len(points):  # where rounding takes what narrow maps of few images need
        cells += 1
    room = (cells - 1) * step
    scale = min(room[axis] / extent[axis] if extent[axis] > 0 else math.inf for axis in (0, 1))
    centred = (points - (points.min(axis=0) + points.max(axis=0)) / 2) * [1, -1]  # rows are counted downwards
    wanted = (centred * (scale if math.isfinite(scale) else 0) + room / 2) / step
    return _nearest_free(wanted, cells) * step


def _nearest_free(wanted: Float[np.ndarray, "N 2"], cells: Int[np.ndarray, " 2"]) -> Int[np.ndarray, "N 2"]:
    free = np.stack(np.meshgrid(*map(np.arange, cells.tolist()), indexing="ij"), axis=-1).reshape(-1, 2).astype(float)
    found = np.empty_like(wanted)
    from_middle = np.linalg.norm(wanted - np.median(wanted, axis=0), axis=1)
    for index in np.argsort(from_middle, kind="stable"):
        nearest = int(np.square(free - wanted[index]).sum(axis=1).argmin())
        found[index] = free[nearest]
        free[nearest] = math.inf
    return found.astype(np.int64)


def _paste(
    thumbnails: UInt8[np.ndarray, "N h w 3"], corners: Int[np.ndarray, "N 2"], ground: int
) -> UInt8[np.ndarray, "height width 3"]:
    _, height, width, _ = thumbnails.shape
    corners = corners - corners.min(axis=0) + _MARGIN
    right, bottom = (corners.max(axis=0) + np.array([width, height]) + _MARGIN).tolist()
    picture = np.full((bottom, right, 3), ground, dtype=np.uint8)
    for thumbnail, (x, y) in zip(thumbnails, corners.tolist(), strict=True):
        picture[y : y + height, x : x + width] = thumbnail
    return picture


def _thumbnails(images: UInt8[Tensor, "N C H W"], size: tuple[int, int]) -> UInt8[np.ndarray, "N height width 3"]:
    images = images.float() / 255
    shrinks = size < tuple(images.shape[2:])  # by one factor, which rounding may hide on the shorter side
    images = interpolate(images, size=size, mode="bicubic" if shrinks else "nearest", antialias=shrinks)
    levels = images.clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
