"""The Bernoulli likelihood of evaluation is that of training, computed another way."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_lightning.models.distributions import BernoulliImage


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 9), (3, 64, 64), (1, 150, 150), (1, 1, 1)])
@pytest.mark.parametrize("batch", [(), (5,), (3, 2), (700, 1)])
def test_evaluation_computes_the_same_without_a_gradient(shape, batch):
    logits, x = 8 * torch.randn(*batch, *shape), torch.rand(*batch[1:], *shape)
    x = x.round() if len(batch) == 2 else x
    terms = binary_cross_entropy_with_logits(logits.double(), x.double().expand_as(logits), reduction="none")
    expected = -terms.sum((-3, -2, -1))
    for_training = BernoulliImage(logits.clone().requires_grad_()).log_prob(x)
    with torch.no_grad():
        for_evaluation = BernoulliImage(logits).log_prob(x)
    assert for_evaluation.shape == for_training.shape == torch.Size(batch)
    torch.testing.assert_close(for_evaluation.double(), expected, atol=1e-4, rtol=1e-6)
    torch.testing.assert_close(for_training.double(), expected, atol=1e-4, rtol=1e-6)


@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_extreme_logits_stay_finite_and_exact(logit):
    logits = torch.full((2, 1, 28, 28), logit)
    x = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 28, 28)
    with torch.no_grad():
        found = BernoulliImage(logits).log_prob(x)
    expected = -784 * torch.nn.functional.softplus(torch.tensor([logit, -logit]))
    torch.testing.assert_close(found, expected)
