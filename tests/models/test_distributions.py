"""Distributions are tested by their properties."""

import math

import pytest
import torch
from torch.distributions import Gamma, Independent, MixtureSameFamily, Normal, kl_divergence

from tests.given import Given, fresh
from vae_lightning.models.distributions import (
    BernoulliImage,
    DiagonalNormal,
    NormalMixture,
    UnitNormal,
    at_least_float32,
    marginals,
    normal_image,
    sample,
)
from vae_lightning.models.likelihoods.gaussian import GaussianLikelihood
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.standard_normal import StandardNormal
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
    assert torch.equal(sample(posterior, fresh(4, 5)), drawn)
    noise = torch.randn(4, 5, 3)
    expected = posterior.base_dist.loc + posterior.base_dist.scale * noise
    assert torch.equal(sample(posterior, Given(noise)), expected)
    assert torch.equal(sample(posterior, Given(noise), temperature=0), posterior.mean.expand(4, 5, 3))


def test_a_family_that_is_not_registered_is_refused():
    for family in (Gamma(torch.ones(3), 1.0), Independent(Gamma(torch.ones(3), 1.0), 1)):
        with pytest.raises(NotImplementedError, match=r"is not registered with distributions\.sample"):
            sample(family, fresh(1, 2))


def mixture() -> NormalMixture:
    generator = torch.Generator().manual_seed(0)
    loc, scale = torch.randn(4, 3, generator=generator), 0.1 + torch.rand(4, 3, generator=generator)
    return NormalMixture(torch.randn(4, generator=generator), 2 * loc, scale)


def test_a_mixture_has_the_density_that_pytorch_computes():
    distribution, z = mixture(), 3 * torch.randn(5, 7, 3)
    expected = MixtureSameFamily(distribution.mixture_distribution, distribution.component_distribution).log_prob(z)
    torch.testing.assert_close(distribution.log_prob(z), expected, atol=1e-4, rtol=1e-5)
    assert distribution.log_prob(z).dtype == torch.float32


def test_of_many_values_some_are_looked_at_at_a_time():
    generator = torch.Generator().manual_seed(0)
    loc, scale = torch.randn(500, 2, generator=generator), 0.1 + torch.rand(500, 2, generator=generator)
    distribution, z = NormalMixture(torch.zeros(500), loc, scale), torch.randn(3, 1000, 2, generator=generator)
    with torch.no_grad():
        in_parts = distribution.log_prob(z)
        assert distribution.log_prob(z[0, 0]).shape == ()
    assert in_parts.shape == (3, 1000)
    torch.testing.assert_close(in_parts, distribution.log_prob(z), atol=1e-6, rtol=1e-6)


def test_narrow_components_far_from_zero_lose_no_digits():
    distribution = NormalMixture(torch.zeros(2), torch.full((2, 20), 100.0), torch.full((2, 20), 1e-3))
    z = distribution.components.loc[:1] + 1e-3 * torch.randn(1, 20)
    expected = distribution.component_distribution.log_prob(z.unsqueeze(1)).logsumexp(1) - math.log(2)
    torch.testing.assert_close(distribution.log_prob(z), expected, atol=1e-3, rtol=1e-5)


def test_a_mixture_integrates_to_one_and_so_do_its_marginals():
    grid = torch.linspace(-12, 12, 24_001)
    distribution = NormalMixture(torch.tensor([0.0, 1.0]), torch.tensor([[-1.0], [2.0]]), torch.tensor([[0.3], [0.8]]))
    for density in (distribution.log_prob(grid[:, None]), marginals(distribution).log_prob(grid[:, None])[:, 0]):
        assert float(torch.trapezoid(density.exp(), grid)) == pytest.approx(1, abs=1e-4)


def test_samples_of_a_mixture_have_its_moments_and_lie_at_its_means_when_cold():
    distribution = mixture()
    z = sample(distribution, fresh(1, 100_000))[0]
    torch.testing.assert_close(z.mean(0), distribution.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(z.var(0), distribution.variance, atol=0.05, rtol=0.03)
    cold = sample(distribution, fresh(1, 1000), temperature=0)[0]
    is_a_mean = (cold.unsqueeze(1) == distribution.components.loc).all(-1)
    shares = is_a_mean.float().mean(0)
    torch.testing.assert_close(shares, distribution.weights.probs, atol=0.06, rtol=0)
    assert bool(is_a_mean.any(1).all())


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
    assert vae.encode(x.double()).loc.dtype == vae.encode(x.double()).scale.dtype == torch.float64
    assert vae.latent_prior().mean.dtype == torch.float64
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
