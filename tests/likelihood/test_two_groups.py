"""Every estimate against the exact log p(x) of a hierarchy of two groups of latents."""

import pytest
import torch

from tests.oracles import TwoGroups
from vae_lightning.likelihood.importance import importance_sampled
from vae_lightning.models.latent_model import VAEOutput
from vae_lightning.noise import Indexed
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.iwae import IWAE
from vae_lightning.objectives.terms import Progress, distortion

MODEL = TwoGroups()
X = MODEL.images(500)
INDICES = torch.arange(len(X))
EXACT = float(MODEL.log_marginal(X).mean())


def output_of(num_samples: int) -> VAEOutput:
    return MODEL(X, Indexed(0, INDICES, num_samples, X.device))


def importance_bound(num_samples: int) -> float:
    return -float(IWAE(num_samples)(output_of(num_samples), X, Progress(0)).loss.mean())


def test_the_bounds_rise_from_the_elbo_to_log_p_of_x():
    elbo = float(ELBO(num_samples=50)(output_of(50), X, Progress(0)).elbo.mean())
    bounds = [importance_bound(num_samples) for num_samples in (5, 50)]
    assert elbo + 0.5 < bounds[0] < bounds[1] - 0.1
    assert bounds[1] < EXACT < bounds[1] + 0.1


def test_five_thousand_samples_are_within_a_hundredth_of_a_nat():
    found = importance_sampled(MODEL, X, INDICES, num_samples=5000, seed=0, max_latents=200_000)
    mean = torch.cat([bounds.log_likelihood for _, bounds in found]).mean()
    assert float(mean) == pytest.approx(EXACT, abs=0.01)


def test_of_one_sample_the_importance_bound_is_the_sampled_elbo():
    output = output_of(1)
    sampled_rate = -sum(group.log_ratio() for group in output.groups).squeeze(0)
    sampled_elbo = -distortion(output.likelihood.log_prob(X)) - sampled_rate
    torch.testing.assert_close(-IWAE(1)(output, X, Progress(0)).loss, sampled_elbo, atol=1e-5, rtol=0)


def test_the_rate_in_closed_form_is_what_samples_say():
    output = output_of(2000)
    rate = ELBO(num_samples=2000)(output, X, Progress(0)).rate
    sampled = -sum(group.log_ratio() for group in output.groups).mean(0)
    torch.testing.assert_close(rate.mean(), sampled.mean(), atol=0.01, rtol=0)
    by_dimension = torch.cat([group.rate_per_dimension() for group in output.groups], 1)
    assert by_dimension.shape == (len(X), MODEL.latent_dim)
    torch.testing.assert_close(by_dimension.sum(1), rate, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 500])
def test_no_figure_depends_on_the_batch(size):
    expected = ELBO(num_samples=3)(output_of(3), X, Progress(0))
    parts = []
    for rows in INDICES[:50].split(size):
        output = MODEL(X[rows], Indexed(0, rows, 3, X.device))
        parts.append(ELBO(num_samples=3)(output, X[rows], Progress(0)).elbo)
    torch.testing.assert_close(torch.cat(parts), expected.elbo[:50], atol=1e-4, rtol=0)


def test_samples_of_the_prior_have_its_covariance():
    z = MODEL.draw(Indexed(0, torch.arange(20_000), 1, X.device))[0]
    torch.testing.assert_close(z.T.cov(), MODEL._covariance_of_z(), atol=0.05, rtol=0)
    assert not MODEL.draw(Indexed(0, torch.arange(3), 1, X.device), temperature=0).any()


def test_codes_of_its_own_images_have_the_moments_of_samples_of_its_prior():
    images = MODEL.images(20_000)
    means, samples = MODEL.encode(images).loc, MODEL.draw(Indexed(0, torch.arange(len(images)), 1, images.device))[0]
    torch.testing.assert_close(means.mean(0), samples.mean(0), atol=0.05, rtol=0)
    # E[Var(z|x)] + Var(E[z|x]) = Var(z)
    torch.testing.assert_close(MODEL.posterior_covariance + means.T.cov(), samples.T.cov(), atol=0.05, rtol=0)
