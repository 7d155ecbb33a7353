import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from vae_lightning.drawing import gifs
from vae_lightning.drawing.gifs import encode_gif, gif_frame, join_frames, pixels_of
from vae_lightning.drawing.grids import image_grid


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


def test_a_frame_is_a_picture_again():
    picture = np.random.default_rng(0).integers(0, 256, (7, 9, 1), dtype=np.uint8).repeat(3, axis=2)
    assert np.array_equal(pixels_of(gif_frame(picture)), picture)


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
    picture = colourful(0, side=300)
    _, [frame], _ = decode(encode_gif([picture], 100, 200))
    assert np.abs(frame.astype(int) - picture).mean() < 1.05 * best_palette_error(picture)


def test_gif_loops_for_ever_and_holds_its_last_frame():
    image, _, durations = decode(encode_gif([colourful(seed, 30) for seed in range(4)], 300, 2500))
    assert image.info["loop"] == 0
    assert durations == [300, 300, 300, 2500]
    assert image.size == (90 + 4, 90 + 4)


def test_equal_frames_stay_separate():
    picture = image_grid(torch.full((1, 1, 28, 28), 0.5), columns=1)
    image, frames, durations = decode(encode_gif([picture] * 5, 100, 500))
    assert image.n_frames == len(frames) == 5
    assert durations == [100] * 4 + [500]


def test_one_frame_is_a_gif_too():
    picture = image_grid(torch.full((1, 1, 28, 28), 0.5), columns=1)
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


def test_pictures_that_come_again_are_compressed_once(monkeypatch):
    calls = []
    monkeypatch.setattr(gifs, "gif_frame", lambda picture: calls.append(picture) or gif_frame(picture))
    first, second, third = (colourful(seed, 30) for seed in range(3))
    gif = encode_gif([first, second, third, second], 100, 100)
    assert len(calls) == 3
    _, frames, _ = decode(gif)
    assert np.array_equal(frames[1], frames[3])
    assert not np.array_equal(frames[1], frames[2])
