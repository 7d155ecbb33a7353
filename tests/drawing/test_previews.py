"""The picture of what training gets."""

import numpy as np
import pytest
import torch

from vae_lightning.drawing.captions import BACKGROUND
from vae_lightning.drawing.grids import image_grid
from vae_lightning.drawing.previews import _HEIGHT, _MARGIN, _panel, preview_picture


def drawn(images: torch.Tensor, levels: np.ndarray) -> np.ndarray:
    return preview_picture(images, levels, "title", "context", "note")


def heights(counts: list[int]) -> np.ndarray:
    panel = _panel(np.array(counts), (200, 10, 10))
    return (panel[:-1, _MARGIN:-_MARGIN] == (200, 10, 10)).all(2).sum(0)[::2]


def test_a_bar_is_as_high_as_the_root_of_its_share():
    counts = [0] * 256
    counts[10], counts[200] = 400, 100
    found = heights(counts)
    assert found[10] == pytest.approx(2 * found[200], abs=2)
    assert found[10] > _HEIGHT / 2
    assert found[[0, 9, 11, 255]].tolist() == [0] * 4


def test_a_black_ground_leaves_the_rest_to_be_seen():
    counts = [1_000_000] + [100] * 255
    found = heights(counts)
    assert found[0] == found.max()
    assert found[1] > 0
    assert heights([1_000_000] + [50_000] * 255)[1] == found[0]
    assert heights([900, *[0] * 254, 100])[255] > 0  # binary pixels
    assert (heights([0] * 256) == 0).all()


@pytest.mark.parametrize(
    ("count", "size", "columns"),
    [(64, (30, 40), 8), (64, (40, 30), 8), (64, (32, 32), 8), (50, (32, 32), 10), (7, (8, 8), 3)],
)
def test_the_rows_of_images_are_full_where_that_is_nearly_a_square(count, size, columns):
    images = torch.rand(count, 1, *size) / 2 + 0.5
    picture = drawn(images, np.full((1, 256), 5))
    grid = image_grid(images, columns)
    tops = range(len(picture) - len(grid))
    assert any(np.array_equal(picture[top : top + len(grid), : grid.shape[1]], grid) for top in tops)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(8, 8), (8, 40), (40, 8), (300, 300)])
def test_images_stand_above_the_bars_of_each_channel(channels, size):
    levels = np.full((channels, 256), 5)
    few, many = (drawn(torch.ones(count, channels, *size), levels) for count in (4, 16))
    assert len(many) > len(few)
    assert (few == 255).all(2).sum() >= 4 * size[0] * size[1]
    one = drawn(torch.zeros(4, channels, *size), np.zeros_like(levels))
    assert (few != one).sum() > 256 * (
        channels * _HEIGHT if channels in (1, 3) else channels * 30
    )  # the images, and the bars
    assert (few[:, -1] == BACKGROUND).all()
