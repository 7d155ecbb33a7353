import numpy as np
import pytest
import torch

from tests.drawing.tiles import boxes, coloured, letters, visible
from vae_lightning.drawing.thumbnails import thumbnail_map


def levels(*shape, **options):
    return coloured(*shape, **options).mul(255).round().to(torch.uint8)


CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def test_images_are_at_their_points_the_second_coordinate_upwards():
    places = boxes(thumbnail_map(CORNERS, levels(4), "map", "run", side=400), 4)
    (low, left, *size), (_, right, *_), (high, _, *_), upper_right = places
    assert size == [56, 56]  # twice 28 px
    assert upper_right == (high, right, 56, 56)
    assert right - left == low - high > 300


def test_small_images_are_enlarged_by_whole_numbers_only():
    images = torch.randint(0, 256, (1, 3, 28, 28), dtype=torch.uint8)
    picture = thumbnail_map(np.zeros((1, 2)), images, "", "", side=300)
    pixels = images[0].permute(1, 2, 0).numpy()
    enlarged = pixels.repeat(2, axis=0).repeat(2, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(picture, enlarged.shape)[:, :, 0]
    assert any(np.array_equal(window, enlarged) for row in windows for window in row)


def test_large_images_are_shrunk_and_keep_their_colours():
    [(*_, height, width)] = boxes(thumbnail_map(np.zeros((1, 2)), levels(1, side=150), "", "", side=300), 1)
    assert (height, width) == (64, 64)


def test_images_hardly_cover_one_another_and_are_left_out_only_where_they_would():
    count, side = 400, 500
    points = np.random.default_rng(0).random((count, 2))
    picture = thumbnail_map(points, levels(count), "map", "run", side=side)
    seen = visible(picture, count)
    shown = seen > 0
    assert 20 < shown.sum() < count
    assert seen[shown].min() > 0.36 * 28 * 28
    # In pixels, each one left out would have covered one that is shown.
    pixels = (points - points.min(axis=0)) / np.ptp(points, axis=0).max() * (side - 28 - 16)
    distances = np.abs(pixels[~shown][:, None] - pixels[shown][None]).max(axis=-1)
    assert (distances.min(axis=1) < 28).all()


def test_equal_points_show_one_image():
    picture = thumbnail_map(np.zeros((50, 2)), levels(50), "map", "run", side=200)
    assert np.count_nonzero(visible(picture, 50)) == 1


def test_points_that_are_not_finite_are_left_out():
    points = CORNERS.copy()
    points[1, 0] = np.nan
    picture = thumbnail_map(points, levels(4), "map", "run", side=300)
    assert (visible(picture, 4) > 0).tolist() == [True, False, True, True]
    with pytest.raises(ValueError, match="finite"):
        thumbnail_map(np.full((4, 2), np.inf), levels(4), "map", "run")


def test_caption_and_note_surround_the_map():
    picture = thumbnail_map(CORNERS, levels(4), "map of the latent space", "run · epoch 3", side=500)
    tops = [top for top, *_ in boxes(picture, 4)]
    assert picture.shape[1] == 500
    assert letters(picture)[: min(tops)].any()
    assert letters(picture)[max(tops) + 56 :].any()


def test_points_must_match_images_that_can_be_shown():
    with pytest.raises(ValueError, match="images must be"):
        thumbnail_map(CORNERS, torch.zeros(4, 2, 8, 8, dtype=torch.uint8), "map", "run")
