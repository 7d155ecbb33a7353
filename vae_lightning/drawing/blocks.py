"""What is laid out for print: letters and images on a piece of paper, measured in points.

A block is as wide and as high as it says. Blocks are put under and beside one another, and `figure_of` makes a page of
one. Nothing here needs torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import UInt8

from vae_lightning.drawing.lettering import text_width
from vae_lightning.drawing.printing import POINTS, print_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Align = Literal["left", "center", "right"]

TITLE, LABEL, SMALLEST = 8, 7, 6  # sizes of letters; none is smaller on paper
INK, FAINT_INK = "#1a1a1a", "#666666"
_LINE = 1.3  # the height of a line, in sizes of its letters
_ABOVE_BASELINE = 0.36  # the middle of capitals, in sizes
_MEASURED_AT = 100  # pixels, at which letters are in proportion


@dataclass(frozen=True)
class Writing:
    """A line of text: where it begins, ends or has its middle, and the height of its baseline, from the upper left."""

    x: float
    y: float
    text: str
    size: float
    colour: str = INK
    align: Align = "left"
    upwards: bool = False  # to be read from below: then `x` is the baseline's, and the text's middle is at `y`


@dataclass(frozen=True, eq=False)
class PlacedImage:
    """An image on paper, from its upper left."""

    x: float
    y: float
    width: float
    height: float
    pixels: UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True, eq=False)
class Block:
    """A piece of paper with what is on it."""

    width: float
    height: float
    marks: tuple[Writing | PlacedImage, ...] = ()

    def moved(self, x: float, y: float) -> tuple[Writing | PlacedImage, ...]:
        """What is on it, so far to the right and down."""
        return tuple(replace(mark, x=mark.x + x, y=mark.y + y) for mark in self.marks)


def width_of(text: str, size: float) -> float:
    """How wide a text is on paper, in points."""
    return text_width(text, _MEASURED_AT) * size / _MEASURED_AT


def baseline(middle: float, size: float) -> float:
    """The height of the baseline of a line whose capitals have their middle there."""
    return middle + _ABOVE_BASELINE * size


def image_block(pixels: UInt8[np.ndarray, "H W 3"], width: float) -> Block:
    """An image as wide as that, its pixels square."""
    height = width * pixels.shape[0] / pixels.shape[1]
    return Block(width, height, (PlacedImage(0, 0, width, height, pixels),))


def text_block(text: str, width: float, size: float = LABEL, colour: str = INK) -> Block:
    """A text in as many lines as it needs."""
    lines = broken(text, size, width)
    step = _LINE * size
    marks = [Writing(0, baseline((number + 0.5) * step, size), line, size, colour) for number, line in enumerate(lines)]
    return Block(width, step * len(lines), tuple(marks))


def heading(title: str, context: str, width: float) -> Block:
    """A title, and fainter what it is of: on its line at the right where both fit, else below."""
    if width_of(title, TITLE) + 12 + width_of(context, LABEL) <= width:
        line = text_block(title, width, TITLE)
        aside = Writing(width, baseline(line.height / 2, TITLE), context, LABEL, FAINT_INK, "right")
        return replace(line, marks=(*line.marks, aside))
    return stacked([text_block(title, width, TITLE), text_block(context, width, LABEL, FAINT_INK)], 0)


def broken(text: str, size: float, width: float) -> list[str]:
    """The lines of a text: broken between words, and within one that is longer than a line."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if width_of(longer, size) <= width:
            lines[-1] = longer
            continue
        pieces = _pieces(word, size, width)
        lines += pieces if lines[-1] else []
        if not lines[0]:
            lines = pieces
    return lines


def _pieces(word: str, size: float, width: float) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and width_of(pieces[-1] + letter, size) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def shortened(text: str, size: float, width: float) -> str:
    """The text, cut off with an ellipsis where it is longer than that."""
    if width_of(text, size) <= width:
        return text
    return next((cut for end in range(len(text), 0, -1) if width_of(cut := f"{text[:end]}…", size) <= width), "…")


def stacked(blocks: Sequence[Block], gap: float) -> Block:
    """Blocks under one another, so far apart, each at the left."""
    tops = np.cumsum([0, *(block.height + gap for block in blocks)]).tolist()
    marks = [mark for block, top in zip(blocks, tops, strict=False) for mark in block.moved(0, top)]
    return Block(max(block.width for block in blocks), tops[-1] - gap, tuple(marks))


def beside(blocks: Sequence[Block], gap: float) -> Block:
    """Blocks in a row, so far apart, level at the top."""
    lefts = np.cumsum([0, *(block.width + gap for block in blocks)]).tolist()
    marks = [mark for block, left in zip(blocks, lefts, strict=False) for mark in block.moved(left, 0)]
    return Block(lefts[-1] - gap, max(block.height for block in blocks), tuple(marks))


def figure_of(block: Block, width: float | None = None) -> "Figure":
    """A page that is as high as the block, with the block in its middle.

    Args:
        block: what is on it.
        width: of the page in points; None is the block's.
    """
    from matplotlib.figure import Figure

    width = block.width if width is None else width
    with print_settings():
        figure = Figure(figsize=(width / POINTS, block.height / POINTS), facecolor="white")
        put_on(figure, block.moved((width - block.width) / 2, 0))
    return figure


def put_on(figure: "Figure", marks: Sequence[Writing | PlacedImage]) -> None:
    """Put what has its place on a page there."""
    width, height = figure.get_size_inches() * POINTS
    for mark in marks:
        if isinstance(mark, PlacedImage):
            bottom = 1 - (mark.y + mark.height) / height
            panel = figure.add_axes((mark.x / width, bottom, mark.width / width, mark.height / height))
            panel.imshow(mark.pixels, interpolation="none", aspect="auto")
            panel.axis("off")
            continue
        text = figure.text(mark.x / width, 1 - mark.y / height, mark.text, fontsize=mark.size, color=mark.colour)
        text.set(ha="right" if mark.upwards else mark.align, va="center" if mark.upwards else "baseline")
        text.set(rotation=90 if mark.upwards else 0, in_layout=False)
        text.set_parse_math(False)  # a run's name may hold dollar signs
