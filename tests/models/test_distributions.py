"""Distributions are tested by their properties."""

import math

import torch
from torch.distributions import Independent, Normal, kl_divergence

from vae_lightning.models.distributions import DiagonalNormal, bernoulli_image, normal_image


def test_diagonal_normal_is_the_independent_normal():
    loc, scale, z = torch.randn(5, 3), torch.rand(5, 3) + 0.1, torch.randn(7, 5, 3)
    expected = Independent(Normal(loc, scale), 1)
    actual = DiagonalNormal(loc, scale)
    assert actual.batch_shape == (5,)
    assert actual.event_shape == (3,)
    torch.testing.assert_close(actual.log_prob(z), expected.log_prob(z))
    prior = DiagonalNormal(torch.zeros(3), torch.ones(3))
    by_hand = 0.5 * (loc**2 + scale**2 - 1 - 2 * scale.log()).sum(-1)
    torch.testing.assert_close(kl_divergence(actual, prior), by_hand)


def test_given_noise_is_what_rsample_draws():
    posterior = DiagonalNormal(torch.randn(5, 3), torch.rand(5, 3) + 0.1)
    torch.manual_seed(1)
    drawn = posterior.rsample((4,))
    torch.manual_seed(1)
    torch.testing.assert_close(posterior.rsample_from(torch.randn(4, 5, 3)), drawn)


def test_half_precision_inputs_are_computed_in_float32():
    posterior = DiagonalNormal(torch.zeros(2, 3, dtype=torch.bfloat16), torch.ones(2, 3, dtype=torch.bfloat16))
    assert posterior.rsample().dtype == torch.float32
    assert bernoulli_image(torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)).mean.dtype == torch.float32


def test_bernoulli_mass_sums_to_one_over_all_images():
    images = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).view(-1, 1, 2, 2)
    distribution = bernoulli_image(torch.randn(1, 2, 2))
    torch.testing.assert_close(distribution.log_prob(images).logsumexp(0), torch.tensor(0.0), atol=1e-5, rtol=0)


def test_normal_image_density_integrates_to_one():
    grid = torch.linspace(-4, 5, 4001).view(-1, 1, 1, 1)
    density = normal_image(torch.full((1, 1, 1), 0.4), 0.3).log_prob(grid).exp()
    assert math.isclose(float(torch.trapezoid(density, grid.flatten())), 1, abs_tol=1e-4)
