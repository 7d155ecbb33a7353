"""Images in rows and columns: tensors in, picture out."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vae_lightning.figures.captions import BACKGROUND, with_caption

_COMFORTABLE_SIDE = 96  # smaller images are enlarged by the largest integer that stays within it


def image_grid(
    images: Float[Tensor, "N C H W"], columns: int, scale: int | None = None, padding: int = 2
) -> UInt8[np.ndarray, "height width 3"]:
    """Images in [0, 1] in reading order on a dark grey ground; values outside are clamped, NaN is black.

    Args:
        images: `[N, C, H, W]` with C = 1 (grey) or 3 (RGB).
        columns: images in a row, at most.
        scale: whole-number enlargement without smoothing; by default 28 px become 84, and 64 px stay.
        padding: pixels between the images and around them.

    Raises:
        ValueError: there are no images, C is neither 1 nor 3, or `columns` or `scale` is below 1.
    """
    tiles = _tiles(images, scale)
    columns = _at_most(len(tiles), columns)
    cells = [divmod(index, columns) for index in range(len(tiles))]
    return _arrange(tiles, cells, row_gaps=[0] * len(tiles), padding=padding)


def comparison_grid(
    originals: Float[Tensor, "N C H W"],
    reconstructions: Float[Tensor, "N C H W"],
    columns: int,
    scale: int | None = None,
    padding: int = 2,
) -> UInt8[np.ndarray, "height width 3"]:
    """Rows of originals, each right above the row of its reconstructions, pairs set apart, with a caption.

    Arguments and errors are those of `image_grid`.
    """
    tiles = np.concatenate([_tiles(originals, scale), _tiles(reconstructions, scale)])
    columns = _at_most(len(originals), columns)
    places = [divmod(index, columns) for index in range(len(originals))]
    cells = [(2 * row + lower, column) for lower in (0, 1) for row, column in places]
    gap = max(8, 4 * padding)
    grid = _arrange(tiles, cells, row_gaps=[gap * (row // 2) for row, _ in cells], padding=padding)
    return with_caption(grid, "input above, reconstruction below")


def _at_most(num_images: int, columns: int) -> int:
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    return min(columns, num_images)


def _tiles(images: Float[Tensor, "N C H W"], scale: int | None) -> UInt8[np.ndarray, "N height width 3"]:
    num_images, channels, height, width = images.shape
    if num_images == 0 or channels not in (1, 3):
        shape = tuple(images.shape)
        raise ValueError(f"images must be at least one, with 1 or 3 channels, got shape {shape}")
    if scale is None:
        scale = max(1, _COMFORTABLE_SIDE // max(height, width))
    if scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
    levels = images.detach().float().nan_to_num(nan=0.0).clamp(0, 1).mul(255).round().to(torch.uint8)
    tiles = levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()
    return tiles.repeat(scale, axis=1).repeat(scale, axis=2)


def _arrange(
    tiles: UInt8[np.ndarray, "N h w 3"],
    cells: Sequence[tuple[int, int]],
    row_gaps: Sequence[int],
    padding: int,
) -> UInt8[np.ndarray, "height width 3"]:
    """Paste each tile into its (row, column), lowered by its row gap."""
    _, height, width, _ = tiles.shape
    tops = [padding + row * (height + padding) + gap for (row, _), gap in zip(cells, row_gaps, strict=True)]
    lefts = [padding + column * (width + padding) for _, column in cells]
    shape = (max(tops) + height + padding, max(lefts) + width + padding, 3)
    picture = np.full(shape, BACKGROUND, dtype=np.uint8)
    for tile, top, left in zip(tiles, tops, lefts, strict=True):
        picture[top : top + height, left : left + width] = tile
    return picture
