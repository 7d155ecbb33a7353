import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from tests.trained import opened
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.vae import VAE
from vae_lightning.scores import regret
from vae_lightning.scores.regret import LikelihoodRegret
from vae_lightning.scores.score import ScoredBatch

SHAPE, PIXELS, SCALE = (1, 2, 3), 6, 0.5


class Linear(nn.Module):
    """A decoder x = W z of two columns at right angles, so that the best posterior has independent dimensions."""

    def __init__(self):
        super().__init__()
        basis, _ = torch.linalg.qr(torch.randn(PIXELS, PIXELS, generator=torch.Generator().manual_seed(0)))
        self.weight = nn.Parameter(basis[:, :2] * torch.tensor([1.5, 0.7]))

    def forward(self, z):
        return (z @ self.weight.T).unflatten(1, SHAPE)


def best_elbo(weight, x):
    """log p(x), which the exact posterior attains."""
    covariance = weight @ weight.T + SCALE**2 * torch.eye(PIXELS)
    return MultivariateNormal(torch.zeros(PIXELS), covariance).log_prob(x.flatten(1))


class FixedScale(nn.Module):
    levels = None

    def forward(self, decoded, target=None):
        return Independent(Normal(decoded, SCALE), 3)


@pytest.fixture
def linear():
    torch.manual_seed(0)
    encoder = nn.Flatten()
    return VAE(
        encoder,
        DiagonalGaussian(PIXELS, 2),
        StandardNormal(2),
        Linear(),
        FixedScale(),
    ).eval()


def test_what_is_gained_is_what_the_encoder_lacks_of_the_exact_posterior(linear, digits, monkeypatch):
    monkeypatch.setattr(regret, "_COMPARED", 20_000)
    x = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(1))
    batch = ScoredBatch(replace(digits, vae=linear), x, torch.arange(4), None, 0)
    found = LikelihoodRegret(num_steps=400, lr=0.03, num_samples=64)(batch)
    with torch.no_grad():
        q = linear.encode(x)
        kl = 0.5 * (q.loc**2 + q.scale**2 - 1).sum(1) - q.scale.log().sum(1)
        weight = linear.decoder.weight
        error = (x.flatten(1) - q.loc @ weight.T).square().sum(1) + (q.scale**2 @ (weight**2).sum(0))
        own = -0.5 * error / SCALE**2 - PIXELS * (math.log(SCALE) + 0.5 * math.log(2 * math.pi)) - kl
        lacks = best_elbo(weight, x) - own
    assert (lacks > 0.1).all()
    torch.testing.assert_close(found.float(), lacks, atol=0.1, rtol=0.05)


def test_it_is_the_same_in_any_batch_and_changes_no_weight(plane):
    images = plane.data.examples(6, "test").images.float() / 255
    before = {name: value.clone() for name, value in plane.vae.state_dict().items()}
    score = LikelihoodRegret(num_steps=3)

    def of(rows):
        return score(ScoredBatch(plane, images[rows], torch.arange(6)[rows], None, 5))

    whole = of(slice(None))
    torch.testing.assert_close(torch.cat([of(slice(0, 2)), of(slice(2, 6))]), whole, atol=1e-3, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in plane.vae.state_dict().items())
    assert all(parameter.grad is None for parameter in plane.vae.parameters())


def test_few_latents_a_step_do_not_lead_astray(plane):
    """A posterior that was fitted to one fixed noise is worse than the encoder's by any other."""
    usual = plane.data.examples(64, "test").images.float() / 255
    gained = LikelihoodRegret(num_samples=1)(ScoredBatch(plane, usual, torch.arange(64), None, 5))
    assert gained.mean() > 0
    assert (gained > -1).float().mean() > 0.9


def test_images_of_another_kind_have_more_of_it(plane):
    usual = plane.data.examples(32, "test").images.float() / 255
    score = LikelihoodRegret()
    of_usual, of_others = (score(ScoredBatch(plane, x, torch.arange(32), None, 5)) for x in (usual, 1 - usual))
    assert of_others.median() > of_usual.median()


def test_what_has_no_gaussian_posterior_has_none(plane_run, moved):
    run = opened(moved(plane_run))
    assert LikelihoodRegret().why_not(run) is None
    run.vae.has_density = False
    assert "Gaussian posterior" in (LikelihoodRegret().why_not(run) or "")
