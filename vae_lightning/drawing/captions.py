"""A line of text above or below a picture, and the one ground all pictures share."""

import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vae_lightning.drawing.lettering import FAINT_INK, INK, fitting_size, text_width, write

BACKGROUND = 72  # a grey that stands out from black digits and from white photographs alike
_MARGIN = 6
_AXIS_SIZE = 14
_APART = 24  # between a text and its context on one line


AVERAGED = "averaged weights"  # what is said of a model whose weights are averages of those that are trained


def origin(name: str, folder: str, epoch: int, averaged: bool = False, shown: str = "") -> str:
    """Where a picture comes from: the run's name, the job where its folder is that of a sweep's job, and the epoch.

    Of averaged weights it says that they are, and which channels are shown where that is to be said.
    """
    run = f"{name}, job {folder}" if folder.isdigit() else name
    return " · ".join([run, f"epoch {epoch}", *[AVERAGED] * averaged, *([shown] if shown else [])])


def nats(value: float) -> str:
    """A figure in nats, to two places; what rounds to zero has no sign."""
    return f"{round(value, 2) + 0.0:.2f}"


def with_caption(
    picture: UInt8[np.ndarray, "H W 3"],
    text: str,
    context: str = "",
    size: int = 14,
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture under a strip that bears the text.

    Text too long for the width is set smaller, down to 9 px; after that the picture is widened on the right.
    Without a context, the strip's height depends on `size` alone.

    Args:
        picture: what the caption is about.
        text: at the left.
        context: fainter, such as the run's name: at the right of the line where both fit, else on a second line.
        size: of the letters, in pixels.
    """
    width = picture.shape[1] - 2 * _MARGIN
    if context and text_width(text, size) + _APART + text_width(context, size) <= width:
        strip = _strip(text, size, picture.shape[1])
        left = strip.width - _MARGIN - text_width(context, size)
        write(strip, left, strip.height / 2 + 1, context, size, FAINT_INK)
        return _stack([_pixels(strip), picture])
    lines = [_strip(text, size, picture.shape[1])]
    if context:
        lines.append(_strip(context, min(size, 12), picture.shape[1], FAINT_INK))
    return _stack([*(_pixels(line) for line in lines), picture])


def with_note(picture: UInt8[np.ndarray, "H W 3"], text: str, size: int = 12) -> UInt8[np.ndarray, "height width 3"]:
    """The picture above a strip that bears the text, faint; long texts as in `with_caption`."""
    return _stack([picture, _pixels(_strip(text, size, picture.shape[1], FAINT_INK))])


def with_axes(picture: UInt8[np.ndarray, "H W 3"], across: str, upwards: str) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with an axis' name above its middle, and another at its left, to be read upwards.

    Names too long for their side are set smaller, down to 9 px; after that the picture is lengthened.
    """
    name = np.rot90(_axis_name(upwards, len(picture)))
    named = np.concatenate([name, _lengthened(picture, len(name))], axis=1)
    return _stack([_axis_name(across, named.shape[1]), named])


def _axis_name(name: str, length: int) -> UInt8[np.ndarray, "height width 3"]:
    size = fitting_size(name, _AXIS_SIZE, length - 2 * _MARGIN)
    width = text_width(name, size)
    strip = Image.new("L", (max(length, math.ceil(width) + 2 * _MARGIN), _AXIS_SIZE + 6), BACKGROUND)
    write(strip, (strip.width - width) / 2, strip.height / 2 + 1, name, size)
    return _pixels(strip)


def _lengthened(picture: UInt8[np.ndarray, "_ W 3"], height: int) -> UInt8[np.ndarray, "height W 3"]:
    missing = height - len(picture)
    return np.pad(picture, ((missing // 2, missing - missing // 2), (0, 0), (0, 0)), constant_values=BACKGROUND)


def _strip(text: str, size: int, width: int, ink: int = INK) -> Image.Image:
    fitting = fitting_size(text, size, width - 2 * _MARGIN)
    width = max(width, math.ceil(text_width(text, fitting)) + 2 * _MARGIN)
    strip = Image.new("L", (width, size + 9), BACKGROUND)
    write(strip, _MARGIN, strip.height / 2 + 1, text, fitting, ink)
    return strip


def _pixels(strip: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    return np.asarray(strip.convert("RGB"))


def _stack(parts: list[UInt8[np.ndarray, "_ _ 3"]]) -> UInt8[np.ndarray, "height width 3"]:
    width = max(part.shape[1] for part in parts)
    gaps = [((0, 0), (0, width - part.shape[1]), (0, 0)) for part in parts]
    return np.concatenate(
        [np.pad(part, gap, constant_values=BACKGROUND) for part, gap in zip(parts, gaps, strict=True)]
    )
