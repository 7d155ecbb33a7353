"""A picture before it is drawn: once in pixels, for a screen, and once on paper, at a physical width.

On the screen it is light letters on a dark grey ground, a whole number of pixels for each of an image's. On paper it is
dark letters on white, of sizes that are read there whatever the width, and images in their own pixels.
Nothing here needs torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from vae_lightning.drawing.blocks import (
    FAINT_INK,
    LABEL,
    SMALLEST,
    Block,
    Writing,
    baseline,
    beside,
    figure_of,
    heading,
    image_block,
    stacked,
    text_block,
    width_of,
)
from vae_lightning.drawing.captions import BACKGROUND, with_axes, with_caption, with_note
from vae_lightning.drawing.printing import POINTS, TALLEST

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = UInt8[np.ndarray, "_ _ 3"]

PER_INCH = 150  # pixels of a screen's picture, where it is printed at its own size
_APART = 24  # of pictures side by side, in pixels
_GAP = 4.0  # points between what is under one another
_NARROW = 320.0  # points of a page on which nothing stands side by side


class Sheet(ABC):
    """A picture that can be drawn for a screen and for paper."""

    @abstractmethod
    def pixels(self) -> Pixels:
        """As it is on a screen."""

    @abstractmethod
    def figure(self, width: float) -> "Figure":
        """A page of matplotlib's of so many inches in width, and as high as it takes, to be written as a file."""

    @property
    def own_width(self) -> float:
        """Inches, where no width is asked for: text that is read on the screen is read on paper, too."""
        return self.pixels().shape[1] / PER_INCH


class Layout(Sheet):
    """A picture of images and letters."""

    @abstractmethod
    def block(self, width: float, tallest: float) -> Block:
        """What is on paper of so many points in width, its images smaller where they would be taller than that."""

    def figure(self, width: float) -> "Figure":
        return figure_of(self.block(width * POINTS, TALLEST * POINTS))


@dataclass(frozen=True, eq=False)
class Raster(Layout):
    """A picture that is pixels and nothing more; on paper others where they have another ground."""

    shown: UInt8[np.ndarray, "H W 3"]
    printed: UInt8[np.ndarray, "h w 3"] | None = None

    def pixels(self) -> Pixels:
        return self.shown

    def block(self, width: float, tallest: float) -> Block:
        pixels = self.shown if self.printed is None else self.printed
        image = image_block(pixels, min(width, tallest * pixels.shape[1] / pixels.shape[0]))
        return Block(width, image.height, image.moved((width - image.width) / 2, 0))


@dataclass(frozen=True, eq=False)
class Captioned(Layout):
    """A picture under its title and what it was made from; bare where the latter is empty."""

    body: Layout
    title: str
    context: str

    def pixels(self) -> Pixels:
        return with_caption(self.body.pixels(), self.title, self.context) if self.context else self.body.pixels()

    def block(self, width: float, tallest: float) -> Block:
        if not self.context:
            return self.body.block(width, tallest)
        head = heading(self.title, self.context, width)
        return stacked([head, self.body.block(width, tallest - head.height - _GAP)], _GAP)


@dataclass(frozen=True, eq=False)
class Noted(Layout):
    """A picture above a note."""

    body: Layout
    note: str

    def pixels(self) -> Pixels:
        return with_note(self.body.pixels(), self.note)

    def block(self, width: float, tallest: float) -> Block:
        note = text_block(self.note, width, SMALLEST, FAINT_INK)
        return stacked([self.body.block(width, tallest - note.height - _GAP), note], _GAP)


@dataclass(frozen=True, eq=False)
class Named(Layout):
    """A picture with the name of an axis above its middle, and of another at its left."""

    body: Layout
    across: str
    upwards: str

    def pixels(self) -> Pixels:
        return with_axes(self.body.pixels(), self.across, self.upwards)

    def block(self, width: float, tallest: float) -> Block:
        room = 1.4 * LABEL
        body = self.body.block(width - room, tallest - room)
        height = max(body.height, width_of(self.upwards, LABEL))
        names = (
            Writing(room + body.width / 2, baseline(room / 2, LABEL), self.across, LABEL, align="center"),
            Writing(baseline(room / 2, LABEL), room + height / 2, self.upwards, LABEL, upwards=True),
        )
        return Block(width, room + height, (*names, *body.moved(room, room)))


@dataclass(frozen=True, eq=False)
class SideBySide(Layout):
    """Pictures of about the same height in a row, level at the top; on narrow paper under one another."""

    parts: Sequence[Layout]

    def pixels(self) -> Pixels:
        pictures = [part.pixels() for part in self.parts]
        height = max(len(picture) for picture in pictures)
        padded = [
            np.pad(picture, ((0, height - len(picture)), (0, _APART), (0, 0)), constant_values=BACKGROUND)
            for picture in pictures
        ]
        return np.concatenate(padded, axis=1)[:, :-_APART]

    def block(self, width: float, tallest: float) -> Block:
        count = len(self.parts)
        if width < _NARROW:
            return stacked([part.block(width, (tallest - _GAP * (count - 1)) / count) for part in self.parts], _GAP)
        gap = 4 * _GAP
        share = (width - gap * (count - 1)) / count
        return beside([part.block(share, tallest) for part in self.parts], gap)
