import math

import pytest
import torch

from vae_lightning.scores.complexity import InputComplexity, png_bits
from vae_lightning.scores.elbo import ELBOScore
from vae_lightning.scores.score import ScoredBatch


def batch_of(run, images):
    return ScoredBatch(run, images.float() / 255, torch.arange(len(images)), None, 0)


def test_it_is_the_bits_of_the_elbo_less_those_of_the_file(plane):
    images = plane.data.examples(5, "test").images
    batch = batch_of(plane, images)
    bits = -ELBOScore()(batch) / math.log(2)
    lengths = [png_bits(image) for image in images]
    assert InputComplexity()(batch).tolist() == pytest.approx((bits - torch.tensor(lengths)).tolist())


def test_of_densities_a_value_has_eight_bits_more(colour):
    images = colour.data.examples(3, "test").images
    batch = batch_of(colour, images)
    bits = -ELBOScore()(batch) / math.log(2) + 8 * images[0].numel()
    assert (InputComplexity()(batch) - bits).tolist() == pytest.approx([-png_bits(image) for image in images])


@pytest.mark.parametrize("channels", [1, 3])
def test_simple_images_are_short(channels):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (channels, 32, 32), generator=generator, dtype=torch.uint8)
    plain = torch.full((channels, 32, 32), 120, dtype=torch.uint8)
    assert png_bits(plain) < 1500 < 8 * noise.numel() <= png_bits(noise)


def test_black_and_white_takes_a_bit_a_pixel_at_most():
    generator = torch.Generator().manual_seed(0)
    binary = 255 * torch.randint(0, 2, (1, 64, 64), generator=generator, dtype=torch.uint8)
    assert 64 * 64 <= png_bits(binary) < 1.3 * 64 * 64


def test_what_has_no_bits_has_none(digits):
    assert "these are no bits" in (InputComplexity().why_not(digits) or "")
