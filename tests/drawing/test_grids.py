import numpy as np
import pytest
import torch

from tests.drawing.tiles import boxes, coloured, in_pixels, is_whole, letters
from vae_lightning.drawing import grids
from vae_lightning.drawing.captions import BACKGROUND
from vae_lightning.drawing.grids import image_grid, image_table, named_grid

comparison_grid, sample_grid = map(in_pixels, (grids.comparison_grid, grids.sample_grid))


def solid(value: float, num_images: int = 1, channels: int = 1, side: int = 28):
    return torch.full((num_images, channels, side, side), value)


def test_grid_is_in_reading_order():
    values = torch.arange(6) / 5
    grid = image_grid(values.view(6, 1, 1, 1).expand(6, 1, 4, 4), columns=3, scale=1, padding=1)
    assert grid.shape == (11, 16, 3)
    centres = grid[2::5, 2::5, 0]
    assert centres.tolist() == [[0, 51, 102], [153, 204, 255]]


def test_grid_rounds_and_clamps():
    values = torch.tensor([-0.5, 0.4 / 255, 0.6 / 255, 254.6 / 255, 1.5, float("nan")])
    grid = image_grid(values.view(6, 1, 1, 1), columns=6, scale=1, padding=0)
    assert grid[0, :, 0].tolist() == [0, 0, 1, 255, 255, 0]


def test_grid_keeps_every_uint8_level_and_the_order_of_colours():
    levels = torch.arange(256, dtype=torch.uint8)
    images = torch.stack([levels, levels.flip(0), levels.roll(7)]).view(1, 3, 16, 16)
    grid = image_grid(images.float() / 255, columns=1, scale=1, padding=0)
    assert np.array_equal(grid, images[0].permute(1, 2, 0).numpy())


def test_grey_becomes_equal_red_green_and_blue():
    grid = image_grid(torch.rand(3, 1, 8, 8), columns=2)
    assert (grid == grid[..., :1]).all()


@pytest.mark.parametrize(("side", "scale"), [(16, 6), (28, 3), (32, 3), (64, 1), (96, 1), (150, 1)])
def test_small_images_are_enlarged_by_repeating_pixels(side, scale):
    image = torch.rand(1, 3, side, side)
    grid = image_grid(image, columns=1, padding=0)
    assert grid.shape == (side * scale, side * scale, 3)
    small = image_grid(image, columns=1, scale=1, padding=0)
    assert np.array_equal(grid[::scale, ::scale], small)
    assert np.array_equal(grid[scale - 1 :: scale, scale - 1 :: scale], small)


def test_incomplete_row_ends_in_background():
    grid = image_grid(solid(1.0, num_images=3), columns=2, scale=1, padding=2)
    assert (grid[32:, 32:] == BACKGROUND).all()
    assert (grid[:2] == BACKGROUND).all()
    assert (grid == 255).all(axis=-1).sum() == 3 * 28 * 28


def test_samples_are_nearly_in_a_square_or_have_a_row_a_label():
    images = torch.linspace(0, 1, 7).view(7, 1, 1, 1).expand(-1, 1, 4, 4)
    assert np.array_equal(sample_grid(images), image_grid(images, columns=3))
    empty = torch.full((1, 1, 4, 4), BACKGROUND / 255)
    first, second, third = images[::3], torch.cat([images[1::3], empty]), torch.cat([images[2::3], empty])
    expected = image_table(torch.stack([first, second, third]), left=["0", "1", "2"])
    assert np.array_equal(sample_grid(images, ["0", "1", "2"]), expected)


def test_a_row_much_longer_than_the_picture_is_high_is_broken():
    images = torch.linspace(0, 1, 60).view(60, 1, 1, 1).expand(-1, 1, 6, 10)
    picture = sample_grid(images, ["cat", "dog"])
    lines = images.unflatten(0, (30, 2)).transpose(0, 1).unflatten(1, (5, 6)).flatten(0, 1)
    named = ["cat", *[""] * 4, "dog", *[""] * 4]
    assert np.array_equal(picture, image_table(lines, left=named, gaps_after_rows=[4]))


@pytest.mark.parametrize(("shape", "columns"), [((8, 32), 2), ((32, 8), 8), ((8, 1000), 1)])
def test_samples_that_are_no_squares_are_nearly_in_one(shape, columns):
    images = torch.rand(16, 1, *shape)
    assert np.array_equal(sample_grid(images), image_grid(images, columns=columns))


def test_fewer_images_than_columns_leave_no_empty_columns():
    assert image_grid(solid(1.0, num_images=2), columns=8, scale=1, padding=2).shape == (32, 62, 3)


def test_images_need_not_be_square_nor_contiguous_nor_float32():
    images = torch.rand(4, 3, 20, 30).to(memory_format=torch.channels_last)
    assert image_grid(images, columns=2, scale=1, padding=0).shape == (40, 60, 3)
    assert np.array_equal(image_grid(images.double(), 2), image_grid(images, 2))
    assert image_grid(images.bfloat16(), 2).dtype == np.uint8


@pytest.mark.parametrize("arguments", [{"columns": 0}, {"columns": 2, "scale": 0}])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=r"(columns|scale) must be at least 1, got 0"):
        image_grid(solid(1.0), **arguments)


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (1, 0, 8, 8)])
def test_bad_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="images must be"):
        image_grid(torch.zeros(shape), columns=1)


def test_comparison_has_each_original_right_above_its_reconstruction():
    # 5 originals of levels 10, 20, ..., 50; each reconstruction is lighter by 100.
    originals = (torch.arange(1, 6) * 10 / 255).view(5, 1, 1, 1).expand(5, 1, 40, 40)
    picture = comparison_grid(originals, originals + 100 / 255, columns=2, scale=1, padding=2)
    below_caption = picture[-(2 + 6 * 42 + 2 * 8) :, 12, 0].tolist()  # through the first column
    image_rows = [row for row in below_caption if row != BACKGROUND]
    assert image_rows == [10] * 40 + [110] * 40 + [30] * 40 + [130] * 40 + [50] * 40 + [150] * 40
    second_column = picture[-(2 + 6 * 42 + 2 * 8) :, 54, 0].tolist()
    image_rows = [row for row in second_column if row != BACKGROUND]
    assert image_rows == [20] * 40 + [120] * 40 + [40] * 40 + [140] * 40


def test_pairs_stand_apart_more_than_the_images_of_a_pair():
    picture = comparison_grid(solid(1.0, 4), solid(1.0, 4), columns=2, scale=1)
    is_image = (picture[:, 10, 0] == 255).astype(int)
    edges = np.flatnonzero(np.diff(is_image))
    gaps = edges[2::2] - edges[1:-1:2]
    assert gaps[1] >= 4 * gaps[0] == 4 * gaps[2]


def test_comparison_shows_its_context():
    images = solid(1.0, 8)
    plain, told = (comparison_grid(images, images, 8, context=context) for context in (" ", "mnist · epoch 3"))
    assert plain.shape == told.shape
    assert letters(told)[:24].sum() > letters(plain)[:24].sum()
    assert np.array_equal(plain[24:], told[24:])


# Tables


def test_table_has_every_image_in_its_place():
    table = image_table(coloured(2, 3, side=10), gaps_after_columns=[0], gaps_after_rows=[0], scale=2, padding=3)
    lefts = [3, 3 + 23 + 12, 3 + 2 * 23 + 12]  # the gap is 4 paddings wide
    tops = [3, 3 + 23 + 12]
    assert boxes(table, 6) == [(top, left, 20, 20) for top in tops for left in lefts]
    assert table.shape == (tops[-1] + 23, lefts[-1] + 23, 3)


@pytest.mark.parametrize("side", [4, 8, 28, 64])
@pytest.mark.parametrize("scale", [None, 1])
def test_labels_leave_images_whole_and_are_whole_themselves(side, scale):
    left, right = ["z 1", "z 12", "a dimension of a long name"], ["KL = 1.23", "", "KL = 0.00"]
    top = ["-3.00", "an input of a long name", "", "3.00"]
    plain = image_table(coloured(3, 4, side=side), scale=scale)
    table = image_table(coloured(3, 4, side=side), left=left, right=right, top=top, scale=scale)
    moved = [np.subtract(there, here) for there, here in zip(boxes(table, 12), boxes(plain, 12), strict=True)]
    assert len({tuple(move) for move in moved}) == 1
    down, across = moved[0][:2]
    assert down > 0 < across
    assert is_whole(letters(table))
    beside = letters(table)[down:]
    assert beside[:, :across].any()
    assert beside[:, across + plain.shape[1] :].any()


def test_labels_stand_beside_the_middle_of_their_rows_and_columns():
    table = image_table(coloured(2, 2), left=["", "z"], right=["K", ""], top=["", "x"])
    upper_left, *_, lower_right = boxes(table, 4)
    ink = letters(table)
    rows, columns = np.nonzero(ink[:, : upper_left[1]])
    assert abs(rows.mean() - (lower_right[0] + 42)) < 3  # images are 84 px high
    assert columns.max() < upper_left[1]
    rows, columns = np.nonzero(ink[:, lower_right[1] + 84 :])
    assert abs(rows.mean() - (upper_left[0] + 42)) < 3
    rows, columns = np.nonzero(ink[: upper_left[0]])
    assert abs(columns.mean() - (lower_right[1] + 42)) < 3


def test_table_without_labels_is_a_grid():
    images = torch.rand(3, 4, 1, 28, 28)
    assert np.array_equal(image_table(images), image_grid(images.flatten(0, 1), columns=4))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("left", ["a"]),
        ("right", ["a", "b", "c"]),
        ("top", ["a", "b"]),
        ("gaps_after_rows", [2]),
        ("gaps_after_columns", [-1]),
    ],
)
def test_labels_and_gaps_must_fit_the_table(name, value):
    with pytest.raises(ValueError, match=name):
        image_table(coloured(2, 3), **{name: value})


def test_table_of_nothing_is_refused():
    with pytest.raises(ValueError, match="images must be"):
        image_table(torch.zeros(2, 0, 1, 8, 8))


# Grids of named images


@pytest.mark.parametrize("side", [4, 28, 64])
def test_each_image_is_under_its_name(side):
    grid = named_grid(coloured(5, side=side), [f"z {n}  KL 12.34" for n in range(5)], columns=3, scale=1)
    ink = letters(grid)
    assert is_whole(ink)
    for top, left, _, width in boxes(grid, 5):
        middle = left + width // 2
        assert ink[top - 18 : top, middle - 30 : middle + 30].any()
    assert boxes(grid, 5)[3][1] == boxes(grid, 5)[0][1]  # the fourth begins a row


def test_names_must_be_as_many_as_images():
    with pytest.raises(ValueError, match="names must be 2, got 1"):
        named_grid(coloured(2), ["z 1"], columns=2)
