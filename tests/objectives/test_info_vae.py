"""The weights of rate and discrepancy, and what they leave."""

import math

import pytest
import torch

from tests.objectives.batches import START, any_pass, extremes_reach_every_gradient
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.info_vae import InfoVAE


def test_the_weights_are_the_papers():
    output, x = any_pass(num_samples=2)
    plain = ELBO(num_samples=2)(output, x, START)
    terms = InfoVAE(alpha=0.25, lambda_mmd=40.0, num_samples=2).eval()(output, x, START)
    torch.testing.assert_close(terms.loss, plain.distortion + 0.75 * plain.rate + 39.25 * terms.extra["mmd"])
    assert torch.equal(terms.elbo, plain.elbo)
    assert torch.equal(InfoVAE(0.0, 1.0)(output, x, START).loss, plain.loss)


def test_extremes_are_finite_and_every_gradient_is_there():
    extremes_reach_every_gradient(InfoVAE())
    extremes_reach_every_gradient(InfoVAE(alpha=1.0, kernel="rbf"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"alpha": 1.5}, "alpha must be at most 1, got 1.5"),
        ({"alpha": math.nan}, "alpha must be at most 1, got nan"),
        ({"alpha": -math.inf}, "alpha must be finite, got -inf"),
        ({"alpha": 0.0, "lambda_mmd": 0.5}, "lambda_mmd must be finite and at least 1 - alpha, got 0.5 at alpha=0.0"),
        ({"lambda_mmd": math.inf}, "lambda_mmd must be finite"),
        ({"lambda_mmd": math.nan}, "lambda_mmd must be finite"),
        ({"bandwidth": 0.0}, "bandwidth must be positive"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
    ],
)
def test_impossible_values_are_refused_by_name(arguments, told):
    with pytest.raises(ValueError, match=f"^{told}"):
        InfoVAE(**arguments)


MIXTURE = ("data=digits", "model=mlp", "model/prior=mixture")


@pytest.mark.parametrize(
    ("objective", "instead"),
    [
        (("objective=info_vae", "objective.alpha=1"), "InfoVAE {}, or an objective.alpha below 1"),
        (("objective=wae",), "WAE {}, or objective=info_vae"),
    ],
)
def test_weights_of_a_mixture_that_nothing_would_train_are_refused(objective, instead, error_of):
    told = "does not train the weights of a MixturePrior; choose another model/prior"
    assert error_of(*MIXTURE, *objective) == f"objective: {instead.format(told)}"
