"""What is seen of images that are of one colour."""

import pytest
import torch

from vae_lightning.data import variety
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.variety import variety_of


def images(pixels: torch.Tensor) -> ImageSet:
    return ImageSet(pixels, torch.arange(len(pixels)), None)


def noise(number: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, 256, (number, *shape), dtype=torch.uint8)


def test_deviation_and_levels_are_those_of_the_channel_that_varies_most():
    pixels = noise(50, 6, 7, 3)
    pixels[..., 0] = 9
    found = variety_of(images(pixels))
    assert found.num_images == 50
    assert (found.lowest, found.highest) == (int(pixels.min()), int(pixels.max()))
    assert found.deviation == pytest.approx(float(pixels[..., 1:].double().std((0, 1, 2), correction=0).max()))
    assert found.one_coloured == ()
    assert not found.is_nearly_constant


@pytest.mark.parametrize("colour", [[0, 0, 0], [200, 10, 10]])
def test_one_colour_everywhere_is_nothing_to_learn_from(colour):
    found = variety_of(images(torch.tensor(colour, dtype=torch.uint8).expand(20, 4, 5, 3)))
    assert found.is_nearly_constant
    assert found.one_coloured == tuple(range(20))


def test_so_is_what_differs_by_less_than_a_level():
    pixels = torch.full((40, 4, 4, 1), 100, dtype=torch.uint8)
    pixels[:10, 0, 0] = 102
    assert variety_of(images(pixels)).is_nearly_constant
    pixels[:, :2] = 104
    assert not variety_of(images(pixels)).is_nearly_constant


def test_pictures_of_one_colour_each_are_found_by_their_indices_in_the_split():
    pixels = noise(30, 4, 4, 3)
    pixels[[3, 7]] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    rows = torch.arange(29, -1, -1)
    assert variety_of(ImageSet(pixels, rows, None)).one_coloured == (22, 26)


def test_of_many_images_a_spread_sample_is_looked_at(monkeypatch):
    monkeypatch.setattr(variety, "_MOST_IMAGES", 5)
    pixels = noise(50, 4, 4, 1)
    pixels[::10] = 0
    found = variety_of(images(pixels))
    assert (found.num_images, found.one_coloured) == (5, (0, 10, 20, 30, 40))
    monkeypatch.setattr(variety, "_MOST_BYTES", 32)
    assert variety_of(images(pixels)).num_images == 2
