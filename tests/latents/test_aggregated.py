"""The rate taken apart, where the parts are known; and the aggregated posterior is the exact mixture."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from vae_lightning.latents.aggregated import (
    aggregated_posterior,
    marginal_densities,
    rate_terms,
    why_no_aggregate,
    why_no_marginals,
)
from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.latent_model import Latents
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.posteriors.full_covariance import FullCovariance
from vae_lightning.models.priors.flow import FlowPrior
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.vae import build_vae

D = 3


def two_components(distance: float, scale: float) -> Latents:
    """Two images whose posteriors lie at the same distance from zero on both sides, along the diagonal."""
    loc = torch.tensor([[distance] * D, [-distance] * D])
    return Latents(loc, torch.full_like(loc, scale))


def means(latents: Latents, num_latents: int, seed: int = 0) -> dict[str, float]:
    chosen = torch.arange(num_latents) % len(latents)
    noise = torch.randn(num_latents, latents.loc.shape[1], generator=torch.Generator().manual_seed(seed))
    own = Latents(latents.loc[chosen], latents.scale[chosen])
    terms = rate_terms(noise, own, latents, StandardNormal(latents.loc.shape[1])())
    return {name: float(values.mean()) for name, values in terms.by_name().items()}


def test_components_far_apart_have_the_known_answers():
    scale, distance = 0.1, 1.0
    found = means(two_components(distance, scale), 20_000)
    dimension = -0.5 * math.log(scale**2) - 0.5 - math.log(2) + (distance**2 + scale**2) / 2
    assert found["mutual_information"] == pytest.approx(math.log(2), abs=1e-5)
    assert found["total_correlation"] == pytest.approx((D - 1) * math.log(2), abs=1e-4)
    assert found["dimension_kl"] == pytest.approx(D * dimension, abs=0.02)
    assert found["marginal_kl"] == pytest.approx(D * dimension + (D - 1) * math.log(2), abs=0.02)


def test_components_on_top_of_each_other_tell_nothing():
    found = means(two_components(0.0, 1.0), 1000)
    assert all(value == pytest.approx(0, abs=1e-5) for value in found.values())


def test_overlapping_components_agree_with_an_integral():
    distance, scale = 0.5, 0.6
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)

    def density(loc):
        return torch.exp(-0.5 * ((grid - loc) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))

    mixture = 0.5 * (density(distance) + density(-distance))
    entropy = -float(torch.trapezoid(mixture * mixture.log(), grid))
    latents = Latents(torch.tensor([[distance], [-distance]]), torch.full((2, 1), scale))
    found = means(latents, 200_000)
    assert found["mutual_information"] == pytest.approx(
        entropy - 0.5 * math.log(2 * math.pi * math.e * scale**2), abs=5e-3
    )
    kl = -entropy + 0.5 * math.log(2 * math.pi) + 0.5 * (distance**2 + scale**2)
    assert found["marginal_kl"] == pytest.approx(kl, abs=5e-3)
    assert found["total_correlation"] == pytest.approx(0, abs=1e-6)


def test_the_terms_add_up_for_every_latent():
    generator = torch.Generator().manual_seed(1)
    latents = Latents(torch.randn(70, 4, generator=generator), 0.05 + torch.rand(70, 4, generator=generator))
    terms = rate_terms(torch.randn(70, 4), latents, latents, StandardNormal(4)())
    torch.testing.assert_close(terms.mutual_information + terms.marginal_kl, terms.rate)
    torch.testing.assert_close(terms.total_correlation + terms.dimension_kl, terms.marginal_kl)


def test_the_information_never_exceeds_ln_n():
    latents = Latents(10.0 * torch.randn(300, 5), torch.full((300, 5), 0.01))
    terms = rate_terms(torch.randn(300, 5), latents, latents, StandardNormal(5)())
    assert float(terms.mutual_information.max()) <= math.log(300) + 1e-12
    assert float(terms.mutual_information.mean()) == pytest.approx(math.log(300), abs=1e-6)


def test_idle_dimensions_in_plenty_add_nothing():
    base = two_components(1.0, 0.1)
    padded = Latents(torch.cat([base.loc, torch.zeros(2, 200)], 1), torch.cat([base.scale, torch.ones(2, 200)], 1))
    found = means(padded, 500)
    assert found["mutual_information"] == pytest.approx(math.log(2), abs=1e-4)
    assert found["total_correlation"] == pytest.approx((D - 1) * math.log(2), abs=1e-3)


def test_an_empty_data_set_is_refused():
    empty = Latents(torch.zeros(0, 2), torch.ones(0, 2))
    with pytest.raises(ValueError, match=r"^all_latents must hold at least 1 image"):
        rate_terms(torch.zeros(0, 2), empty, empty, StandardNormal(2)())


def test_aggregated_posterior_of_posteriors_that_equal_the_prior_is_the_prior():
    edges = torch.linspace(-5, 5, 1001)
    middles = (edges[1:] + edges[:-1]) / 2
    latents = Latents(torch.zeros(40, 3), torch.ones(40, 3))
    density = aggregated_posterior(latents, 1, edges)
    torch.testing.assert_close(density, Normal(0, 1).log_prob(middles).exp(), atol=1e-4, rtol=1e-3)


def test_aggregated_posterior_is_the_mixture_and_integrates_to_one():
    latents = Latents(2 * torch.randn(5000, 2), 0.05 + torch.rand(5000, 2))
    edges = torch.linspace(-20, 20, 401)
    density = aggregated_posterior(latents, 1, edges)
    components = Normal(latents.loc[:, 1].double(), latents.scale[:, 1].double())
    mixture = MixtureSameFamily(Categorical(probs=torch.ones(5000).double()), components)
    torch.testing.assert_close(density, (mixture.cdf(edges.double()).diff() / 0.1).float(), atol=1e-5, rtol=1e-4)
    assert float(density.sum() * 0.1) == pytest.approx(1, abs=1e-4)


def test_no_posterior_is_too_narrow_or_too_far_out_to_be_seen():
    latents = Latents(torch.tensor([[0.013], [9.4]]), torch.tensor([[1e-4], [1e-4]]))
    unit = DiagonalNormal(torch.zeros(1), torch.ones(1))
    (density,), _, middles = marginal_densities(latents, unit, [0])
    assert (len(middles), float(middles[-1]) > 9) == (200, True)
    assert float(density.sum() * (middles[1] - middles[0])) == pytest.approx(1, abs=1e-3)
    assert middles[density > 0].tolist() == pytest.approx([0, 9.4], abs=0.1)


def test_the_prior_is_the_models_and_is_in_sight():
    prior = DiagonalNormal(torch.tensor([0.0, 3.0], requires_grad=True), torch.tensor([1.0, 0.5]))
    densities = marginal_densities(Latents(torch.zeros(4, 2), torch.ones(4, 2)), prior, [1, 0])
    for density, (loc, scale) in zip(densities.priors, [(3.0, 0.5), (0.0, 1.0)], strict=True):
        torch.testing.assert_close(density, Normal(loc, scale).log_prob(densities.grid).exp())
    assert float(densities.grid[-1]) == pytest.approx(5, abs=0.1)
    assert not any(values.requires_grad for values in densities)


def test_latents_without_such_a_dimension_or_without_images_are_refused():
    edges = torch.zeros(2)
    for dim in (-1, 3):
        with pytest.raises(ValueError, match=f"^dim must be from 0 to 2, got {dim}$"):
            aggregated_posterior(Latents(torch.zeros(4, 3), torch.ones(4, 3)), dim, edges)
    with pytest.raises(ValueError, match=r"^latents must"):
        aggregated_posterior(Latents(torch.zeros(0, 3), torch.ones(0, 3)), 0, edges)
    with pytest.raises(ValueError, match=r"^edges must be at least 2, got 1$"):
        aggregated_posterior(Latents(torch.zeros(4, 3), torch.ones(4, 3)), 0, torch.zeros(1))


@pytest.mark.parametrize(
    ("posterior", "prior", "of_rates", "of_dimensions"),
    [
        (DiagonalGaussian, StandardNormal, None, None),
        (DiagonalGaussian, FlowPrior, None, "of a flow"),
        (FullCovariance, StandardNormal, "independent components", "independent components"),
    ],
)
def test_what_is_not_known_of_an_aggregate_is_said(posterior, prior, of_rates, of_dimensions):
    vae = build_vae((1, 4, 4), D, MLPEncoder, posterior, prior, MLPDecoder, BernoulliLikelihood())
    latents = vae.encode(torch.rand(5, 1, 4, 4))
    for told, part in ((why_no_aggregate(vae, latents), of_rates), (why_no_marginals(vae), of_dimensions)):
        assert told is None if part is None else part in told
    if of_rates is None:
        terms = rate_terms(torch.randn(5, D), latents, latents, vae.latent_prior())
        torch.testing.assert_close(terms.mutual_information + terms.marginal_kl, terms.rate)
