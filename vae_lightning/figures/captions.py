"""A line of text above a picture, and the one ground all pictures share."""

from functools import lru_cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

BACKGROUND = 72  # a grey that stands out from black digits and from white photographs alike
_INK = 240
_MARGIN = 6
_SMALLEST_FONT = 10


def with_caption(
    picture: UInt8[np.ndarray, "H W 3"],
    text: str,
    size: int = 15,
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture under a strip that bears the text.

    Text too long for the width is set smaller, down to 10 px; after that the picture is widened on the right.
    The strip's height depends on `size` alone.
    """
    font = _fitting_font(text, size, picture.shape[1] - 2 * _MARGIN)
    width = max(picture.shape[1], int(np.ceil(font.getlength(text))) + 2 * _MARGIN)
    strip = Image.new("L", (width, size + 9), BACKGROUND)
    ImageDraw.Draw(strip).text((_MARGIN, strip.height / 2 + 1), text, fill=_INK, font=font, anchor="lm")
    padded = np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=BACKGROUND)
    return np.concatenate([np.asarray(strip.convert("RGB")), padded])


def _fitting_font(text: str, size: int, width: int) -> FreeTypeFont:
    smallest = min(size, _SMALLEST_FONT)
    fonts = (_font(candidate) for candidate in range(size, smallest - 1, -1))
    return next((font for font in fonts if font.getlength(text) <= width), _font(smallest))


@lru_cache
def _font(size: int) -> FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, FreeTypeFont)  # Pillow's wheels all carry FreeType
    return font
