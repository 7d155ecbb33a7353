"""Letters in pictures: one typeface, measured before it is drawn, and labels that keep out of each other's way.

The typeface is DejaVu Sans, which matplotlib brings and sets its plots in: pictures on dark ground and plots on white
look like one hand's work, and it has the dashes, arrows and Greek letters that captions need.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

INK = 240
FAINT_INK = 176  # on the ground of all pictures: readable, and clearly second
SMALLEST_SIZE = 9
LABEL_SIZES = (14, 13, 12, 11, 10)


def text_width(text: str, size: int) -> float:
    """How many pixels wide the text is at that size."""
    return _font(size).getlength(text)


def fitting_size(text: str, size: int, width: float) -> int:
    """The largest size, at most `size` and at least 9, at which the text fits; 9 where none does."""
    smallest = min(size, SMALLEST_SIZE)
    return next((n for n in range(size, smallest - 1, -1) if text_width(text, n) <= width), smallest)


def write(picture: Image.Image, left: float, middle: float, text: str, size: int, ink: int = INK) -> None:
    """Write the text in grey into the picture from `left` on, the line's middle at height `middle`."""
    fill = ink if picture.mode == "L" else (ink, ink, ink)
    ImageDraw.Draw(picture).text((left, middle), text, fill=fill, font=_font(size), anchor="lm")


def spread(
    texts: Sequence[str],
    centres: Sequence[float],
    extent: Callable[[str, int], float],
    bounds: tuple[float, float],
    sizes: Sequence[int] = LABEL_SIZES,
    apart: float = 6,
) -> tuple[int, list[tuple[float, str]]]:
    """Labels along a line, none over another: set smaller where they are crowded, then every k-th alone.

    Args:
        texts: the labels; empty ones take no room.
        centres: where each is to stand.
        extent: how long a text is along the line at a size.
        bounds: labels that would stick out are moved inwards; one longer than all starts at the lower bound.
        sizes: of letters, from the one liked best.
        apart: least distance between two labels.

    Returns:
        The size, and where each label that is drawn starts.
    """
    wanted = [(centre, text) for centre, text in zip(centres, texts, strict=True) if text]
    for step in range(1, len(wanted) + 1):
        for size in sizes:
            starts = [(_start(centre, extent(text, size), bounds), text) for centre, text in wanted[::step]]
            ends = [start + extent(text, size) for start, text in starts]
            if all(end + apart <= start for end, (start, _) in zip(ends, starts[1:], strict=False)):
                return size, starts
    return sizes[0], []


def _start(centre: float, length: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return max(low, min(centre - length / 2, high - length))


@lru_cache
def _font(size: int) -> FreeTypeFont:
    package = find_spec("matplotlib")  # found, not imported, which takes its time
    assert package is not None
    assert package.origin is not None
    return ImageFont.truetype(Path(package.origin).with_name("mpl-data") / "fonts/ttf/DejaVuSans.ttf", size)
