"""Encoding depends on the images alone."""

import pytest
import torch
from torch import nn

from vae_lightning.latents.encoding import Encoder, encode
from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.posteriors import DiagonalGaussian


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Dropout(0.5))
        self.posterior = DiagonalGaussian(8 * 4 * 2, latent_dim=5)

    def encode(self, x):
        return self.posterior(self.features(x))


class Witness(nn.Module):
    """Keeps what it is shown; its posteriors are all the same."""

    def __init__(self, device):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1, device=device))
        self.seen = []

    def encode(self, x):
        self.seen.append(x)
        return DiagonalNormal(torch.full((len(x), 1), 0.5), torch.ones(len(x), 1))


@pytest.fixture
def images():
    return torch.randint(0, 256, (23, 3, 6, 4), dtype=torch.uint8)


@pytest.mark.parametrize("batch_size", [1, 7, 23, 500])
def test_posteriors_do_not_depend_on_the_batches(images, batch_size):
    vae = Small().eval()
    posterior = vae.encode(images.float() / 255)
    latents = encode(vae, images, batch_size)
    assert len(latents) == 23
    assert not latents.loc.requires_grad
    torch.testing.assert_close(latents.loc, posterior.mean, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(latents.scale, posterior.stddev, atol=1e-6, rtol=1e-5)


def test_what_has_posteriors_need_not_be_a_module(images):
    class Plain:
        def encode(self, x):
            return DiagonalNormal(x.flatten(1), torch.ones(len(x), 72))

    assert isinstance(Plain(), Encoder)
    torch.testing.assert_close(encode(Plain(), images).loc, images.flatten(1) / 255)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_the_callers(images, training):
    vae = Small().train(training)
    first, second = encode(vae, images), encode(vae, images)
    assert vae.training is training
    assert torch.equal(first.loc, second.loc) is not training


def test_images_arrive_where_the_model_is_as_they_lie_in_memory(images):
    witness = Witness(device="meta")
    encode(witness, images.to(memory_format=torch.channels_last), batch_size=10)
    assert [len(x) for x in witness.seen] == [10, 10, 3]
    assert {x.device.type for x in witness.seen} == {"meta"}
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in witness.seen)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_precision_gives_float32_latents(images, dtype):
    vae = Small().eval()
    expected = encode(vae, images).loc
    latents = encode(vae.to(dtype), images)
    assert latents.loc.dtype == latents.scale.dtype == torch.float32
    torch.testing.assert_close(latents.loc, expected, atol=1e-5 if dtype == torch.float64 else 0.05, rtol=0)


def test_a_batch_size_of_zero_is_refused(images):
    with pytest.raises(ValueError, match=r"^batch_size must be at least 1, got 0$"):
        encode(Small(), images, batch_size=0)
