"""What holds of objectives of every kind: finite, with a gradient to every weight, at extremes and in bf16."""

from functools import partial

import pytest
import torch

from tests.given import fresh
from tests.objectives.test_elbo import START
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.mixture import MixturePrior
from vae_lightning.models.vae import VAE, build_vae
from vae_lightning.objectives.capacity import Capacity
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.free_bits import FreeBits
from vae_lightning.objectives.iwae import IWAE

OBJECTIVES = [
    ELBO(beta=4.0, gradient="stl"),
    IWAE(3, "dreg"),
    IWAE(3, "stl"),
    Capacity(gamma=1000.0),
    Capacity(rate_of="batch"),
    *(FreeBits(per=per) for per in ("dimension", "group", "image")),
]


def model() -> VAE:
    torch.manual_seed(0)
    encoder, decoder = partial(MLPEncoder, hidden=[8]), partial(MLPDecoder, hidden=[8])
    prior = partial(MixturePrior, num_components=3)
    return build_vae((1, 4, 4), 3, encoder, DiagonalGaussian, prior, decoder, BernoulliLikelihood())


@pytest.mark.parametrize("in_bf16", [False, True])
@pytest.mark.parametrize("loc", [0.0, 300.0])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda each: type(each).__name__)
def test_losses_are_finite_and_reach_every_weight(objective, loc, in_bf16):
    """With means far out, where the rate is of 100,000 nats."""
    vae = model()
    vae.posterior.loc.bias.data.add_(loc)
    x = torch.rand(6, 1, 4, 4).round()
    with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16):
        terms = objective(vae(x, fresh(objective.num_samples, 6)), x, START)
    assert terms.loss.dtype == torch.float32
    assert bool(torch.cat([terms.loss, terms.rate, terms.distortion]).isfinite().all())
    terms.loss.mean().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
