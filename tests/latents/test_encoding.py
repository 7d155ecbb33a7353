"""Encoding depends on the images alone."""

import pytest
import torch
from torch import nn

from tests.given import fresh
from vae_lightning.latents.encoding import encode
from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.parts import ConditionalDistribution
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.vae import VAE


def small() -> VAE:
    features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Dropout(0.5))
    posterior = DiagonalGaussian(8 * 4 * 2, latent_dim=5)
    return VAE(features, posterior, StandardNormal(5), nn.Identity(), BernoulliLikelihood(), latent_dim=5)


class Witness(nn.Module):
    """An encoder that keeps what it is shown."""

    def __init__(self, device):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1, device=device))
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return x.flatten(1)[:, :2]


class Pair(ConditionalDistribution):
    """The features themselves, as a posterior's means."""

    def forward(self, features):
        return DiagonalNormal(features, torch.ones_like(features))


@pytest.fixture
def images():
    return torch.randint(0, 256, (23, 3, 6, 4), dtype=torch.uint8)


@pytest.mark.parametrize("batch_size", [1, 7, 23, 500])
def test_posteriors_do_not_depend_on_the_batches(images, batch_size):
    vae = small().eval()
    posterior = vae.observe(images.float() / 255)
    latents = encode(vae, images, batch_size=batch_size)
    assert len(latents) == 23
    assert not latents.loc.requires_grad
    torch.testing.assert_close(latents.loc, posterior.mean, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(latents.scale, posterior.stddev, atol=1e-6, rtol=1e-5)


def test_each_image_has_the_rates_of_its_dimensions(images):
    vae = small().eval()
    latents = encode(vae, images, batch_size=7)
    [group] = vae.infer(vae.observe(images.float() / 255), fresh(1, 23))
    torch.testing.assert_close(latents.rates, group.rate_per_dimension().detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_the_callers(images, training):
    vae = small().train(training)
    first, second = encode(vae, images), encode(vae, images)
    assert vae.training is training
    assert torch.equal(first.loc, second.loc) is not training


def test_images_arrive_where_the_model_is_as_they_lie_in_memory(images):
    witness = Witness(device="meta")
    vae = VAE(witness, Pair(), StandardNormal(2).to("meta"), nn.Identity(), BernoulliLikelihood(), latent_dim=2)
    for batch in images.to(memory_format=torch.channels_last).split(10):
        with pytest.raises(NotImplementedError, match="meta"):  # from where nothing comes back
            encode(vae, batch, batch_size=10)
    assert [len(x) for x in witness.seen] == [10, 10, 3]
    assert {x.device.type for x in witness.seen} == {"meta"}
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in witness.seen)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_precision_gives_float32_latents(images, dtype):
    vae = small().eval()
    expected = encode(vae, images).loc
    latents = encode(vae.to(dtype), images)
    assert latents.loc.dtype == latents.scale.dtype == torch.float32
    torch.testing.assert_close(latents.loc, expected, atol=1e-5 if dtype == torch.float64 else 0.05, rtol=0)


def test_a_batch_size_of_zero_is_refused(images):
    with pytest.raises(ValueError, match=r"^batch_size must be at least 1, got 0$"):
        encode(small(), images, batch_size=0)
