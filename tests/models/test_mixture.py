"""A learned mixture of normal distributions as a prior."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vae_lightning.models.distributions import DiagonalNormal, sample
from vae_lightning.models.latent_model import Group
from vae_lightning.models.priors.mixture import MixturePrior
from vae_lightning.noise import Indexed

CPU = torch.device("cpu")


def one_dimensional() -> MixturePrior:
    prior = MixturePrior(latent_dim=1, num_components=3)
    with torch.no_grad():
        prior.logits.copy_(torch.tensor([0.3, -0.5, 1.0]))
        prior.loc.copy_(torch.tensor([[-2.0], [0.5], [3.0]]))
        prior.log_scale.copy_(torch.tensor([[-0.5], [0.2], [-1.0]]))
    return prior


@torch.no_grad()
def test_its_rate_is_that_of_numerical_integration():
    prior, posterior = one_dimensional()(), DiagonalNormal(torch.tensor([[0.3], [2.5]]), torch.tensor([[0.6], [0.2]]))
    grid = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    q = Normal(posterior.base_dist.loc.double(), posterior.base_dist.scale.double())
    weights, parts = prior.weights.probs.double(), prior.components
    densities = Normal(parts.loc.double(), parts.scale.double()).log_prob(grid).exp()
    log_ratio = q.log_prob(grid) - (weights[:, None] * densities).sum(0).log()
    expected = torch.trapezoid(q.log_prob(grid).exp() * log_ratio, grid)
    noise = Indexed(0, torch.arange(2), 200_000, CPU)
    group = Group(posterior, prior, sample(posterior, noise))
    torch.testing.assert_close(group.rate(), expected.float(), atol=0.01, rtol=0)
    assert torch.equal(group.rate_per_dimension()[:, 0], -group.log_ratio()[0])  # of the first sample


def test_it_starts_near_the_standard_normal():
    torch.manual_seed(0)
    prior = MixturePrior(latent_dim=20, num_components=10)()
    torch.testing.assert_close(prior.mean, torch.zeros(20), atol=0.3, rtol=0)
    torch.testing.assert_close(prior.variance, torch.ones(20), atol=0.2, rtol=0)
    z = torch.randn(2000, 20)
    gap = Normal(0.0, 1.0).log_prob(z).sum(1) - prior.log_prob(z)
    assert 0 < float(gap.mean()) < 1


def test_weights_means_and_scales_are_learned():
    prior = one_dimensional()
    prior().log_prob(torch.tensor([[0.4]])).sum().backward()
    assert all(bool(each.grad is not None and each.grad.any()) for each in prior.parameters())


def test_one_component_is_a_normal_distribution():
    prior = MixturePrior(latent_dim=2, num_components=1)()
    normal = DiagonalNormal(prior.components.loc, prior.components.scale)
    posterior = DiagonalNormal(torch.zeros(1, 2), torch.full((1, 2), 0.5))
    z = sample(posterior, Indexed(0, torch.arange(1), 100_000, CPU))
    with torch.no_grad():
        sampled = Group(posterior, prior, z).rate()
        torch.testing.assert_close(sampled, kl_divergence(posterior, normal), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_components": 0}, "num_components must be at least 1, got 0"),
        ({"max_log_scale": 0.0}, "max_log_scale must be positive"),
    ],
)
def test_impossible_values_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        MixturePrior(2, **options)


def test_a_mixture_of_nothing_is_refused_before_anything_is_written(error_of, tmp_path):
    message = error_of("data=digits", "model=mlp", "model/prior=mixture", "model.prior.num_components=0")
    assert message == "model.prior.num_components must be at least 1, got 0"
    assert not list(tmp_path.iterdir())
