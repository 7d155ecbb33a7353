"""Distributions are tested by their properties."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from vae_lightning.models.distributions import (
    BernoulliImage,
    DiagonalNormal,
    UnitNormal,
    at_least_float32,
    normal_image,
)
from vae_lightning.models.likelihoods import GaussianLikelihood
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.posteriors import DiagonalGaussian
from vae_lightning.models.priors import StandardNormal
from vae_lightning.models.vae import build_vae


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


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (128, 20)])
def test_the_rate_from_the_unit_normal_is_bit_for_bit_pytorchs(shape):
    def rate(prior):
        torch.manual_seed(0)
        loc, scale = torch.randn(shape).requires_grad_(), (torch.rand(shape) + 1e-3).requires_grad_()
        nats = kl_divergence(DiagonalNormal(loc, scale), prior)
        nats.dot(torch.randn(shape[0])).backward()
        return nats, loc.grad, scale.grad

    zeros, ones = torch.zeros(shape[1]), torch.ones(shape[1])
    for actual, expected in zip(rate(UnitNormal(zeros, ones)), rate(DiagonalNormal(zeros, ones)), strict=True):
        assert torch.equal(actual, expected)


def test_given_noise_is_what_rsample_draws():
    posterior = DiagonalNormal(torch.randn(5, 3), torch.rand(5, 3) + 0.1)
    torch.manual_seed(1)
    drawn = posterior.rsample((4,))
    torch.manual_seed(1)
    torch.testing.assert_close(posterior.rsample_from(torch.randn(4, 5, 3)), drawn)


def test_half_precision_inputs_are_computed_in_float32():
    posterior = DiagonalNormal(torch.zeros(2, 3, dtype=torch.bfloat16), torch.ones(2, 3, dtype=torch.bfloat16))
    assert posterior.rsample().dtype == torch.float32
    assert BernoulliImage(torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)).mean.dtype == torch.float32


@pytest.mark.parametrize(
    ("given", "kept"), [("bfloat16", "float32"), ("float16", "float32"), ("float32", "float32"), ("float64", "float64")]
)
def test_precision_is_raised_to_float32_and_never_lowered(given, kept):
    values = torch.rand(2, 3, 4, 4).to(getattr(torch, given))
    expected = getattr(torch, kept)
    assert torch.equal(at_least_float32(values), values.to(expected))
    normal = DiagonalNormal(values, values + 1)
    drawn = [
        normal.rsample(),
        normal.log_prob(values),
        normal_image(values, 0.1).mean,
        normal_image(values, 0.1).stddev,
    ]
    drawn += [BernoulliImage(values).mean, BernoulliImage(values).log_prob(torch.ones(2, 3, 4, 4, dtype=expected))]
    assert {result.dtype for result in [at_least_float32(values), *drawn]} == {expected}


def test_float64_in_is_float64_out_of_a_whole_model():
    vae = build_vae(
        (1, 8, 8), 3, MLPEncoder, DiagonalGaussian, StandardNormal, MLPDecoder, GaussianLikelihood("optimal")
    )
    x = torch.rand(4, 1, 8, 8)
    single = vae.reconstruct(x)
    double = vae.double().reconstruct(x.double())
    assert double.dtype == torch.float64
    assert vae.encode(x.double()).mean.dtype == vae.encode(x.double()).stddev.dtype == torch.float64
    assert vae.prior().mean.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, atol=1e-5, rtol=1e-5)
    assert not torch.equal(double, double.float().double())  # not float32 in disguise


def test_bernoulli_mass_sums_to_one_over_all_images():
    images = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).view(-1, 1, 2, 2)
    distribution = BernoulliImage(torch.randn(1, 2, 2))
    torch.testing.assert_close(distribution.log_prob(images).logsumexp(0), torch.tensor(0.0), atol=1e-5, rtol=0)


def test_normal_image_density_integrates_to_one():
    grid = torch.linspace(-4, 5, 4001).view(-1, 1, 1, 1)
    density = normal_image(torch.full((1, 1, 1), 0.4), 0.3).log_prob(grid).exp()
    assert math.isclose(float(torch.trapezoid(density, grid.flatten())), 1, abs_tol=1e-4)
