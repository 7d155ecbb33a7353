"""MSE, PSNR and SSIM of images whose distance is known."""

import math

import pytest
import torch

from vae_lightning.machine.world import World
from vae_lightning.metrics.reconstruction import Reconstruction, _measures, _sharpness, laplacian_energy
from vae_lightning.metrics.subject import Subject


def test_a_constant_error_has_known_figures():
    x = 0.8 * torch.rand(3, 3, 20, 20)
    squared, decibels, *_ = _measures(x + 0.1, x).unbind(1)
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


def test_the_energy_of_a_pattern_is_known_and_a_plane_has_none():
    plane = torch.linspace(0, 1, 10).expand(1, 1, 10, 10)
    checks = (torch.arange(10)[:, None] + torch.arange(10)).remainder(2).float().expand(1, 2, 10, 10)
    assert float(laplacian_energy(plane)) == pytest.approx(0, abs=1e-10)
    assert float(laplacian_energy(checks)) == pytest.approx(16)


def test_sharpness_is_the_ratio_of_the_energies_with_its_error():
    own = torch.tensor([1.0, 2.0, 3.0, 6.0]).double()
    same, half = _sharpness(own, own), _sharpness(own / 2, own)
    assert (same.value, same.stderr) == (1.0, 0.0)
    assert (half.value, half.stderr) == (0.5, 0.0)
    other = _sharpness(torch.tensor([0.0, 2.0, 3.0, 1.0]).double(), own)
    assert other.value == pytest.approx(0.5)
    assert other.stderr == pytest.approx(float(torch.tensor([-0.5, 1.0, 1.5, -2.0]).std()) / 3 / 2)


def test_blurred_images_are_less_sharp_and_images_without_an_edge_have_a_reason():
    images = torch.rand(4, 3, 12, 12)
    blurred = torch.nn.functional.avg_pool2d(images, 3, 1, 1)
    assert float(_sharpness(laplacian_energy(blurred), laplacian_energy(images)).value) < 0.2
    for flat in (torch.zeros(2, 1, 5, 5), torch.rand(2, 1, 2, 9)):
        found = _sharpness(laplacian_energy(flat), laplacian_energy(flat))
        assert found.value is None
        assert "no edge" in found.reason
