"""Letters in pictures: one typeface, measured before it is drawn, and labels that keep out of each other's way."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

INK = 240
FAINT_INK = 176  # on the ground of all pictures: readable, and clearly second
SMALLEST_SIZE = 10
LABEL_SIZES = (15, 14, 13, 12, 11)


def text_width(text: str, size: int) -> float:
    """How many pixels wide the text is at that size."""
    return sum(font.getlength(part) for part, font in _runs(text, size))


def fitting_size(text: str, size: int, width: float) -> int:
    """The largest size, at most `size` and at least 10, at which the text fits; 10 where none does."""
    smallest = min(size, SMALLEST_SIZE)
    return next((n for n in range(size, smallest - 1, -1) if text_width(text, n) <= width), smallest)


def write(picture: Image.Image, left: float, middle: float, text: str, size: int, ink: int = INK) -> None:
    """Write the text in grey into the picture from `left` on, the line's middle at height `middle`."""
    draw = ImageDraw.Draw(picture)
    fill = ink if picture.mode == "L" else (ink, ink, ink)
    ascent, descent = _font(size).getmetrics()
    for part, font in _runs(text, size):
        if font is _font(size):
            draw.text((left, middle), part, fill=fill, font=font, anchor="lm")
        else:
            draw.text((left, middle + (ascent - descent) / 2), part, fill=fill, font=font, anchor="ls")
        left += font.getlength(part)


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


def _runs(text: str, size: int) -> Iterator[tuple[str, FreeTypeFont]]:
    for missing, signs in groupby(text, key=_is_missing):
        yield "".join(signs), _spare_font(size) if missing else _font(size)


@lru_cache
def _font(size: int) -> FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, FreeTypeFont)  # Pillow's wheels all carry FreeType
    return font


@lru_cache
def _spare_font(size: int) -> FreeTypeFont:
    """Pillow's typeface lacks dashes, arrows, the minus sign and Greek; the one that matplotlib brings has them."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


@lru_cache(maxsize=4096)
def _is_missing(sign: str) -> bool:
    return not sign.isspace() and _shape(sign) == _shape("\uffff")


def _shape(sign: str) -> tuple[tuple[int, int], bytes]:
    mask = _font(20).getmask(sign)
    return mask.size, bytes(mask)
