"""MSE, PSNR and SSIM of images whose distance is known."""

import math

import pytest
import torch

from vae_lightning.machine.world import World
from vae_lightning.metrics.reconstruction import Reconstruction, _measures
from vae_lightning.metrics.subject import Subject


def test_a_constant_error_has_known_figures():
    x = 0.8 * torch.rand(3, 3, 20, 20)
    squared, decibels, _ = _measures(x + 0.1, x).unbind(1)
    torch.testing.assert_close(squared, torch.full((3,), 0.01).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(decibels, torch.full((3,), 20.0).double(), atol=1e-4, rtol=0)


def test_similarity_is_one_of_equal_images_and_falls_with_noise():
    x = torch.rand(4, 1, 28, 28)
    little, much = x + 0.05 * torch.randn_like(x), x + 0.5 * torch.randn_like(x)
    same, near, far = (_measures(made, x)[:, 2].mean() for made in (x, little, much))
    assert float(same) == pytest.approx(1)
    assert same > near > far


def test_images_smaller_than_the_window_have_no_ssim():
    assert math.isnan(float(_measures(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))[0, 2]))
    assert math.isnan(float(_measures(torch.rand(1, 1, 10, 40), torch.rand(1, 1, 10, 40))[0, 2]))


def test_reconstructions_are_those_of_the_posterior_mean(colour):
    score = Reconstruction()(Subject(colour, "test", 0, 5, World()))
    images = colour.data.example_images(10**6, "test")
    with torch.no_grad():
        expected = (colour.vae.reconstruct(images) - images).square().mean()
    assert score.figures["mse"].value == pytest.approx(float(expected), rel=1e-5)
    assert score.facts["num_images"] == len(images)
