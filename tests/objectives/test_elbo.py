"""The objective against an exact oracle: a linear-Gaussian VAE, whose log p(x) has a closed form."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from tests.given import Given, fresh
from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.latent_model import Group, VAEOutput
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.vae import VAE
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.terms import Progress, rate

D, PIXELS, SCALE = 3, 6, 0.5
START = Progress(0)


class LinearGaussian(nn.Module):
    """p(x|z) = N(W z, s^2) with orthogonal columns in W, so that the exact posterior is diagonal."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        basis, _ = torch.linalg.qr(torch.randn(PIXELS, D, generator=generator))
        self.register_buffer("weights", basis * torch.tensor([0.5, 1.0, 2.0]))

    def log_marginal(self, x):
        covariance = self.weights @ self.weights.T + SCALE**2 * torch.eye(PIXELS)
        return MultivariateNormal(torch.zeros(PIXELS), covariance).log_prob(x.flatten(1))

    def vae(self):
        precision = 1 + (self.weights**2).sum(0) / SCALE**2
        oracle = self

        class Posterior(nn.Module):
            def forward(self, h):
                return DiagonalNormal(h @ oracle.weights / SCALE**2 / precision, precision.rsqrt().expand(len(h), D))

        class Decoder(nn.Module):
            def forward(self, z):
                return (z @ oracle.weights.T).view(-1, 1, 2, 3)

        class Likelihood(nn.Module):
            levels = None

            def forward(self, decoded, target=None):
                return Independent(Normal(decoded, SCALE), 3)

        return VAE(nn.Flatten(), Posterior(), StandardNormal(D), Decoder(), Likelihood(), latent_dim=D)


def test_elbo_is_log_marginal_at_the_exact_posterior():
    oracle, x = LinearGaussian(), torch.randn(4, 1, 2, 3)
    torch.manual_seed(0)
    terms = ELBO()(oracle.vae()(x, fresh(100_000, 4)), x, START)
    torch.testing.assert_close(terms.elbo, oracle.log_marginal(x), atol=0.02, rtol=0)
    torch.testing.assert_close(terms.elbo, -(terms.rate + terms.distortion))
    torch.testing.assert_close(terms.loss, -terms.elbo)


def test_elbo_stays_plain_whatever_is_minimised():
    vae, x = LinearGaussian().vae(), torch.randn(4, 1, 2, 3)
    output = vae(x, Given(torch.randn(1, 4, D)))
    plain, weighted = ELBO()(output, x, START), ELBO(beta=4.0)(output, x, START)
    torch.testing.assert_close(weighted.elbo, plain.elbo)
    torch.testing.assert_close(weighted.loss, plain.distortion + 4 * plain.rate)


def test_a_weight_of_one_is_no_weight():
    vae, x = LinearGaussian().vae(), torch.randn(4, 1, 2, 3)
    output = vae(x, Given(torch.randn(3, 4, D)))
    terms = ELBO(warmup_steps=2)(output, x, Progress(1))
    assert torch.equal(terms.loss, terms.distortion + terms.rate)
    torch.testing.assert_close(terms.distortion, -output.likelihood.log_prob(x).mean(0))
    assert list(terms.by_name()) == ["loss", "elbo", "rate", "distortion"]


def test_rate_per_dimension_sums_to_the_rate():
    prior = DiagonalNormal(torch.randn(5), torch.rand(5) + 0.5)
    posterior = DiagonalNormal(torch.randn(7, 5), torch.rand(7, 5) + 0.1)
    group = Group(posterior, prior, torch.zeros(1, 7, 5))
    output = VAEOutput((group,), posterior)
    torch.testing.assert_close(group.rate_per_dimension().sum(1), rate(output), atol=1e-5, rtol=1e-5)


def test_rate_per_dimension_is_that_of_the_dimension():
    posterior = DiagonalNormal(torch.tensor([[0.0, 2.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.5]]))
    rates = Group(posterior, StandardNormal(3)(), torch.zeros(1, 1, 3)).rate_per_dimension()
    torch.testing.assert_close(rates, torch.tensor([[0.0, 2.0, math.log(2) - 0.375]]))


def test_warmup_is_a_function_of_the_step():
    objective = ELBO(beta=2.0, warmup_steps=4)
    assert [objective.beta_at(step) for step in (0, 1, 3, 4, 100)] == [0.5, 1.0, 2.0, 2.0, 2.0]
    assert objective.schedules(Progress(1)) == {"beta": 1.0}


@pytest.mark.parametrize("arguments", [{"beta": -1.0}, {"beta": math.nan}, {"beta": math.inf}, {"warmup_steps": -1}])
def test_impossible_values_are_refused_by_name(arguments):
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} must"):
        ELBO(**arguments)
