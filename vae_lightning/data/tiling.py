"""Which rows of the decoded pixels are of which picture: one row each, or one a tile."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int

from vae_lightning.data.decode import stated_size
from vae_lightning.data.fitting import num_tiles
from vae_lightning.data.waiting import watched

_ONE = (1, 1)


@dataclass(frozen=True)
class Tiling:
    """How many tiles of each picture lie below and beside each other.

    A picture without a tile has a row all the same, which stays black.
    """

    grids: Int[np.ndarray, "N 2"]

    @cached_property
    def starts(self) -> Int[np.ndarray, " N_and_1"]:
        """The first row of each picture, and at last the number of all rows."""
        return np.concatenate([[0], np.maximum(1, self.grids.prod(1, dtype=np.int64)).cumsum()])

    @property
    def num_rows(self) -> int:
        """Of all pictures."""
        return int(self.starts[-1])

    def of_rows(self, names: Sequence[str]) -> tuple[str, ...]:
        """The name of its picture for each row."""
        return tuple(name for name, count in zip(names, np.diff(self.starts), strict=True) for _ in range(count))

    def tile_names(self, names: Sequence[str]) -> tuple[str, ...]:
        """A name for each row: `a.png#0,1` is the second tile of the uppermost ones of a.png."""
        grids = zip(names, np.maximum(1, self.grids).tolist(), strict=True)
        return tuple(
            f"{name}#{row},{column}"
            for name, (rows, columns) in grids
            for row in range(rows)
            for column in range(columns)
        )


def whole(num_pictures: int) -> Tiling:
    """One row a picture."""
    return Tiling(np.ones((num_pictures, 2), np.int64))


def planned(pictures: Sequence[Path], frame: tuple[int, int], max_pixels: int) -> Tiling:
    """The tiles of pictures, by the sizes that their files state; one that can't be read is given one row."""
    looked_at = watched(pictures, "reading the sizes of images", "img")
    return Tiling(np.array([_grid(path, frame, max_pixels) for path in looked_at], np.int64))


def _grid(path: Path, frame: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    try:
        width, height = stated_size(path, max_pixels)
    except Exception:  # Pillow's plugins raise anything; decoding it says what
        return _ONE
    rows, columns = num_tiles((height, width), frame)
    return (rows, columns) if rows and columns else (0, 0)
