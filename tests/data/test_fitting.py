"""How a picture of any size becomes images of one size."""

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lightning.data.fitting import cropped_size, fitted, frame_of, inner_size, middle, tile_boxes
from vae_lightning.data.resize import grey_pixels

FRAME = (10, 20)


def picture(height: int, width: int) -> Image.Image:
    """Black on the left, white on the right, and a grey band of a quarter above and below."""
    levels = np.zeros((height, width), np.uint8)
    levels[:, width // 2 :] = 255
    levels[: height // 4] = levels[-(height // 4) :] = 128
    return Image.fromarray(levels)


@pytest.mark.parametrize("given", [0, -3, [32], [0, 4], [4, 5, 6], [True, 4], [], True])
def test_a_size_is_a_positive_number_or_two(given):
    with pytest.raises(
        ValueError, match=r"^image_size must be a positive number of pixels, or two as \[height,width\]"
    ):
        frame_of(given)


def test_one_number_is_a_square():
    assert frame_of(7) == (7, 7)
    assert frame_of([3, 9]) == frame_of((3, 9)) == (3, 9)


@pytest.mark.parametrize("size", [(20, 40), (7, 200), (200, 7), (1, 1), (13, 24)])
def test_a_part_has_the_proportions_of_the_frame_and_lies_within_the_picture(size):
    for frame in (FRAME, FRAME[::-1], (5, 5)):
        part, inner = cropped_size(size, frame), inner_size(size, frame)
        assert 1 <= part[0] <= size[0]
        assert 1 <= part[1] <= size[1]
        assert part[0] == size[0] or part[1] == size[1]
        assert 1 <= inner[0] <= frame[0]
        assert 1 <= inner[1] <= frame[1]
        assert inner[0] == frame[0] or inner[1] == frame[1]
        if min(part) > 5:
            assert part[1] / part[0] == pytest.approx(frame[1] / frame[0], rel=0.1)


@pytest.mark.parametrize("size", [(60, 20), (20, 60), (37, 20)])
def test_of_a_longer_side_the_middle_is_kept_in_whole_pixels(size):
    levels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8))
    top, left = (size[0] - 20) // 2, (size[1] - 20) // 2
    expected = levels[top : top + 20, left : left + 20]
    assert torch.equal(grey_pixels(levels[None], 20, 1)[0, :, :, 0], expected)
    assert middle(size, (20, 20)) == (left, top, left + 20, top + 20)


def both(height: int, width: int, fit: str) -> list[np.ndarray]:
    """What becomes of the picture as a file and as one of many in RAM."""
    image = picture(height, width)
    in_memory = grey_pixels(torch.from_numpy(np.asarray(image).copy())[None], FRAME, 1, fit)
    return [np.asarray(fitted(image, FRAME, fit)), in_memory[0, :, :, 0].numpy()]


def test_a_crop_covers_the_frame():
    for image in both(40, 40, "crop"):  # the grey bands are cut off
        assert image.shape == FRAME
        assert (image[:, :9] < 20).all()
        assert (image[:, 11:] > 235).all()


def test_padding_shows_the_whole_picture_on_black():
    for image in both(40, 40, "pad"):
        assert image.shape == FRAME
        assert not image[:, :5].any()
        assert not image[:, 15:].any()
        assert (np.abs(image[0, 5:15].astype(int) - 128) < 20).all()
        assert (image[4:6, 11:15] > 235).all()
    for image in both(40, 80, "pad"):  # there is nothing to pad
        assert (image[0] > 100).all()


def test_stretching_fills_the_frame_with_the_whole_picture():
    for image in both(40, 40, "stretch"):
        assert image.shape == FRAME
        assert (np.abs(image[0].astype(int) - 128) < 20).all()
        assert (image[4:6, 11:] > 235).all()


def test_of_tiles_one_picture_is_the_middle_at_its_own_resolution():
    levels = np.random.default_rng(0).integers(0, 256, (15, 31), dtype=np.uint8)
    for image in (
        np.asarray(fitted(Image.fromarray(levels), FRAME, "tile")),
        grey_pixels(torch.from_numpy(levels)[None], FRAME, 1, "tile")[0, :, :, 0].numpy(),
    ):
        assert np.array_equal(image, levels[2:12, 5:25])
    with pytest.raises(ValueError, match=r"^9 x 31 pixels are less than a tile of 10 x 20"):
        fitted(Image.new("L", (31, 9)), FRAME, "tile")


def test_tiles_neither_overlap_nor_leave_a_gap():
    boxes = tile_boxes((25, 61), FRAME)
    assert boxes == [(x, y, x + 20, y + 10) for y in (2, 12) for x in (0, 20, 40)]
    assert tile_boxes((9, 61), FRAME) == []


def test_an_extreme_picture_keeps_a_pixel_at_least():
    for fit in ("crop", "pad", "stretch"):
        for image in both(400, 1, fit):
            assert image.shape == FRAME
