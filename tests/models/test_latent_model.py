"""A group of latents: its rate in closed form, by samples, by dimension; and what every model does with its groups."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from tests.given import Given, fresh
from tests.objectives.test_elbo import LinearGaussian
from tests.oracles import TwoGroups
from vae_lightning.models.distributions import DiagonalNormal, NormalMixture, UnitNormal, marginals, sample
from vae_lightning.models.latent_model import Group, mean_of_samples, side_by_side
from vae_lightning.models.vae import VAE

B, D = 3, 4
PRIORS = {
    "unit": UnitNormal(torch.zeros(D), torch.ones(D)),
    "other": DiagonalNormal(torch.ones(D), torch.full((D,), 2.0)),
}


def posterior(*shape: int) -> DiagonalNormal:
    generator = torch.Generator().manual_seed(0)
    shape = (*shape, B, D)
    return DiagonalNormal(torch.randn(shape, generator=generator), 0.1 + torch.rand(shape, generator=generator))


def mixture() -> NormalMixture:
    generator = torch.Generator().manual_seed(1)
    return NormalMixture(torch.zeros(2), torch.randn(2, D, generator=generator), torch.ones(2, D))


def sampled_by_hand(q: DiagonalNormal, p, z: Tensor) -> Tensor:
    return (q.log_prob(z) - p.log_prob(z)).mean(0)


def test_a_prior_of_ones_own_may_be_pytorchs_own_distribution():
    q, own = posterior(), Independent(Normal(torch.ones(D), torch.full((D,), 2.0)), 1)
    z = sample(q, fresh(3, B))
    group, expected = Group(q, own, z), Group(q, PRIORS["other"], z)
    torch.testing.assert_close(group.rate(), expected.rate())
    torch.testing.assert_close(group.rate_per_dimension(), expected.rate_per_dimension())
    noise = torch.randn(1, B, D)
    assert torch.equal(sample(own, Given(noise)), 1 + 2 * noise)


def test_a_vae_of_its_parts_alone_asks_its_prior_for_its_width():
    vae = LinearGaussian().vae()
    alone = VAE(vae.encoder, vae.posterior, vae.prior, vae.decoder, vae.likelihood)
    assert alone.latent_dim == vae.latent_dim == 3


@pytest.mark.parametrize("name", PRIORS)
def test_the_rate_in_closed_form_is_what_many_samples_say(name):
    q, p = posterior(), PRIORS[name]
    group = Group(q, p, sample(q, fresh(200_000, B)))
    assert torch.equal(group.rate(), kl_divergence(q, p))
    torch.testing.assert_close(group.rate(), sampled_by_hand(q, p, group.z), atol=0.03, rtol=0)
    torch.testing.assert_close(group.log_ratio(), p.log_prob(group.z) - q.log_prob(group.z))


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("shape", [(), (5,)])
def test_rates_of_the_dimensions_sum_to_the_rate(name, shape):
    q = posterior(*shape)
    group = Group(q, PRIORS[name], sample(q, fresh(5, B)))
    rates = group.rate_per_dimension()
    assert rates.shape == (B, D)
    torch.testing.assert_close(rates.sum(1), group.rate(), atol=1e-5, rtol=1e-5)


def test_a_rate_of_each_sample_becomes_its_mean_over_them():
    q, p = posterior(5), PRIORS["unit"]
    group = Group(q, p, sample(q, fresh(5, B)))
    assert kl_divergence(q, p).shape == (5, B)
    torch.testing.assert_close(group.rate(), kl_divergence(q, p).mean(0))


@pytest.mark.parametrize("num_samples", [1, 5])
def test_a_rate_without_a_closed_form_is_that_of_samples(num_samples):
    q, p = posterior(), mixture()
    group = Group(q, p, sample(q, fresh(num_samples, B)))
    torch.testing.assert_close(group.rate(), sampled_by_hand(q, p, group.z))
    rates = group.rate_per_dimension()
    assert rates.shape == (B, D)
    expected = marginals(q).log_prob(group.z) - marginals(p).log_prob(group.z)
    torch.testing.assert_close(rates, expected[0])  # of the first: all of them would take memory


def test_a_mixture_of_one_component_gives_the_rates_of_that_component():
    q, p = posterior(), PRIORS["other"]
    one = NormalMixture(torch.zeros(1), p.base_dist.loc[None], p.base_dist.scale[None])
    z = sample(q, fresh(200_000, B))
    torch.testing.assert_close(Group(q, one, z).rate(), Group(q, p, z).rate(), atol=0.03, rtol=0)
    of_first = Group(q, one, z[:1])
    torch.testing.assert_close(of_first.rate_per_dimension().sum(1), of_first.rate(), atol=1e-3, rtol=1e-4)
    many = DiagonalNormal(q.base_dist.loc[:1].expand(100_000, D), q.base_dist.scale[:1].expand(100_000, D))
    mean = Group(many, one, sample(many, fresh(1, 100_000))).rate_per_dimension().mean(0)
    torch.testing.assert_close(mean, Group(q, p, z).rate_per_dimension()[0], atol=0.02, rtol=0)


def test_the_mean_over_samples_leaves_out_what_has_none():
    values = torch.randn(4, B)
    assert torch.equal(mean_of_samples(values), values.mean(0))
    assert torch.equal(mean_of_samples(values[:1]), values[0])
    assert torch.equal(mean_of_samples(values[0]), values[0])


def test_the_groups_of_a_pass_are_drawn_in_order_and_stand_side_by_side():
    model, x = TwoGroups(), TwoGroups().images(B)
    first, second = torch.randn(6, B, 3), torch.randn(6, B, 2)
    output = model(x, Given(first, second))
    z = side_by_side(output.groups)
    assert z.shape == (6, B, model.latent_dim)
    assert torch.equal(z, torch.cat([group.z for group in output.groups], -1))
    scale = output.groups[0].posterior.base_dist.scale
    torch.testing.assert_close(z[..., :3], output.groups[0].posterior.mean + scale * first)
    torch.testing.assert_close(output.likelihood.mean, model.decode(z).mean)
    assert side_by_side(output.groups[:1]) is output.groups[0].z


def test_the_means_of_a_hierarchy_are_seen_again_and_those_of_one_group_are_not(monkeypatch):
    from tests.models.test_conditional import vae

    hierarchy, x = TwoGroups(), TwoGroups().images(B)
    torch.testing.assert_close(hierarchy.means_of(hierarchy(x, fresh(2, B)), x), hierarchy.encode(x).loc)
    single, x, labels = vae(), torch.rand(B, 3, 8, 8), torch.arange(B)
    output, expected = single(x, fresh(2, B), labels), single.encode(x, labels).loc
    monkeypatch.setattr(type(single), "observe", None)
    torch.testing.assert_close(single.means_of(output, x, labels), expected)
