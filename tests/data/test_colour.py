import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.sets import noise
from vae_lightning.data.colour import colour_pixels, decode_colour


def test_colours_become_the_grey_that_pillow_makes_of_them():
    images = noise(40, 32, 32, 3)
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])
    assert np.array_equal(colour_pixels(torch.from_numpy(images), 32, 1)[..., 0].numpy(), expected)


def test_images_of_the_wanted_size_stay_as_they_are():
    images = torch.from_numpy(noise(3, 32, 32, 3))
    same = colour_pixels(images, 32, 3)
    assert torch.equal(same, images)
    assert same.data_ptr() == images.data_ptr()


@pytest.mark.parametrize("size", [8, 48])
def test_resizing_keeps_the_likeness_of_each_channel(size):
    image = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    image[0, :16, :, 0], image[0, :, 16:, 2] = 255, 255
    resized = colour_pixels(image, size, 3)
    half = size // 2
    assert resized.shape == (1, size, size, 3)
    assert (resized[0, : half - 2, :, 0].min(), resized[0, half + 2 :, :, 0].max()) == (255, 0)
    assert (resized[0, :, half + 2 :, 2].min(), resized[..., 1].max()) == (255, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_of_a_wide_picture_the_middle_is_taken(tmp_path, channels):
    wide = noise(32, 96, 3)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    middle = torch.from_numpy(wide[:, 32:64].copy())[None]
    expected = colour_pixels(middle, 20, channels)[0]
    assert torch.equal(decode_colour(tmp_path / "wide.png", 20, channels), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_of_a_wide_picture_all_is_taken_where_it_is_padded(tmp_path, channels):
    wide = noise(16, 48, 3)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    padded = decode_colour(tmp_path / "wide.png", [24, 48], channels, "pad")
    assert torch.equal(padded[4:20], colour_pixels(torch.from_numpy(wide)[None], [16, 48], channels)[0])
    assert padded[:4].max() == padded[20:].max() == 0
