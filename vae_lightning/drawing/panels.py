"""Pictures of several runs in the cells of a grid, each row and column under the setting that it stands for."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vae_lightning.drawing.blocks import (
    LABEL,
    Block,
    PlacedImage,
    Writing,
    baseline,
    image_block,
    shortened,
    stacked,
    width_of,
)
from vae_lightning.drawing.captions import BACKGROUND, with_caption
from vae_lightning.drawing.printing import DPI, POINTS, encode_figure
from vae_lightning.drawing.sheets import Layout, Sheet

Pixels = UInt8[np.ndarray, "_ _ 3"]

_GAP = 6.0  # points between cells
_APART = 12  # pixels
_LINE = 1.5 * LABEL


@dataclass(frozen=True, eq=False)
class Rendered(Layout):
    """A plot as a part of a layout: on paper drawn for the width that it has there, as pixels."""

    sheet: Sheet

    def pixels(self) -> Pixels:
        return self.sheet.pixels()

    def block(self, width: float, tallest: float) -> Block:
        content = encode_figure(self.sheet.figure(width / POINTS), "png", DPI)
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.asarray(image.convert("RGB"))
        return image_block(pixels, min(width, tallest * pixels.shape[1] / pixels.shape[0]))


@dataclass(frozen=True, eq=False)
class Panel(Layout):
    """Pictures in rows and columns.

    Attributes:
        rows: the cells of each, None where there is no picture.
        columns: what stands above each column; empty texts where nothing does.
        names: what stands beside each row, to be read upwards; likewise.
    """

    rows: Sequence[Sequence[Layout | None]]
    columns: Sequence[str]
    names: Sequence[str]

    def pixels(self) -> Pixels:
        drawn = [
            [None if cell is None else _titled(cell.pixels(), *texts) for cell, *texts in self._cells(row, name)]
            for row, name in zip(self.rows, self.names, strict=True)
        ]
        width = max(cell.shape[1] for row in drawn for cell in row if cell is not None)
        lines = [_line(row, width) for row in drawn]
        return np.concatenate([line for each in lines for line in (each, _blank(_APART, each.shape[1]))][:-1])

    def block(self, width: float, tallest: float) -> Block:
        room = _LINE if any(self.names) else 0.0
        top = _LINE if any(self.columns) else 0.0
        count = len(self.columns)
        share = (width - room - _GAP * (count - 1)) / count
        height = (tallest - top - _GAP * (len(self.rows) - 1)) / len(self.rows)
        lefts = [room + (share + _GAP) * place for place in range(count)]
        marks: list[Writing | PlacedImage] = [
            Writing(left + share / 2, baseline(top / 2, LABEL), shortened(text, LABEL, share), LABEL, align="center")
            for left, text in zip(lefts, self.columns, strict=True)
            if text
        ]
        for row, name in zip(self.rows, self.names, strict=True):
            blocks = [None if cell is None else cell.block(share, height) for cell in row]
            high = max([width_of(name, LABEL), *(block.height for block in blocks if block is not None)])
            for block, left in zip(blocks, lefts, strict=False):
                if block is not None:
                    marks += block.moved(left + (share - block.width) / 2, top)
            if name:
                marks.append(Writing(baseline(_LINE / 2, LABEL), top + high / 2, name, LABEL, upwards=True))
            top += high + _GAP
        return Block(width, top - _GAP, tuple(marks))

    def _cells(self, row: Sequence[Layout | None], name: str) -> list[tuple[Layout | None, str, str]]:
        return [(cell, name, column) for cell, column in zip(row, self.columns, strict=False)]


@dataclass(frozen=True, eq=False)
class Stacked(Layout):
    """Pictures under one another."""

    parts: Sequence[Layout]

    def pixels(self) -> Pixels:
        drawn = [part.pixels() for part in self.parts]
        width = max(picture.shape[1] for picture in drawn)
        return np.concatenate([_padded(picture, picture.shape[0] + _APART, width) for picture in drawn])[:-_APART]

    def block(self, width: float, tallest: float) -> Block:
        share = (tallest - _GAP * (len(self.parts) - 1)) / len(self.parts)
        return stacked([part.block(width, share) for part in self.parts], _GAP)


def as_layout(sheet: Sheet) -> Layout:
    """The picture as a part of a layout."""
    return sheet if isinstance(sheet, Layout) else Rendered(sheet)


def _titled(picture: Pixels, name: str, column: str) -> Pixels:
    return with_caption(picture, ", ".join(text for text in (name, column) if text)) if name or column else picture


def _line(cells: Sequence[Pixels | None], width: int) -> Pixels:
    height = max((cell.shape[0] for cell in cells if cell is not None), default=_APART)
    parts = [_blank(height, width) if cell is None else _padded(cell, height, width) for cell in cells]
    return np.concatenate([part for each in parts for part in (each, _blank(height, _APART))][:-1], axis=1)


def _padded(cell: Pixels, height: int, width: int) -> Pixels:
    missing = ((0, height - cell.shape[0]), (0, width - cell.shape[1]), (0, 0))
    return np.pad(cell, missing, constant_values=BACKGROUND)


def _blank(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), BACKGROUND, np.uint8)
