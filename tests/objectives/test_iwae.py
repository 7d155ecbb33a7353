"""The importance-weighted bound: between the ELBO and log p(x), and the sampled ELBO at K = 1."""

import math

import pytest
import torch

from tests.given import Given, fresh
from tests.objectives.test_elbo import START, D, LinearGaussian
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.vae import VAE
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.iwae import IWAE
from vae_lightning.objectives.terms import importance_weighted_bound, log_weight


def loosened(vae: VAE) -> VAE:
    """The same model with a posterior that is too wide, so that the bounds are not tight."""
    exact = vae.posterior.forward

    def wide(features):
        posterior = exact(features)
        posterior.base_dist.scale = 1.5 * posterior.base_dist.scale
        return posterior

    vae.posterior.forward = wide
    return vae


def test_of_one_sample_it_is_the_sampled_elbo():
    vae, x = loosened(LinearGaussian().vae()), torch.randn(4, 1, 2, 3)
    output = vae(x, Given(torch.randn(1, 4, D)))
    terms = IWAE(num_samples=1)(output, x, START)
    [group] = output.groups
    log_ratio = group.posterior.log_prob(group.z) - StandardNormal(D)().log_prob(group.z)
    torch.testing.assert_close(-terms.loss, (output.likelihood.log_prob(x) - log_ratio)[0], atol=1e-5, rtol=0)


def test_at_the_exact_posterior_every_weight_is_log_p_of_x():
    oracle, x = LinearGaussian(), torch.randn(4, 1, 2, 3)
    output = oracle.vae()(x, fresh(3, 4))
    weights = log_weight(output, output.likelihood.log_prob(x))
    torch.testing.assert_close(weights, oracle.log_marginal(x).expand(3, 4), atol=1e-4, rtol=0)


def test_the_bound_rises_with_k_from_the_elbo_to_log_p_of_x():
    oracle, x = LinearGaussian(), torch.randn(100, 1, 2, 3)
    vae, log_p = loosened(oracle.vae()), float(oracle.log_marginal(x).mean())
    noise = torch.randn(1000, 100, D)
    bounds: list[float] = []
    for num_samples in (1, 5, 50):
        parts = torch.cat(noise.split(num_samples), 1)  # side by side, each of all images
        images = x.repeat(1000 // num_samples, 1, 1, 1)
        bounds.append(-float(IWAE(num_samples)(vae(images, Given(parts)), images, START).loss.mean()))
    elbo = float(ELBO()(vae(x, Given(noise)), x, START).elbo.mean())
    assert bounds[0] == pytest.approx(elbo, abs=0.03)
    assert elbo + 0.2 < bounds[1] < bounds[2] < log_p + 0.03
    assert log_p - bounds[2] < 0.1


def test_the_sum_of_weights_does_not_overflow():
    weights = torch.tensor([[-2000.0, 300.0], [-2001.0, 300.0]])
    bound = importance_weighted_bound(weights)
    torch.testing.assert_close(bound, torch.tensor([-2000 + math.log((1 + math.exp(-1)) / 2), 300.0]))


def test_rate_distortion_and_elbo_are_the_plain_ones():
    vae, x = loosened(LinearGaussian().vae()), torch.randn(4, 1, 2, 3)
    output = vae(x, Given(torch.randn(5, 4, D)))
    tight, plain = IWAE(5)(output, x, START), ELBO(num_samples=5)(output, x, START)
    assert torch.equal(tight.rate, plain.rate)
    assert torch.equal(tight.distortion, plain.distortion)
    assert torch.equal(tight.elbo, plain.elbo)


@pytest.mark.parametrize("objective", [ELBO, IWAE])
def test_less_than_one_sample_is_refused(objective):
    with pytest.raises(ValueError, match=r"^num_samples must be at least 1, got 0"):
        objective(num_samples=0)
