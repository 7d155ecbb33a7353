"""The penalty on the covariance of the code: by its definition, of the batch, and the same for a batch repeated."""

import math

import pytest
import torch

from tests.objectives.batches import START, any_pass, extremes_reach_every_gradient, passed
from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.pushed import FullNormal
from vae_lightning.objectives.dip import DIPVAE, mean_covariance
from vae_lightning.objectives.elbo import ELBO


def aggregated(loc, scale, kind):
    covariance = torch.cov(loc.T, correction=0)
    return covariance + scale.square().mean(0).diag() if kind == "ii" else covariance


@pytest.mark.parametrize("kind", ["i", "ii"])
def test_it_is_the_negative_elbo_and_the_penalty(kind):
    output, x = any_pass(num_samples=2)
    q = output.groups[0].posterior.base_dist
    covariance = aggregated(q.loc, q.scale, kind)
    off = (covariance - covariance.diag().diag()).square().sum()
    expected = 3 * off + 7 * (covariance.diag() - 1).square().sum()
    terms = DIPVAE(kind, lambda_od=3.0, lambda_d=7.0, num_samples=2)(output, x, START)
    plain = ELBO(num_samples=2)(output, x, START)
    torch.testing.assert_close(terms.extra["covariance"], expected.expand(5))
    torch.testing.assert_close(terms.loss, plain.loss + expected)
    assert torch.equal(terms.elbo, plain.elbo)


def test_an_aggregated_posterior_like_the_prior_costs_nothing_by_the_second_kind_alone():
    loc = 0.6 * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    posterior = DiagonalNormal(loc, torch.full((4, 2), 0.8))
    assert float(DIPVAE("ii").penalty(posterior)) == pytest.approx(0, abs=1e-10)
    assert float(DIPVAE("i", lambda_d=5.0).penalty(posterior)) == pytest.approx(5 * 2 * 0.64**2)


def test_a_full_covariance_counts_as_it_is():
    covariance = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    full = FullNormal(torch.zeros(3, 2), torch.linalg.cholesky(covariance).expand(3, 2, 2))
    torch.testing.assert_close(mean_covariance(full), covariance)


@pytest.mark.parametrize("kind", ["i", "ii"])
def test_a_repeated_batch_has_the_same_losses(kind):
    generator = torch.Generator().manual_seed(3)
    loc, noise = torch.randn(4, 3, generator=generator), torch.randn(1, 4, 3, generator=generator)
    scale = torch.rand(4, 3, generator=generator) + 0.1
    once = DIPVAE(kind)(*passed(loc, scale, noise), START)
    twice = DIPVAE(kind)(*passed(loc.repeat(2, 1), scale.repeat(2, 1), noise.repeat(1, 2, 1)), START)
    torch.testing.assert_close(twice.loss, once.loss.repeat(2))
    alone = DIPVAE(kind)(*passed(loc[:1], scale[:1], noise[:, :1]), START)
    assert bool(alone.loss.isfinite())


@pytest.mark.parametrize("kind", ["i", "ii"])
def test_extremes_are_finite_and_every_gradient_is_there(kind):
    extremes_reach_every_gradient(DIPVAE(kind))


@pytest.mark.parametrize("name", ["lambda_od", "lambda_d"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_impossible_values_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be finite and at least 0, got {value}"):
        DIPVAE(**{name: value})
