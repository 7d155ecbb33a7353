import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from vae_lightning.figures.captions import BACKGROUND, with_caption
from vae_lightning.figures.gifs import encode_gif, gif_frame, join_frames
from vae_lightning.figures.grids import comparison_grid, image_grid


def solid(value: float, num_images: int = 1, channels: int = 1, side: int = 28):
    return torch.full((num_images, channels, side, side), value)


def colourful(seed: int, side: int = 200):
    """A smooth picture of many colours, as a grid of faces is."""
    noise = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    image = torch.nn.functional.interpolate(noise, size=(side, side), mode="bicubic")
    return image_grid(image, columns=1)


def best_palette_error(picture) -> float:
    """Pillow's best and slowest: the palette is refined on all pixels."""
    image = Image.fromarray(picture).quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1)
    return np.abs(np.asarray(image.convert("RGB")).astype(int) - picture).mean()


def decode(gif: bytes):
    image = Image.open(io.BytesIO(gif))
    frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    durations = []
    for index in range(image.n_frames):
        image.seek(index)
        durations.append(image.info["duration"])
    return image, frames, durations


# Grids


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


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (1, 2, 8, 8)])
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


# Captions


@pytest.mark.parametrize("width", [20, 60, 120, 500])
@pytest.mark.parametrize("text", ["epoch 0", "epoch 12345", "input above, reconstruction below"])
def test_caption_is_whole_and_covers_nothing(width, text):
    picture = np.random.default_rng(0).integers(0, 256, (30, width, 3), dtype=np.uint8)
    captioned = with_caption(picture, text)
    assert np.array_equal(captioned[-30:, :width], picture)
    strip = captioned[:-30]
    ink = strip[..., 0] != BACKGROUND
    assert ink.any()
    # Nothing touches the border: no letter is cut off.
    border = [ink[0], ink[-1], ink[:, 0], ink[:, -2:]]
    assert not any(side.any() for side in border)


def test_strip_height_does_not_depend_on_the_text():
    picture = np.zeros((30, 70, 3), dtype=np.uint8)
    heights = {with_caption(picture, f"epoch {epoch}").shape for epoch in (0, 9, 10, 1000)}
    assert len(heights) == 1


def test_longer_texts_have_more_ink():
    picture = np.zeros((30, 300, 3), dtype=np.uint8)
    ink = [(with_caption(picture, "e" * n)[:-30, :, 0] > 200).sum() for n in (1, 5, 20)]
    assert ink[0] < ink[1] < ink[2]


# GIFs


def test_grey_frames_are_exact():
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 1), dtype=np.uint8).repeat(3, axis=2)
    for pictures in ([ramp, noise], [noise, ramp], [noise, noise[::-1].copy()]):
        _, frames, _ = decode(encode_gif(pictures, 100, 200))
        assert np.array_equal(frames, pictures)


def test_few_colours_are_exact_even_when_saturated():
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    picture = colours[np.random.default_rng(1).integers(0, 256, (50, 70))]
    one_colour = np.full((50, 70, 3), (250, 3, 77), dtype=np.uint8)
    _, frames, _ = decode(encode_gif([picture, one_colour], 100, 200))
    assert np.array_equal(frames[0], picture)
    assert np.array_equal(frames[1], one_colour)


def test_many_colours_survive():
    pictures = [colourful(seed) for seed in range(3)]
    _, frames, _ = decode(encode_gif(pictures, 100, 200))
    for frame, picture in zip(frames, pictures, strict=True):
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10_000
        error = np.abs(frame.astype(int) - picture)
        assert error.mean() < 1.05 * best_palette_error(picture)
        assert np.quantile(error, 0.99) < 26
        assert np.abs(frame.mean(axis=(0, 1)) - picture.mean(axis=(0, 1))).max() < 0.5


def test_large_pictures_are_as_true_as_small_ones():
    picture = colourful(0, side=400)
    _, [frame], _ = decode(encode_gif([picture], 100, 200))
    assert np.abs(frame.astype(int) - picture).mean() < 1.05 * best_palette_error(picture)


def test_gif_loops_for_ever_and_holds_its_last_frame():
    image, _, durations = decode(encode_gif([colourful(seed, 30) for seed in range(4)], 300, 2500))
    assert image.info["loop"] == 0
    assert durations == [300, 300, 300, 2500]
    assert image.size == (90 + 4, 90 + 4)


def test_equal_frames_stay_separate():
    picture = image_grid(solid(0.5), columns=1)
    image, frames, durations = decode(encode_gif([picture] * 5, 100, 500))
    assert image.n_frames == len(frames) == 5
    assert durations == [100] * 4 + [500]


def test_one_frame_is_a_gif_too():
    picture = image_grid(solid(0.5), columns=1)
    _, frames, _ = decode(encode_gif([picture], 100, 500))
    assert np.array_equal(frames[0], picture)


def test_old_frames_can_be_joined_again():
    pictures = [colourful(seed, 40) for seed in range(3)]
    frames = [gif_frame(picture) for picture in pictures]
    assert join_frames(frames[:2], 100, 200) == encode_gif(pictures[:2], 100, 200)
    assert join_frames(frames, 100, 200) == encode_gif(pictures, 100, 200)


def test_frames_must_be_some_and_of_one_size():
    with pytest.raises(ValueError, match="at least one"):
        encode_gif([], 100, 200)
    with pytest.raises(ValueError, match="of one size"):
        encode_gif([colourful(0, 20), colourful(0, 30)], 100, 200)


def test_durations_that_browsers_ignore_are_refused():
    with pytest.raises(ValueError, match="frame_ms"):
        encode_gif([colourful(0, 20)], 10, 200)
