"""A normal distribution of any covariance against PyTorch's own, and against a model whose posterior it is."""

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence

from tests.given import Given, fresh
from tests.objectives.test_elbo import START
from vae_lightning.models.distributions import DiagonalNormal, UnitNormal, centre, held_fixed, sample
from vae_lightning.models.latent_model import Group
from vae_lightning.models.posteriors.full_covariance import FullCovariance
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.pushed import FullNormal
from vae_lightning.models.vae import VAE
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.iwae import IWAE

B, D = 4, 3


def full(*shape: int, seed: int = 0) -> FullNormal:
    generator = torch.Generator().manual_seed(seed)
    scale_tril = torch.randn(*shape, D, D, generator=generator).tril(-1)
    diagonal = 0.3 + torch.rand(*shape, D, generator=generator)
    return FullNormal(torch.randn(*shape, D, generator=generator), scale_tril + torch.diag_embed(diagonal))


def of_pytorch(one: FullNormal) -> MultivariateNormal:
    return MultivariateNormal(one.loc, scale_tril=one.scale_tril)


@pytest.mark.parametrize("shape", [(B,), (5, B)])
def test_densities_are_those_of_pytorch_by_memory_and_by_solving(shape):
    q = full(*shape)
    z = sample(q, fresh(5, B))
    expected = of_pytorch(q).log_prob(z)
    torch.testing.assert_close(q.log_prob(z), expected, atol=1e-4, rtol=1e-5)  # remembered
    torch.testing.assert_close(q.log_prob(z.clone()), expected, atol=1e-4, rtol=1e-5)  # solved
    torch.testing.assert_close(q.log_prob(z[:1]), expected[:1] if shape == (B,) else of_pytorch(q).log_prob(z[:1]))
    torch.testing.assert_close(q.log_prob_by_dimension(z).sum(-1), expected, atol=1e-4, rtol=1e-5)


def test_samples_are_its_own_noise_and_some_of_a_batch_have_the_same():
    q, noise = full(B), torch.randn(2, B, D)
    z = sample(q, Given(noise))
    torch.testing.assert_close(z, q.loc + (q.scale_tril @ noise[..., None])[..., 0])
    torch.testing.assert_close(sample(q[1:3], Given(noise[:, 1:3])), z[:, 1:3])
    cold = sample(q, Given(noise), temperature=0.5)
    torch.testing.assert_close(cold - q.loc, 0.5 * (z - q.loc), atol=1e-6, rtol=1e-5)
    drawn = q.rsample((100_000,))
    torch.testing.assert_close(drawn.mean(0), q.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.var(0), q.variance, atol=0.03, rtol=0.03)
    assert torch.equal(centre(q), q.loc)


@pytest.mark.parametrize("shape", [(B,), (5, B)])
def test_rates_have_the_closed_forms(shape):
    q = full(*shape)
    other = DiagonalNormal(torch.ones(D), torch.tensor([0.5, 1.0, 2.0]))
    for p in (UnitNormal(torch.zeros(D), torch.ones(D)), other, full(*shape, seed=1)):
        expected = of_pytorch(p) if isinstance(p, FullNormal) else MultivariateNormal(p.mean, torch.diag(p.variance))
        nats = kl_divergence(q, p)
        torch.testing.assert_close(nats, kl_divergence(of_pytorch(q), expected), atol=1e-4, rtol=1e-4)
        group = Group(q, p, sample(q, fresh(5, B)))
        assert torch.equal(group.rate(), nats if nats.ndim == 1 else nats.mean(0))
        assert group.rate_per_dimension().shape == (B, D)


def test_held_fixed_it_is_the_same_for_latents_alone():
    live, z = full(B), torch.randn(2, B, D, requires_grad=True)
    loc, scale_tril = live.loc.requires_grad_(), live.scale_tril.requires_grad_()
    fixed = held_fixed(live).log_prob(z)
    torch.testing.assert_close(fixed, live.log_prob(z))
    to_z, *to_others = torch.autograd.grad(fixed.sum(), [z, loc, scale_tril], allow_unused=True)
    assert to_others == [None, None]
    torch.testing.assert_close(to_z, torch.autograd.grad(live.log_prob(z).sum(), z)[0])


def test_held_fixed_it_knows_its_own_samples_however_correlated():
    generator = torch.Generator().manual_seed(0)
    below = torch.randn(B, 96, 96, generator=generator).tril(-1)
    live = FullNormal(torch.zeros(B, 96), below + torch.eye(96))
    z = sample(live, fresh(2, B)).requires_grad_()
    fixed = held_fixed(held_fixed(live)).log_prob(z)
    assert torch.equal(fixed, live.log_prob(z))
    assert bool(torch.autograd.grad(fixed.sum(), z)[0].isfinite().all())
    mild = full(B)
    z = sample(mild, fresh(2, B)).requires_grad_()
    expected = torch.autograd.grad(of_pytorch(mild).log_prob(z).sum(), z)[0]
    torch.testing.assert_close(torch.autograd.grad(held_fixed(mild).log_prob(z).sum(), z)[0], expected)


def test_with_nothing_below_the_diagonal_it_is_the_diagonal_one():
    loc, scale = torch.randn(B, D), torch.rand(B, D) + 0.1
    q, diagonal, p = FullNormal(loc, torch.diag_embed(scale)), DiagonalNormal(loc, scale), StandardNormal(D)()
    torch.testing.assert_close(kl_divergence(q, p), kl_divergence(diagonal, p))
    z = torch.randn(2, B, D)
    torch.testing.assert_close(Group(q, p, z).rate_per_dimension(), Group(diagonal, p, z).rate_per_dimension())


class Correlated(nn.Module):
    """p(x|z) = N(W z, s^2) with dependent columns in W: the posterior has components that depend on one another."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.randn(6, D, generator=torch.Generator().manual_seed(0)))

    def log_marginal(self, x):
        return MultivariateNormal(torch.zeros(6), self.weights @ self.weights.T + 0.25 * torch.eye(6)).log_prob(
            x.flatten(1)
        )

    def vae(self) -> VAE:
        posterior = FullCovariance(6, D)
        decoder = nn.Sequential(nn.Linear(D, 6, bias=False), nn.Unflatten(-1, (1, 2, 3)))
        covariance = (torch.eye(D) + self.weights.T @ self.weights / 0.25).inverse()
        scale_tril = torch.linalg.cholesky(covariance)
        with torch.no_grad():
            for layer in (posterior.loc, posterior.log_variance, posterior.below):
                layer.weight.zero_(), layer.bias.zero_()
            posterior.loc.weight.copy_(covariance @ self.weights.T / 0.25)
            posterior.log_variance.bias.copy_(2 * scale_tril.diagonal().log())
            relative = scale_tril / scale_tril.diagonal()[:, None]
            posterior.below.bias.copy_(relative[posterior._rows, posterior._columns])
            decoder[0].weight.copy_(self.weights)
        return VAE(nn.Flatten(), posterior, StandardNormal(D), decoder, HalfNormal(), latent_dim=D)


class HalfNormal(nn.Module):
    levels = None

    def forward(self, decoded, target=None):
        return torch.distributions.Independent(torch.distributions.Normal(decoded, 0.5), 3)


def test_it_reaches_the_posterior_of_a_linear_model_exactly():
    oracle, x = Correlated(), torch.randn(3, 1, 2, 3)
    vae = oracle.vae()
    output = vae(x, fresh(20_000, 3))
    one = IWAE(1)(vae(x, fresh(1, 3)), x, START)
    torch.testing.assert_close(-one.loss, oracle.log_marginal(x), atol=1e-4, rtol=1e-5)  # any one sample says it
    torch.testing.assert_close(ELBO()(output, x, START).elbo, oracle.log_marginal(x), atol=0.05, rtol=0)
    latents = vae.encode(x)
    assert latents.scale is None
    assert torch.equal(latents.loc, output.groups[0].posterior.loc)


@pytest.mark.parametrize("size", [1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_stays_finite_with_gradients_in_half_precision_too(size, dtype):
    torch.manual_seed(0)
    posterior, p = FullCovariance(5, D), StandardNormal(D)()
    nn.init.normal_(posterior.below.weight)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        q = posterior(size * torch.randn(B, 5))
        z = sample(q, fresh(2, B))
        nats = kl_divergence(q, p) + q.log_prob(z).mean(0)
    assert nats.dtype == z.dtype == torch.float32
    nats.mean().backward()
    assert bool(nats.isfinite().all())
    assert all(bool(each.grad.isfinite().all()) for each in posterior.parameters())
    assert all(bool(each.grad.any()) for each in (posterior.loc.bias, posterior.below.bias))


def test_one_dimension_has_nothing_below_the_diagonal():
    q = FullCovariance(5, 1)(torch.randn(B, 5))
    assert q.scale_tril.shape == (B, 1, 1)
    assert FullCovariance(5, 1).below is None


def test_a_bound_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"^max_log_variance must be positive"):
        FullCovariance(5, 2, max_log_variance=0.0)


def test_it_starts_as_the_plain_one():
    posterior = FullCovariance(5, D)
    q, expected = posterior(torch.randn(B, 5)), torch.zeros(B, D, D)
    expected.diagonal(dim1=-2, dim2=-1).copy_(q.diagonal)
    assert torch.equal(q.scale_tril, expected)
