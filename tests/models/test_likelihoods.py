"""Likelihoods: what they do with scales, targets and channels."""

import pytest
import torch

from vae_lightning.models.likelihoods.auto import default_likelihood
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.likelihoods.gaussian import GaussianLikelihood


def _log_prob(likelihood, decoded, x):
    return likelihood(decoded, x).log_prob(x)


def test_default_is_bernoulli_for_grey_and_optimal_gaussian_for_colour():
    assert isinstance(default_likelihood((1, 28, 28)), BernoulliLikelihood)
    colour = default_likelihood((3, 64, 64))
    assert isinstance(colour, GaussianLikelihood)
    assert colour.mode == "optimal"


def test_default_of_a_given_scale_has_it_for_colour_only():
    assert isinstance(default_likelihood((1, 28, 28), 0.25), BernoulliLikelihood)
    colour = default_likelihood((3, 64, 64), 0.25)
    mean = torch.zeros(1, 1, 3, 64, 64)
    assert colour(mean).base_dist.scale.unique().tolist() == [0.25]


def test_optimal_scale_beats_every_other_scale_on_the_batch():
    decoded, x = torch.randn(1, 8, 3, 4, 4), torch.rand(8, 3, 4, 4)
    optimal = GaussianLikelihood("optimal")
    best = _log_prob(optimal, decoded, x).mean()
    scale = float(optimal.variance.sqrt())
    for other in (0.8 * scale, 0.95 * scale, 1.05 * scale, 1.2 * scale):
        assert _log_prob(GaussianLikelihood(other), decoded, x).mean() < best


def test_optimal_scale_has_the_gradient_of_the_log_of_the_error():
    decoded, x = torch.randn(1, 4, 1, 3, 3, requires_grad=True), torch.rand(4, 1, 3, 3)
    loss = -_log_prob(GaussianLikelihood("optimal"), decoded, x).sum()
    (actual,) = torch.autograd.grad(loss, decoded)
    error = (torch.sigmoid(decoded[0]) - x).square().mean()
    (expected,) = torch.autograd.grad(0.5 * x.numel() * error.log(), decoded)
    torch.testing.assert_close(actual, expected)


def test_evaluation_never_chooses_its_own_scale():
    likelihood = GaussianLikelihood("optimal")
    for _ in range(5):
        likelihood(torch.randn(1, 8, 1, 4, 4), torch.rand(8, 1, 4, 4))
    likelihood.eval()
    kept = likelihood.variance.clone()
    with_target = likelihood(torch.zeros(1, 8, 1, 4, 4), torch.ones(8, 1, 4, 4))
    without = likelihood(torch.zeros(1, 8, 1, 4, 4))
    assert torch.equal(with_target.base_dist.scale, without.base_dist.scale)
    assert torch.equal(likelihood.variance, kept)
    assert "variance" in likelihood.state_dict()


def test_running_average_forgets_its_start_and_follows():
    likelihood = GaussianLikelihood("optimal", initial_scale=5.0, averaging=0.9)
    x = torch.full((4, 1, 2, 2), 0.7)
    for _ in range(3):
        likelihood(torch.zeros(1, 4, 1, 2, 2), x)
    torch.testing.assert_close(likelihood.variance, torch.tensor(0.04))


def test_learned_scale_gets_a_gradient_and_fixed_has_no_parameter():
    learned = GaussianLikelihood("learned", initial_scale=0.2)
    _log_prob(learned, torch.zeros(1, 2, 1, 2, 2), torch.rand(2, 1, 2, 2)).sum().backward()
    assert learned.log_scale.grad is not None
    assert learned.log_scale.grad != 0
    assert list(GaussianLikelihood(0.3).parameters()) == []


@pytest.mark.parametrize("arguments", [{"scale": 0.0}, {"scale": -1.0}, {"minimum_scale": 0.0}, {"averaging": 1.0}])
def test_impossible_values_are_refused_by_name(arguments):
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} must"):
        GaussianLikelihood(**arguments)
