"""Sprites as dSprites has them, drawn: a square, an ellipse or a heart of some size, turned and put somewhere.

The grid of factors, its order and the size of the images are those of dSprites (Matthey, Higgins, Hassabis and
Lerchner, 2017), whose pixels these are not: each pixel is white if its middle lies within the shape.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8

SIDE = 64
SHAPES = ("square", "ellipse", "heart")
FACTORS = ("shape", "scale", "orientation", "position_x", "position_y")
_NUM_SHIFTS = 32  # of one pixel each
_REACH = SIDE // 2 + _NUM_SHIFTS // 2 - 1  # pixels from a shape's middle to the farthest that is ever seen
_SQUARE = 11.0  # half of its side, at scale 1; turned, it fits into 32 pixels as the others do
_ELLIPSE = (15.0, 10.0)  # half axes
_HEART = 12.0  # pixels of the curve's unit
_HEART_MIDDLE = 0.2  # of those units above the curve's own, so that it turns within as little room as it needs


@dataclass(frozen=True)
class SpriteGrid:
    """All combinations of the factors, the last of FACTORS running fastest.

    Args:
        num_scales: from 0.5 to 1.
        num_orientations: from 0 to 2 pi, both included, as dSprites has it.
        num_positions: along each axis, from the first pixel's to the 32nd's.
    """

    num_scales: int = 6
    num_orientations: int = 40
    num_positions: int = _NUM_SHIFTS

    @property
    def values(self) -> dict[str, tuple[float, ...]]:
        """What the classes of each factor mean; those of the shape are the numbers of SHAPES."""
        positions = tuple((self._shifts() / (_NUM_SHIFTS - 1)).tolist())
        return {
            "shape": tuple(map(float, range(len(SHAPES)))),
            "scale": tuple(np.linspace(0.5, 1, self.num_scales).tolist()),
            "orientation": tuple(np.linspace(0, 2 * math.pi, self.num_orientations).tolist()),
            "position_x": positions,
            "position_y": positions,
        }

    def __len__(self) -> int:
        return math.prod(map(len, self.values.values()))

    def classes(self) -> dict[str, Int64[np.ndarray, " N"]]:
        """The class of each factor, of each image."""
        sizes = [len(values) for values in self.values.values()]
        return dict(zip(FACTORS, np.unravel_index(np.arange(len(self)), sizes), strict=True))

    def blocks(self) -> Iterator[UInt8[np.ndarray, "n 64 64 1"]]:
        """All images in order, those of one shape, scale and orientation at a time."""
        for shape in SHAPES:
            for scale in self.values["scale"]:
                for orientation in self.values["orientation"]:
                    yield self._placed(drawn(shape, scale, orientation))

    def _placed(self, large: Bool[np.ndarray, "95 95"]) -> UInt8[np.ndarray, "n 64 64 1"]:
        windows = np.lib.stride_tricks.sliding_window_view(large.astype(np.uint8) * 255, (SIDE, SIDE))
        starts = _NUM_SHIFTS - 1 - self._shifts()  # the window moves against the shape
        return windows[starts[None, :], starts[:, None]].reshape(-1, SIDE, SIDE, 1)  # x before y

    def _shifts(self) -> Int64[np.ndarray, " _"]:
        return np.linspace(0, _NUM_SHIFTS - 1, self.num_positions).round().astype(np.int64)


def drawn(shape: str, scale: float, orientation: float) -> Bool[np.ndarray, "95 95"]:
    """A shape in the middle of a picture so large that each place of it in 64 x 64 is a part of that picture."""
    y, x = np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1] / scale
    across = x * math.cos(orientation) + y * math.sin(orientation)
    down = y * math.cos(orientation) - x * math.sin(orientation)
    if shape == "square":
        return np.maximum(abs(across), abs(down)) <= _SQUARE
    if shape == "ellipse":
        return (across / _ELLIPSE[0]) ** 2 + (down / _ELLIPSE[1]) ** 2 <= 1
    across, up = across / _HEART, _HEART_MIDDLE - down / _HEART
    return (across**2 + up**2 - 1) ** 3 <= across**2 * up**3
