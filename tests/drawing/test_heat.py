import pytest
import torch

from vae_lightning.drawing.heat import differences, heat_maps, top_of_scale


def test_what_is_explained_is_dark_and_what_is_not_is_light():
    images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    made = images.clone()
    made[0, :, 1, 2] = 255
    of_pixels = differences(images, made)
    assert of_pixels[0, 1, 2] == 1
    assert of_pixels.sum() == 1
    picture = heat_maps(of_pixels, 1.0)
    brightness = picture.float().mean(1)[0]
    assert brightness.argmax() == 1 * 4 + 2
    assert brightness[1, 2] > 2 * brightness[0, 0]


def test_a_difference_is_the_mean_over_the_channels_whichever_way():
    images = torch.tensor([0, 255, 100], dtype=torch.uint8).reshape(1, 3, 1, 1)
    made = torch.tensor([51, 204, 100], dtype=torch.uint8).reshape(1, 3, 1, 1)
    assert differences(images, made).item() == pytest.approx((0.2 + 0.2) / 3)


def test_single_pixels_do_not_darken_the_rest():
    of_pixels = torch.full((10, 32, 32), 0.1)
    of_pixels[0, 0, :3] = 1.0
    assert top_of_scale(of_pixels) == pytest.approx(0.1)
    assert top_of_scale(torch.zeros(1, 2, 2)) == pytest.approx(1 / 255)
