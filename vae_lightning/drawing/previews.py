"""Images as training gets them, above a histogram of their values."""

import math

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.drawing.captions import BACKGROUND, with_caption, with_note
from vae_lightning.drawing.grids import image_grid
from vae_lightning.drawing.lettering import FAINT_INK, text_width, write

_HEIGHT = 96  # of a channel's bars
_LOW = 40  # where there may be many of them
_BAR = 2  # pixels of width a level
_MARGIN = 12
_TICKS = (0, 64, 128, 192, 255)
_MOST_ABOVE = 25  # times the highest bar but for black and white
_SIZE = 11  # of their letters
_GREY = (240, 240, 240)
_RGB = ((235, 96, 96), (96, 210, 110), (110, 150, 245))


def preview_picture(
    images: Float[Tensor, "N C H W"],
    levels: Int[np.ndarray, "C 256"],
    title: str,
    context: str,
    note: str,
) -> UInt8[np.ndarray, "height width 3"]:
    """The images nearly in a square, with as few empty places as can be, above the histogram of each channel.

    Args:
        images: in [0, 1]; of their channels those are seen that `drawable` chooses.
        levels: how many pixels of each channel have each level.
        title: of the picture.
        context: what it shows, fainter.
        note: on the histogram, below it.

    Raises:
        ValueError: there are no images.
    """
    grid = image_grid(images, _columns(len(images), *images.shape[2:]))
    bars = with_note(_histogram(levels), note)
    width = max(grid.shape[1], bars.shape[1])
    return with_caption(np.concatenate([_widened(grid, width), _widened(bars, width)]), title, context)


def _columns(count: int, height: int, width: int) -> int:
    """Of up to a quarter more or fewer than make a square, those that leave the fewest places empty."""
    square = math.sqrt(max(count, 1) * height / width)
    most = max(1, math.ceil(square))
    near = range(most - most // 4, most + most // 4 + 1)
    return min(near, key=lambda columns: (-count % columns, abs(columns - square)))


def _widened(picture: UInt8[np.ndarray, "H W 3"], width: int) -> UInt8[np.ndarray, "H width 3"]:
    return np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=BACKGROUND)


def _histogram(levels: Int[np.ndarray, "C 256"]) -> UInt8[np.ndarray, "height width 3"]:
    if len(levels) == len(_RGB):
        panels = [_panel(counts, colour) for counts, colour in zip(levels, _RGB, strict=True)]
    elif len(levels) == 1:
        panels = [_panel(levels[0], _GREY)]
    else:
        panels = [_numbered(_panel(counts, _GREY, _LOW), number) for number, counts in enumerate(levels)]
    return np.concatenate([*panels, _ticks(panels[0].shape[1])])


def _numbered(panel: UInt8[np.ndarray, "H W 3"], number: int) -> UInt8[np.ndarray, "H W 3"]:
    """With the channel's number at its upper right, over the bars."""
    text, image = str(number), Image.fromarray(panel)
    write(image, image.width - _MARGIN - text_width(text, _SIZE), _SIZE, text, _SIZE, FAINT_INK)
    return np.asarray(image)


def _panel(
    counts: Int[np.ndarray, " 256"], colour: tuple[int, int, int], height: int = _HEIGHT
) -> UInt8[np.ndarray, "height width 3"]:
    """Bars as high as the square root of their share; what is far above the rest, as a black ground is, is cut off."""
    reference = max(counts[1:-1].max(), counts.max() / _MOST_ABOVE, 1)
    heights = np.sqrt(counts / reference).clip(max=1)
    filled = np.ceil(heights * (height - 8)).repeat(_BAR)
    panel = np.full((height, 256 * _BAR + 2 * _MARGIN, 3), BACKGROUND, np.uint8)
    inside = panel[:, _MARGIN:-_MARGIN]
    inside[np.arange(height)[:, None] >= height - filled] = colour
    panel[-1, _MARGIN:-_MARGIN] = FAINT_INK
    return panel


def _ticks(width: int) -> UInt8[np.ndarray, "height width 3"]:
    strip = Image.new("L", (width, _SIZE + 8), BACKGROUND)
    for level in _TICKS:
        text = str(level)
        left = _MARGIN + level * _BAR - text_width(text, _SIZE) / 2
        write(strip, max(2, min(left, width - text_width(text, _SIZE) - 2)), strip.height / 2, text, _SIZE, FAINT_INK)
    return np.asarray(strip.convert("RGB"))
