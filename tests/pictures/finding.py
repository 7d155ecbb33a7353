"""Where images stand in a picture, and the frames of a GIF: fixtures for the tests of what `generate` writes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

Places = list[tuple[int, int]]
Pixels = np.ndarray | torch.Tensor | Path


@pytest.fixture
def places_of() -> Callable[[Pixels, Pixels], Places]:
    return _places_of


@pytest.fixture
def frames_of() -> Callable[[Path], list[np.ndarray]]:
    return _frames_of


def _places_of(image: Pixels, picture: Pixels) -> Places:
    """Where, in reading order, an image stands in a picture, to the last level, at any whole enlargement."""
    tile, ground = _colours(image), _colours(picture)
    found: Places = []
    for scale in range(1, 1 + min(ground.shape[0] // tile.shape[0], ground.shape[1] // tile.shape[1])):
        found += _at_scale(tile.repeat(scale, axis=0).repeat(scale, axis=1), ground)
    return sorted(found)


def _at_scale(tile: np.ndarray, ground: np.ndarray) -> Places:
    height, width, _ = tile.shape
    tops, lefts = np.indices((len(ground) - height + 1, ground.shape[1] - width + 1)).reshape(2, -1)
    for probe in np.random.default_rng(0).permutation(height * width)[:200]:  # by then few places are left
        row, column = divmod(int(probe), width)
        alike = (ground[tops + row, lefts + column] == tile[row, column]).all(axis=1)
        tops, lefts = tops[alike], lefts[alike]
    where = zip(tops.tolist(), lefts.tolist(), strict=True)
    return [(y, x) for y, x in where if np.array_equal(ground[y : y + height, x : x + width], tile)]


def _colours(pixels: Pixels) -> np.ndarray:
    """As [H, W, 3], uint8: of a file, of a tensor [C, H, W] (a float one in [0, 1]), or of an array."""
    if isinstance(pixels, Path):
        return np.asarray(Image.open(pixels).convert("RGB"))
    if isinstance(pixels, torch.Tensor):
        levels = pixels.mul(255).round().to(torch.uint8) if pixels.is_floating_point() else pixels
        return levels.expand(3, -1, -1).permute(1, 2, 0).numpy()
    return pixels


def _frames_of(file: Path) -> list[np.ndarray]:
    gif, frames = Image.open(file), []
    for index in range(gif.n_frames):
        gif.seek(index)
        frames.append(np.asarray(gif.convert("RGB")))
    return frames
