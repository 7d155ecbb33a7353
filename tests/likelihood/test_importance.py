"""Importance sampling against an exact oracle."""

import pytest
import torch

from tests.objectives.test_elbo import LinearGaussian
from tests.objectives.test_iwae import loosened
from vae_lightning.likelihood.importance import SampledBounds, importance_sampled
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
