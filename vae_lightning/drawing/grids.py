"""Images in rows and columns: tensors in, picture out."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vae_lightning.drawing.captions import BACKGROUND
from vae_lightning.drawing.lettering import text_width
from vae_lightning.drawing.sheets import Captioned, Layout
from vae_lightning.drawing.shown import drawable
from vae_lightning.drawing.tables import ImageTable, Labels, above

_COMFORTABLE_SIDE = 96  # smaller images are enlarged by the largest integer that stays within it
_EDGE = 3
_NAME_SIZE = 11


def image_grid(
    images: Float[Tensor, "N C H W"], columns: int, scale: int | None = None, padding: int = 2
) -> UInt8[np.ndarray, "height width 3"]:
    """Images in [0, 1] in reading order on a dark grey ground; values outside are clamped, NaN is black.

    Args:
        images: `[N, C, H, W]`; of its channels those that `drawable` chooses.
        columns: images in a row, at most.
        scale: whole-number enlargement without smoothing; by default 28 px become 84, and 64 px stay.
        padding: pixels between the images and around them.

    Raises:
        ValueError: there are no images, or `columns` or `scale` is below 1.
    """
    return grid_of(images, columns, scale, padding).pixels()


def grid_of(images: Float[Tensor, "N C H W"], columns: int, scale: int | None = None, padding: int = 2) -> ImageTable:
    """`image_grid` before it is drawn."""
    tiles, scale = _tiles(images, scale)
    columns = _at_most(len(tiles), columns)
    return ImageTable(tiles, [divmod(index, columns) for index in range(len(tiles))], scale, padding)


def sample_grid(images: Float[Tensor, "N C H W"], labels: Sequence[str] | None = None) -> ImageTable:
    """Images in a picture that is nearly a square; or with image n in the row of label n modulo their number.

    A row that would be far longer than the picture is high is broken into several, of which the first one is labelled.

    Raises:
        ValueError: as for `image_grid`.
    """
    height, width = images.shape[-2:]
    square = math.ceil(math.sqrt(len(images) * height / width))
    if labels is None:
        return grid_of(images, columns=square)
    of_each = math.ceil(len(images) / len(labels))
    num_lines = max(1, round(of_each / square))
    columns = math.ceil(of_each / num_lines)
    tiles, scale = _tiles(images, None)
    places = [divmod(index, len(labels)) for index in range(len(images))]  # which of its label's, and which label
    cells = [(label * num_lines + number // columns, number % columns) for number, label in places]
    named = [name for label in labels for name in (label, *[""] * (num_lines - 1))]
    ends = range(num_lines - 1, len(named) - 1, num_lines) if num_lines > 1 else ()
    return ImageTable(tiles, cells, scale, gaps_after_rows=ends, labels=Labels(left=named))


def comparison_grid(
    originals: Float[Tensor, "N C H W"],
    reconstructions: Float[Tensor, "N C H W"],
    columns: int,
    scale: int | None = None,
    padding: int = 2,
    context: str = "",
) -> Layout:
    """Rows of originals, each right above the row of its reconstructions, pairs set apart, with a caption.

    Arguments and errors are those of `image_grid`; the context is that of `Captioned`.
    """
    (above, scale), (below, _) = _tiles(originals, scale), _tiles(reconstructions, scale)
    columns = _at_most(len(originals), columns)
    places = [divmod(index, columns) for index in range(len(originals))]
    cells = [(2 * row + lower, column) for lower in (0, 1) for row, column in places]
    pairs = range(1, 2 * places[-1][0], 2)
    grid = ImageTable(np.concatenate([above, below]), cells, scale, padding, gaps_after_rows=pairs)
    return Captioned(grid, "input above, reconstruction at its posterior mean below", context)


def named_grid(
    images: Float[Tensor, "N C H W"], names: Sequence[str], columns: int, scale: int | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """Images in reading order, each under its name.

    Args:
        images: as for `image_grid`.
        names: one for each image; the images are set apart where the names need it.
        columns: images in a row, at most.
        scale: as for `image_grid`.

    Raises:
        ValueError: as for `image_grid`, or the names are more or fewer than the images.
    """
    small, scale = _tiles(images, scale)
    tiles = small.repeat(scale, axis=1).repeat(scale, axis=2)
    if len(names) != len(tiles):
        raise ValueError(f"names must be {len(tiles)}, got {len(names)}")
    columns = _at_most(len(tiles), columns)
    width = max(tiles.shape[2], *(math.ceil(text_width(name, _NAME_SIZE)) + 2 * _EDGE for name in names))
    before = (width - tiles.shape[2]) // 2
    sides = ((0, 0), (0, 0), (before, width - tiles.shape[2] - before), (0, 0))
    heads = np.concatenate([above([name], [width / 2], width, [_NAME_SIZE])[None] for name in names])
    cells = np.concatenate([heads, np.pad(tiles, sides, constant_values=BACKGROUND)], axis=1)
    return ImageTable(cells, [divmod(index, columns) for index in range(len(cells))], padding=4).pixels()


def image_table(
    images: Float[Tensor, "R N C H W"],
    *,
    left: Sequence[str] | None = None,
    right: Sequence[str] | None = None,
    top: Sequence[str] | None = None,
    gaps_after_columns: Sequence[int] = (),
    gaps_after_rows: Sequence[int] = (),
    scale: int | None = None,
    padding: int = 2,
) -> UInt8[np.ndarray, "height width 3"]:
    """Rows and columns of images with labels beside the rows and above the columns.

    Labels wider than their columns, or higher than their rows, are set smaller; where that is not enough,
    every second, every third, ... is drawn. The picture is widened rather than a label cut off.

    Args:
        images: `[R, N, C, H, W]`, in [0, 1], as for `image_grid`.
        left: a label for each of the R rows; an empty one leaves its row bare.
        right: likewise.
        top: a label for each of the N columns.
        gaps_after_columns: columns, counted from 0, after which a gap sets groups apart.
        gaps_after_rows: likewise for rows.
        scale: as for `image_grid`.
        padding: pixels between the images and around them.

    Raises:
        ValueError: there are no images, `scale` is below 1, there are more or fewer labels
            than rows or columns, or a gap after a row or column that is not there.
    """
    gaps = {"gaps_after_columns": gaps_after_columns, "gaps_after_rows": gaps_after_rows}
    return table_of(images, Labels(left, right, top), scale=scale, padding=padding, **gaps).pixels()


def table_of(
    images: Float[Tensor, "R N C H W"],
    labels: Labels,
    *,
    gaps_after_columns: Sequence[int] = (),
    gaps_after_rows: Sequence[int] = (),
    scale: int | None = None,
    padding: int = 2,
) -> ImageTable:
    """`image_table` before it is drawn."""
    num_rows, num_columns = images.shape[:2]
    for (name, texts), count in zip(labels._asdict().items(), (num_rows, num_rows, num_columns), strict=True):
        if texts is not None and len(texts) != count:
            raise ValueError(f"{name} must hold {count} labels, got {len(texts)}")
    tiles, scale = _tiles(images.flatten(0, 1), scale)
    _check_gaps("gaps_after_rows", gaps_after_rows, num_rows)
    _check_gaps("gaps_after_columns", gaps_after_columns, num_columns)
    cells = [divmod(index, num_columns) for index in range(len(tiles))]
    return ImageTable(tiles, cells, scale, padding, gaps_after_rows, gaps_after_columns, labels)


def _check_gaps(name: str, gaps_after: Sequence[int], count: int) -> None:
    if not all(0 <= index < count for index in gaps_after):
        raise ValueError(f"{name} must lie between 0 and {count - 1}, got {list(gaps_after)}")


def _at_most(num_images: int, columns: int) -> int:
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    return min(columns, num_images)


def _tiles(images: Float[Tensor, "N C H W"], scale: int | None) -> tuple[UInt8[np.ndarray, "N h w 3"], int]:
    """The images in their own pixels, and by how much they are enlarged."""
    images = drawable(images)
    if scale is None:
        scale = max(1, _COMFORTABLE_SIDE // max(images.shape[2:]))
    if scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
    levels = images.detach().float().nan_to_num(nan=0.0).clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy(), scale
