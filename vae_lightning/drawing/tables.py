"""Images in rows and columns with labels, in pixels and on paper. Nothing here needs torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vae_lightning.drawing.blocks import LABEL, SMALLEST, Block, Writing, baseline, image_block, shortened, width_of
from vae_lightning.drawing.captions import BACKGROUND
from vae_lightning.drawing.lettering import LABEL_SIZES, spread, text_width, write
from vae_lightning.drawing.sheets import Layout, Pixels

_MARGIN = 6  # on both sides of a row's label
_EDGE = 3
_LEAST_HEIGHT = 22  # room for a row's label
_LINE = 1.4  # the height of a line, in sizes of its letters
_PAPER = 255
_SIZES_ON_PAPER = (LABEL, SMALLEST)
_APART_ON_PAPER = 1.2  # points between images, in whole pixels of theirs
_BESIDE_ON_PAPER = 4.0  # points between a row and its label
_MOST_OF_LABELS = 0.25  # of the paper's width, by the labels of one side
_WIDER = 4  # a gap that sets groups apart, in gaps between images


class Labels(NamedTuple):
    """Of a table: beside each row, and above each column; None for none, an empty one leaves its place bare."""

    left: Sequence[str] | None = None
    right: Sequence[str] | None = None
    top: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class ImageTable(Layout):
    """Images in cells.

    Attributes:
        tiles: the images, in their own pixels.
        cells: of each its row and column.
        scale: whole-number enlargement on the screen.
        padding: pixels between the images and around them, on the screen; without any, there is none on paper.
        gaps_after_rows, gaps_after_columns: those after which a gap sets groups apart.
        labels: None for a picture without, which needs no room for any.
    """

    tiles: UInt8[np.ndarray, "N h w 3"]
    cells: Sequence[tuple[int, int]]
    scale: int = 1
    padding: int = 2
    gaps_after_rows: Sequence[int] = ()
    gaps_after_columns: Sequence[int] = ()
    labels: Labels | None = None

    def pixels(self) -> Pixels:
        tiles = self.tiles.repeat(self.scale, axis=1).repeat(self.scale, axis=2)
        rows, columns = self._offsets(tiles.shape[1:3], self.padding, max(8, 4 * self.padding))
        table = self._pasted(tiles, rows, columns, BACKGROUND)
        table = np.pad(table, ((self.padding,) * 2, (self.padding,) * 2, (0, 0)), constant_values=BACKGROUND)
        if self.labels is None:
            return table
        rows, columns = ([self.padding + start for start in starts] for starts in (rows, columns))
        return _labelled(table, tiles.shape[1:3], rows, columns, self.labels)

    def block(self, width: float, tallest: float) -> Block:
        labels = Labels() if self.labels is None else self.labels
        before, after = (_room_on_paper(texts, width) for texts in (labels.left, labels.right))
        top = 0.0 if labels.top is None else 1.4 * LABEL
        _, high, wide, _ = self.tiles.shape
        room = width - before - after
        padding = max(1, round(_APART_ON_PAPER * self._counts[1] * wide / room)) if self.padding else 0
        rows, columns = self._offsets((high, wide), padding, _WIDER * max(1, padding))
        picture = self._pasted(self.tiles, rows, columns, _PAPER)
        pixel = min(room / picture.shape[1], (tallest - top) / picture.shape[0])  # in points
        body = image_block(picture, pixel * picture.shape[1])
        middles = [(start + high / 2) * pixel for start in rows]
        centres = [before + (start + wide / 2) * pixel for start in columns]
        right = before + body.width + _BESIDE_ON_PAPER
        beside = [
            *_next_to(labels.left, middles, body.height, before - _BESIDE_ON_PAPER, width, at_left=True),
            *_next_to(labels.right, middles, body.height, right, width, at_left=False),
            *body.moved(before, 0),
        ]
        over = [] if labels.top is None else _over(labels.top, centres, before + body.width + after)
        return Block(width, top + body.height, (*over, *Block(width, body.height, tuple(beside)).moved(0, top)))

    @property
    def _counts(self) -> tuple[int, int]:
        """Of rows and columns, those in which there is nothing but a label among them."""
        labels = Labels() if self.labels is None else self.labels
        rows, columns = (1 + max(cell[axis] for cell in self.cells) for axis in (0, 1))
        return max(rows, len(labels.left or ())), max(columns, len(labels.top or ()))

    def _offsets(self, size: tuple[int, ...], padding: int, gap: int) -> tuple[list[int], list[int]]:
        """Where rows and columns begin, from the first."""
        rows, columns = (
            [index * (length + padding) + gap * sum(after < index for after in set(gaps)) for index in range(count)]
            for count, length, gaps in zip(
                self._counts, size, (self.gaps_after_rows, self.gaps_after_columns), strict=True
            )
        )
        return rows, columns

    def _pasted(
        self, tiles: UInt8[np.ndarray, "N h w 3"], rows: Sequence[int], columns: Sequence[int], ground: int
    ) -> Pixels:
        """Each tile where its row and its column begin, on a ground that is just large enough."""
        _, height, width, _ = tiles.shape
        picture = np.full((rows[-1] + height, columns[-1] + width, 3), ground, dtype=np.uint8)
        for tile, (row, column) in zip(tiles, self.cells, strict=True):
            picture[rows[row] : rows[row] + height, columns[column] : columns[column] + width] = tile
        return picture


# On paper


def _room_on_paper(texts: Sequence[str] | None, width: float) -> float:
    """What the labels of one side take of the paper's width."""
    widths = [width_of(shortened(text, LABEL, _MOST_OF_LABELS * width), LABEL) for text in texts or () if text]
    return max(widths) + _BESIDE_ON_PAPER if widths else 0.0


def _next_to(
    texts: Sequence[str] | None, middles: Sequence[float], height: float, x: float, width: float, at_left: bool
) -> list[Writing]:
    if texts is None:
        return []
    size, places = spread(texts, middles, lambda _, size: 1.1 * size, (0, height), _SIZES_ON_PAPER, apart=0)
    return [
        Writing(
            x,
            baseline(start + 1.1 * size / 2, size),
            shortened(text, size, _MOST_OF_LABELS * width),
            size,
            align="right" if at_left else "left",
        )
        for start, text in places
    ]


def _over(texts: Sequence[str], centres: Sequence[float], width: float) -> list[Writing]:
    size, places = spread(texts, centres, width_of, (0, width), _SIZES_ON_PAPER, apart=3)
    return [Writing(start, baseline(0.6 * LABEL, size), text, size) for start, text in places]


# In pixels


def _labelled(
    table: Pixels, tile_size: tuple[int, int], rows: Sequence[int], columns: Sequence[int], labels: Labels
) -> Pixels:
    height, width = tile_size
    middles = [row + height / 2 for row in rows]
    table = np.pad(table, ((0, max(0, _LEAST_HEIGHT - len(table))), (0, 0), (0, 0)), constant_values=BACKGROUND)
    beside_left = _beside(labels.left, middles, len(table), flush_right=True)
    beside_right = _beside(labels.right, middles, len(table), flush_right=False)
    table = np.concatenate([beside_left, table, beside_right], axis=1)
    centres = [beside_left.shape[1] + column + width / 2 for column in columns]
    over = above(labels.top, centres, table.shape[1])
    widening = ((0, 0), (0, over.shape[1] - table.shape[1]), (0, 0))
    return np.concatenate([over, np.pad(table, widening, constant_values=BACKGROUND)])


def _beside(texts: Sequence[str] | None, middles: Sequence[float], height: int, flush_right: bool) -> Pixels:
    if texts is None:
        return np.empty((height, 0, 3), dtype=np.uint8)
    size, places = spread(texts, middles, lambda _, size: _LINE * size, bounds=(0, height), apart=0)
    widths = {text: math.ceil(text_width(text, size)) for text in texts}
    strip = Image.new("L", (max(widths.values()) + 2 * _MARGIN, height), BACKGROUND)
    for start, text in places:
        x = strip.width - _MARGIN - widths[text] if flush_right else _MARGIN
        write(strip, x, start + _LINE * size / 2 + 1, text, size)
    return np.asarray(strip.convert("RGB"))


def above(
    texts: Sequence[str] | None, centres: Sequence[float], width: int, sizes: Sequence[int] = LABEL_SIZES
) -> Pixels:
    """Texts above columns that have their middles there, in a strip of pixels that is wider where they need it."""
    if texts is None:
        return np.empty((0, width, 3), dtype=np.uint8)
    size, places = spread(texts, centres, text_width, (_EDGE, width - _EDGE), sizes)
    ends = [start + text_width(text, size) + _EDGE for start, text in places]
    strip = Image.new("L", (max([width, *map(math.ceil, ends)]), size + 6), BACKGROUND)
    for start, text in places:
        write(strip, start, strip.height / 2 + 1, text, size)
    return np.asarray(strip.convert("RGB"))
