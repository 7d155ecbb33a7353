"""Reconstructions and the discrepancy, and nothing of the rate."""

import math

import pytest
import torch

from tests.objectives.batches import START, any_pass, extremes_reach_every_gradient
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.wae import WAE


def test_the_loss_has_no_rate_and_the_elbo_has():
    output, x = any_pass(num_samples=3)
    plain = ELBO(num_samples=3)(output, x, START)
    terms = WAE(lambda_mmd=25.0, num_samples=3).eval()(output, x, START)
    torch.testing.assert_close(terms.loss, plain.distortion + 25 * terms.extra["mmd"])
    assert torch.equal(terms.elbo, plain.elbo)


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_extremes_are_finite_and_every_gradient_is_there(kernel):
    extremes_reach_every_gradient(WAE(kernel=kernel))


@pytest.mark.parametrize("arguments", [{"lambda_mmd": -1.0}, {"lambda_mmd": math.nan}, {"bandwidth": -1.0}])
def test_impossible_values_are_refused_by_name(arguments):
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} must"):
        WAE(**arguments)
