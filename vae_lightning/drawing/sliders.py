"""A slider under an animation: where on its way each frame is."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from vae_lightning.drawing.captions import BACKGROUND
from vae_lightning.drawing.lettering import FAINT_INK, INK, text_width, write

_HEIGHT = 26
_MARGIN = 12
_SIZE = 14
_RADIUS = 5
_SHORTEST = 40


def there_and_back(count: int) -> list[int]:
    """The order of frames that walks to the last of `count` and back, none shown twice in a row when repeated."""
    return [*range(count), *range(count - 2, 0, -1)]


def with_slider(
    pictures: Sequence[UInt8[np.ndarray, "H W 3"]], texts: Sequence[str]
) -> list[UInt8[np.ndarray, "height width 3"]]:
    """Each picture above a track with a knob, which moves from the left end to the right from first to last.

    Args:
        pictures: of one size; they are widened where a text needs it.
        texts: what is said at the left of the track; it starts at the same place in every picture.
    """
    room = max(text_width(text, _SIZE) for text in texts)
    start = 2 * _MARGIN + round(room) if room else _MARGIN
    width = max(pictures[0].shape[1], start + _SHORTEST + _MARGIN)
    track = (start, width - _MARGIN - 1)
    frames = []
    for index, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        knob = track[0] + (track[1] - track[0]) * index / max(1, len(pictures) - 1)
        padded = np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=BACKGROUND)
        frames.append(np.concatenate([padded, _slider(width, track, knob, text)]))
    return frames


def _slider(width: int, track: tuple[int, int], knob: float, text: str) -> UInt8[np.ndarray, "height width 3"]:
    strip = Image.new("L", (width, _HEIGHT), BACKGROUND)
    draw = ImageDraw.Draw(strip)
    middle = _HEIGHT // 2
    draw.line((track[0], middle, track[1], middle), fill=FAINT_INK, width=2)
    draw.ellipse((knob - _RADIUS, middle - _RADIUS, knob + _RADIUS, middle + _RADIUS), fill=INK)
    write(strip, _MARGIN, middle + 1, text, _SIZE)
    return np.asarray(strip.convert("RGB"))
