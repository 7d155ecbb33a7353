"""Images in rows and columns: tensors in, picture out."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.drawing.captions import BACKGROUND, with_caption
from vae_lightning.drawing.lettering import LABEL_SIZES, spread, text_width, write
from vae_lightning.drawing.shown import drawable

_COMFORTABLE_SIDE = 96  # smaller images are enlarged by the largest integer that stays within it
_MARGIN = 6  # on both sides of a row's label
_EDGE = 3
_LEAST_HEIGHT = 22  # room for a row's label
_LINE = 1.4  # the height of a line, in sizes of its letters
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
    tiles = _tiles(images, scale)
    columns = _at_most(len(tiles), columns)
    cells = [divmod(index, columns) for index in range(len(tiles))]
    return _arrange(tiles, cells, row_gaps=[0] * len(tiles), padding=padding)


def sample_grid(
    images: Float[Tensor, "N C H W"], labels: Sequence[str] | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """Images in a picture that is nearly a square; or with image n in the row of label n modulo their number.

    A row that would be far longer than the picture is high is broken into several, of which the first one is labelled.

    Raises:
        ValueError: as for `image_grid`.
    """
    height, width = images.shape[-2:]
    square = math.ceil(math.sqrt(len(images) * height / width))
    if labels is None:
        return image_grid(images, columns=square)
    of_each = math.ceil(len(images) / len(labels))
    num_lines = max(1, round(of_each / square))
    columns = math.ceil(of_each / num_lines)
    empty = images.new_full((columns * num_lines * len(labels) - len(images), *images.shape[1:]), BACKGROUND / 255)
    table = torch.cat([images, empty]).unflatten(0, (num_lines * columns, len(labels))).transpose(0, 1)
    rows = table.unflatten(1, (num_lines, columns)).flatten(0, 1)
    named = [name for label in labels for name in (label, *[""] * (num_lines - 1))]
    ends = range(num_lines - 1, len(rows) - 1, num_lines) if num_lines > 1 else ()
    return image_table(rows, left=named, gaps_after_rows=ends)


def comparison_grid(
    originals: Float[Tensor, "N C H W"],
    reconstructions: Float[Tensor, "N C H W"],
    columns: int,
    scale: int | None = None,
    padding: int = 2,
    context: str = "",
) -> UInt8[np.ndarray, "height width 3"]:
    """Rows of originals, each right above the row of its reconstructions, pairs set apart, with a caption.

    Arguments and errors are those of `image_grid`; the context is that of `with_caption`.
    """
    tiles = np.concatenate([_tiles(originals, scale), _tiles(reconstructions, scale)])
    columns = _at_most(len(originals), columns)
    places = [divmod(index, columns) for index in range(len(originals))]
    cells = [(2 * row + lower, column) for lower in (0, 1) for row, column in places]
    grid = _arrange(tiles, cells, row_gaps=[_gap(padding) * (row // 2) for row, _ in cells], padding=padding)
    return with_caption(grid, "input above, reconstruction at its posterior mean below", context)


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
    tiles = _tiles(images, scale)
    if len(names) != len(tiles):
        raise ValueError(f"names must be {len(tiles)}, got {len(names)}")
    columns = _at_most(len(tiles), columns)
    width = max(tiles.shape[2], *(math.ceil(text_width(name, _NAME_SIZE)) + 2 * _EDGE for name in names))
    before = (width - tiles.shape[2]) // 2
    sides = ((0, 0), (0, 0), (before, width - tiles.shape[2] - before), (0, 0))
    heads = np.concatenate([_above([name], [width / 2], width, [_NAME_SIZE])[None] for name in names])
    cells = np.concatenate([heads, np.pad(tiles, sides, constant_values=BACKGROUND)], axis=1)
    places = [divmod(index, columns) for index in range(len(cells))]
    return _arrange(cells, places, row_gaps=[0] * len(cells), padding=4)


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
    num_rows, num_columns = images.shape[:2]
    for name, labels, count in (("left", left, num_rows), ("right", right, num_rows), ("top", top, num_columns)):
        if labels is not None and len(labels) != count:
            raise ValueError(f"{name} must hold {count} labels, got {len(labels)}")
    tiles = _tiles(images.flatten(0, 1), scale)
    rows = _offsets("gaps_after_rows", num_rows, tiles.shape[1], gaps_after_rows, padding)
    columns = _offsets("gaps_after_columns", num_columns, tiles.shape[2], gaps_after_columns, padding)
    table = _paste(tiles, [(y, x) for y in rows for x in columns], padding)
    return _labelled(table, tiles.shape[1:3], rows, columns, left, right, top)


def _at_most(num_images: int, columns: int) -> int:
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    return min(columns, num_images)


def _tiles(images: Float[Tensor, "N C H W"], scale: int | None) -> UInt8[np.ndarray, "N height width 3"]:
    images = drawable(images)
    height, width = images.shape[2:]
    if scale is None:
        scale = max(1, _COMFORTABLE_SIDE // max(height, width))
    if scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
    levels = images.detach().float().nan_to_num(nan=0.0).clamp(0, 1).mul(255).round().to(torch.uint8)
    tiles = levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()
    return tiles.repeat(scale, axis=1).repeat(scale, axis=2)


def _gap(padding: int) -> int:
    return max(8, 4 * padding)


def _offsets(name: str, count: int, length: int, gaps_after: Sequence[int], padding: int) -> list[int]:
    """Where each of a line of tiles begins."""
    if not all(0 <= index < count for index in gaps_after):
        raise ValueError(f"{name} must lie between 0 and {count - 1}, got {list(gaps_after)}")
    gaps = [_gap(padding) * sum(after < index for after in set(gaps_after)) for index in range(count)]
    return [padding + index * (length + padding) + gap for index, gap in enumerate(gaps)]


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
    return _paste(tiles, list(zip(tops, lefts, strict=True)), padding)


def _paste(
    tiles: UInt8[np.ndarray, "N h w 3"], corners: Sequence[tuple[int, int]], padding: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Paste each tile with its upper left at (top, left) on a ground just large enough."""
    _, height, width, _ = tiles.shape
    bottom, right = max(top for top, _ in corners) + height, max(left for _, left in corners) + width
    picture = np.full((bottom + padding, right + padding, 3), BACKGROUND, dtype=np.uint8)
    for tile, (top, left) in zip(tiles, corners, strict=True):
        picture[top : top + height, left : left + width] = tile
    return picture


def _labelled(
    table: UInt8[np.ndarray, "H W 3"],
    tile_size: tuple[int, int],
    rows: Sequence[int],
    columns: Sequence[int],
    left: Sequence[str] | None,
    right: Sequence[str] | None,
    top: Sequence[str] | None,
) -> UInt8[np.ndarray, "height width 3"]:
    height, width = tile_size
    middles = [row + height / 2 for row in rows]
    table = np.pad(table, ((0, max(0, _LEAST_HEIGHT - len(table))), (0, 0), (0, 0)), constant_values=BACKGROUND)
    beside_left = _beside(left, middles, len(table), flush_right=True)
    beside_right = _beside(right, middles, len(table), flush_right=False)
    table = np.concatenate([beside_left, table, beside_right], axis=1)
    centres = [beside_left.shape[1] + column + width / 2 for column in columns]
    above = _above(top, centres, table.shape[1])
    widening = ((0, 0), (0, above.shape[1] - table.shape[1]), (0, 0))
    return np.concatenate([above, np.pad(table, widening, constant_values=BACKGROUND)])


def _beside(
    texts: Sequence[str] | None, middles: Sequence[float], height: int, flush_right: bool
) -> UInt8[np.ndarray, "height width 3"]:
    if texts is None:
        return np.empty((height, 0, 3), dtype=np.uint8)
    size, places = spread(texts, middles, lambda _, size: _LINE * size, bounds=(0, height), apart=0)
    widths = {text: math.ceil(text_width(text, size)) for text in texts}
    strip = Image.new("L", (max(widths.values()) + 2 * _MARGIN, height), BACKGROUND)
    for start, text in places:
        x = strip.width - _MARGIN - widths[text] if flush_right else _MARGIN
        write(strip, x, start + _LINE * size / 2 + 1, text, size)
    return np.asarray(strip.convert("RGB"))


def _above(
    texts: Sequence[str] | None, centres: Sequence[float], width: int, sizes: Sequence[int] = LABEL_SIZES
) -> UInt8[np.ndarray, "height width 3"]:
    if texts is None:
        return np.empty((0, width, 3), dtype=np.uint8)
    size, places = spread(texts, centres, text_width, (_EDGE, width - _EDGE), sizes)
    ends = [start + text_width(text, size) + _EDGE for start, text in places]
    strip = Image.new("L", (max([width, *map(math.ceil, ends)]), size + 6), BACKGROUND)
    for start, text in places:
        write(strip, start, strip.height / 2 + 1, text, size)
    return np.asarray(strip.convert("RGB"))
