"""Importance sampling against an exact oracle, and in the memory that it is given."""

import os
import subprocess
import sys

import pytest
import torch

from tests.objectives.test_elbo import LinearGaussian
from tests.objectives.test_iwae import loosened
from vae_lightning.likelihood.importance import SampledBounds, bytes_per_latent, importance_sampled
from vae_lightning.models.vae import VAE
from vae_lightning.noise import indexed_parts


def sampled(vae: VAE, x: torch.Tensor, indices: torch.Tensor, num_samples: int, max_latents: int) -> SampledBounds:
    options = {"num_samples": num_samples, "seed": 3, "max_latents": max_latents}
    parts = list(importance_sampled(vae, x, indices, **options))
    assert [index for part, _ in parts for index in range(part.start, part.stop)] == list(range(len(x)))
    return SampledBounds(
        *(torch.cat([getattr(bounds, name) for _, bounds in parts]) for name in ("log_likelihood", "elbo"))
    )


def test_the_mean_is_that_of_the_oracle():
    oracle, x = LinearGaussian(), torch.randn(50, 1, 2, 3)
    bounds = sampled(loosened(oracle.vae()), x, torch.arange(50), 5000, 5000)
    assert bounds.log_likelihood.mean() == pytest.approx(float(oracle.log_marginal(x).mean()), abs=0.01)
    # KL(q || p(z|x)) of a posterior that is 1.5 times too wide in each of three dimensions
    gap = 3 * (1.5**2 / 2 - 0.5 - torch.tensor(1.5).log())
    assert (bounds.log_likelihood - bounds.elbo).mean() == pytest.approx(float(gap), abs=0.01)


def test_at_the_exact_posterior_one_sample_is_enough():
    oracle, x = LinearGaussian(), torch.randn(5, 1, 2, 3)
    bounds = sampled(oracle.vae(), x, torch.arange(5), 1, 100)
    torch.testing.assert_close(bounds.log_likelihood.float(), oracle.log_marginal(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("max_latents", [1, 7, 100, 700, 10**6])
def test_no_figure_depends_on_how_the_work_is_divided(max_latents):
    vae, x, indices = loosened(LinearGaussian().vae()), torch.randn(9, 1, 2, 3), torch.arange(100, 109)
    expected = sampled(vae, x, indices, 300, 300)
    for chosen in (torch.arange(9), torch.tensor([8, 0, 4])):
        bounds = sampled(vae, x[chosen], indices[chosen], 300, max_latents)
        torch.testing.assert_close(bounds.log_likelihood, expected.log_likelihood[chosen], atol=0, rtol=1e-6)
        torch.testing.assert_close(bounds.elbo, expected.elbo[chosen], atol=0, rtol=1e-6)


def test_each_image_has_noise_of_its_own():
    def noise_of(index):
        parts = indexed_parts(1, torch.tensor([index]), 2500, 700, torch.device("cpu"))
        return torch.cat([part.normal((3,)) for part in parts])

    first, second = noise_of(4), noise_of(5)
    assert first.shape == (2500, 1, 3)
    assert not torch.equal(first, second)
    rows = first[:, 0]
    assert len(rows.unique(dim=0)) == 2500
    assert float(rows.mean()) == pytest.approx(0, abs=0.05)
    assert float(rows.std()) == pytest.approx(1, abs=0.05)


def test_an_image_is_encoded_once():
    vae, calls = LinearGaussian().vae(), []
    vae.encoder.register_forward_hook(lambda *arguments: calls.append(1))
    sampled(vae, torch.randn(4, 1, 2, 3), torch.arange(4), 3000, 100)
    assert len(calls) == 1


@pytest.mark.parametrize("options", [{"num_samples": 0, "max_latents": 1}, {"num_samples": 1, "max_latents": 0}])
def test_nothing_to_sample_is_refused(options):
    vae, x = LinearGaussian().vae(), torch.zeros(1, 1, 2, 3)
    with pytest.raises(ValueError, match="must be at least 1"):
        next(importance_sampled(vae, x, torch.arange(1), seed=0, **options))


MEMORY = """
import os, resource, torch
from vae_lightning.likelihood.importance import bytes_per_latent, importance_sampled
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.likelihoods.gaussian import GaussianLikelihood
from vae_lightning.models.networks.conv import ConvDecoder, ConvEncoder
from vae_lightning.models.networks.conv5 import Conv5Decoder, Conv5Encoder
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.vae import build_vae

torch.set_num_threads(1)
def look(encoder, decoder, likelihood, shape, nums):
    vae = build_vae(shape, 20, encoder, DiagonalGaussian, StandardNormal, decoder, likelihood()).eval()
    x = torch.rand(2, *shape)
    def peak(num_samples, budget):
        most = int(budget // bytes_per_latent(vae, shape))
        options = {"num_samples": num_samples, "seed": 0, "max_latents": most, "precision": "refined"}
        list(importance_sampled(vae, x, torch.arange(2), **options))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    before = peak(50, 4e6)
    print(*(peak(num_samples, 100e6) - before for num_samples in nums), flush=True)
for case in (
    (MLPEncoder, MLPDecoder, BernoulliLikelihood, (1, 28, 28), (5_000, 20_000)),
    (ConvEncoder, ConvDecoder, BernoulliLikelihood, (1, 28, 28), (500, 1_500)),
    (Conv5Encoder, Conv5Decoder, GaussianLikelihood, (3, 64, 64), (120, 240)),
):
    if not (child := os.fork()):
        look(*case)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")
def test_memory_stays_under_the_budget_whatever_k_is():
    # What is in use is counted, and not what glibc keeps of freed blocks, which differs from run to run.
    allocator = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, env=allocator)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        few, many = map(float, line.split())
        assert few <= many < 100e6
        assert many - few < 20e6


def test_a_latents_bytes_count_what_the_decoder_puts_out():
    oracle = LinearGaussian()
    assert bytes_per_latent(oracle.vae(), (1, 2, 3)) == 4 * (6 + 4 * 6 + 4 * 3)
