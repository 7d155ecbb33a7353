"""Images that are found again in a picture: each of one colour, which no other has, nor any text or ground."""

import functools
from collections.abc import Callable

import numpy as np
import torch

from vae_lightning.drawing.captions import BACKGROUND
from vae_lightning.drawing.sheets import Sheet


def colours(count: int) -> torch.Tensor:
    """`[count, 3]`, uint8; never grey, as letters are."""
    numbers = torch.arange(count)
    return torch.stack([20 + numbers % 60, 100 + numbers // 60, torch.full_like(numbers, 230)], dim=1).to(torch.uint8)


def coloured(*shape: int, side: int = 28) -> torch.Tensor:
    """Images `[*shape, 3, side, side]` in [0, 1], in the order of `colours`."""
    count = int(np.prod(shape))
    flat = (colours(count).float() / 255)[:, :, None, None].expand(count, 3, side, side)
    return flat.reshape(*shape, 3, side, side)


def in_pixels(function: Callable[..., Sheet]) -> Callable[..., np.ndarray]:
    """A function that makes a sheet, as one that draws it for the screen."""

    @functools.wraps(function)
    def draw(*args: object, **kwargs: object) -> np.ndarray:
        return function(*args, **kwargs).pixels()

    return draw


def boxes(picture: np.ndarray, count: int) -> list[tuple[int, int, int, int]]:
    """Where the images are: (top, left, height, width) of each, whole and without holes."""
    numbers, rows, columns = _pixels(picture)
    lowest, highest = (
        np.stack([reduce(numbers, count, places) for places in (rows, columns)], axis=1) for reduce in (_least, _most)
    )
    sizes = highest - lowest + 1
    assert (np.bincount(numbers, minlength=count) == sizes.prod(axis=1)).all(), "missing, covered in part or twice"
    return [(int(top), int(left), int(h), int(w)) for (top, left), (h, w) in zip(lowest, sizes, strict=True)]


def visible(picture: np.ndarray, count: int) -> np.ndarray:
    """How many pixels of each image are seen."""
    return np.bincount(_pixels(picture)[0], minlength=count)


def _pixels(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of the image, row and column of each pixel that belongs to one."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    rows, columns = np.nonzero((blue == 230) & (red < 80))
    return (60 * (green - 100) + red - 20)[rows, columns], rows, columns


def _least(numbers: np.ndarray, count: int, places: np.ndarray) -> np.ndarray:
    least = np.full(count, 10**6)
    np.minimum.at(least, numbers, places)
    return least


def _most(numbers: np.ndarray, count: int, places: np.ndarray) -> np.ndarray:
    return -_least(numbers, count, -places)


def letters(picture: np.ndarray) -> np.ndarray:
    """Where there are letters: grey but not the ground."""
    grey = (picture == picture[..., :1]).all(axis=-1)
    return grey & (picture[..., 0] != BACKGROUND)


def is_whole(ink: np.ndarray) -> bool:
    """Whether there are letters, and none touches the border."""
    return bool(ink.any()) and not any(side.any() for side in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))
