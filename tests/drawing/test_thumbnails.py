import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from tests.drawing.tiles import boxes, coloured, in_pixels, is_whole, letters, visible
from vae_lightning.drawing import sheets, thumbnails

thumbnail_map = in_pixels(thumbnails.thumbnail_map)


def levels(*shape, **options):
    return coloured(*shape, **options).mul(255).round().to(torch.uint8)


CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def test_images_are_at_their_points_the_second_coordinate_upwards():
    places = boxes(thumbnail_map(CORNERS, levels(4), "map", "run", side=400), 4)
    (low, left, *size), (_, right, *_), (high, _, *_), upper_right = places
    assert size == [84, 84]  # three times 28 px
    assert upper_right == (high, right, 84, 84)
    assert right - left == low - high > 200


def test_small_images_are_enlarged_by_whole_numbers_only():
    images = torch.randint(0, 256, (1, 3, 28, 28), dtype=torch.uint8)
    picture = thumbnail_map(np.zeros((1, 2)), images, "", "", side=300)
    pixels = images[0].permute(1, 2, 0).numpy()
    enlarged = pixels.repeat(3, axis=0).repeat(3, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(picture, enlarged.shape)[:, :, 0]
    assert any(np.array_equal(window, enlarged) for row in windows for window in row)


def test_large_images_are_shrunk_and_keep_their_colours():
    [(*_, height, width)] = boxes(thumbnail_map(np.zeros((1, 2)), levels(1, side=150), "", "", side=300), 1)
    assert (height, width) == (96, 96)


@pytest.mark.parametrize("count", [5, 137, 800])
@pytest.mark.parametrize("squeezed", [1, 50])
def test_all_images_are_whole_and_near_their_points(count, squeezed):
    points = np.random.default_rng(0).normal(size=(count, 2)) / [1, squeezed]
    places = np.array(boxes(thumbnail_map(points, levels(count), "map", "run", side=500), count))
    assert len({tuple(place) for place in places[:, 2:].tolist()}) == 1
    distances, apart = pdist(points), pdist(places[:, :2].astype(float))
    assert spearmanr(distances, apart).statistic > 0.85


def test_equal_points_lie_side_by_side():
    places = np.array(boxes(thumbnail_map(np.zeros((50, 2)), levels(50), "map", "run", side=200), 50))
    assert np.ptp(places[:, :2], axis=0).max() < 10 * 30


def test_of_very_many_images_some_are_left_out_and_the_note_says_so(monkeypatch):
    monkeypatch.setattr(thumbnails, "_MOST", 20)
    noted = []
    monkeypatch.setattr(sheets, "with_note", lambda picture, text: noted.append(text) or picture)
    picture = thumbnail_map(np.random.default_rng(0).normal(size=(50, 2)), levels(50), "map", "run", side=300)
    assert np.flatnonzero(visible(picture, 50)).tolist() == list(range(0, 50, 3))
    assert noted[0].startswith("17 of 50 images, ")


def test_points_that_are_not_finite_are_left_out():
    points = CORNERS.copy()
    points[1, 0] = np.nan
    picture = thumbnail_map(points, levels(4), "map", "run", side=300)
    assert (visible(picture, 4) > 0).tolist() == [True, False, True, True]
    with pytest.raises(ValueError, match="finite"):
        thumbnail_map(np.full((4, 2), np.inf), levels(4), "map", "run")


def test_caption_and_note_surround_the_map():
    axes = "principal component 1", "principal component 2"
    picture = thumbnail_map(CORNERS, levels(4), "map of the latent space", "run · epoch 3", axes, side=500)
    places = boxes(picture, 4)
    top, left, bottom = min(place[0] for place in places), min(place[1] for place in places), max(places)[0] + 84
    assert is_whole(letters(picture)[: top - 28])
    assert is_whole(letters(picture)[top - 28 : top - 4])
    assert is_whole(letters(picture)[top:bottom, : left - 4])
    assert is_whole(letters(picture)[bottom + 8 :])


def test_flat_images_are_shrunk_smoothly_and_keep_their_proportions():
    """Their shorter side stays a pixel, whatever the longer one does."""
    stripes = torch.zeros(4, 1, 1, 400, dtype=torch.uint8)
    stripes[..., ::2] = 254
    picture = thumbnail_map(CORNERS, stripes, "map", "run")
    inside = (picture == picture[..., :1]).all(2) & (np.abs(picture[..., 0].astype(int) - 127) < 3)
    assert inside.sum() > 4 * 60
    assert thumbnails._size(4, torch.Size((10, 200)), 96) == (5, 96)


def test_points_must_match_images_that_can_be_shown():
    with pytest.raises(ValueError, match="images must be"):
        thumbnail_map(CORNERS, torch.zeros(4, 0, 8, 8, dtype=torch.uint8), "map", "run")
