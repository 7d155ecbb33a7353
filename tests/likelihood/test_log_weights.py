"""Weights of which only the heavy ones are computed exactly give the sum that all exact ones give."""

import pytest
import torch
from torch import Tensor

from tests.given import Given
from vae_lightning.likelihood import log_weights as module
from vae_lightning.likelihood.log_weights import Looked, log_weights
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.vae import build_vae

SHAPE, DIM, SAMPLES = (1, 12, 12), 6, 2000


class Weighed:
    """log w of a few images at each precision, by a decoder that rounds latents wherever products may be rounded."""

    def __init__(self, num_images: int, num_samples: int = SAMPLES):
        self.vae = build_vae(
            SHAPE, DIM, MLPEncoder, DiagonalGaussian, StandardNormal, MLPDecoder, BernoulliLikelihood()
        )
        for parameter in self.vae.eval().decoder.parameters():
            parameter.data *= 2
        self.exact_rows = 0
        self.vae.decoder.register_forward_pre_hook(self._round)
        self.x = torch.rand(num_images, *SHAPE).round()
        self.noise = torch.randn(num_samples, num_images, DIM)

    def _round(self, decoder: object, inputs: tuple[Tensor]) -> tuple[Tensor]:
        if torch.get_float32_matmul_precision() == "medium":
            return (inputs[0].bfloat16().float(),)
        self.exact_rows += len(inputs[0])
        return inputs

    @torch.no_grad()
    def at(self, precision: str, images: slice = slice(None)) -> Tensor:
        x = self.x[images]
        return log_weights(self.vae, Looked(x, self.vae.observe(x)), Given(self.noise[:, images]), precision)


def sums(log_weights: Tensor) -> Tensor:
    return log_weights.logsumexp(0)


@pytest.mark.parametrize("num_images", [1, 5])
def test_few_exact_weights_give_the_exact_sum(num_images):
    weighed = Weighed(num_images)
    exact, rounded = weighed.at("highest"), weighed.at("medium")
    weighed.exact_rows = 0
    refined = weighed.at("refined")
    assert weighed.exact_rows < 0.4 * SAMPLES * num_images
    assert float((rounded - exact).std()) > 0.01
    assert float((sums(refined) - sums(exact)).abs().max()) < 0.001
    assert float((refined.mean(0) - exact.mean(0)).abs().max()) < 0.02  # of which the ELBO is made


def test_an_images_weights_do_not_depend_on_those_computed_with_it():
    weighed = Weighed(4)
    torch.testing.assert_close(weighed.at("refined")[:, 2:3], weighed.at("refined", slice(2, 3)), atol=2e-4, rtol=0)


@pytest.mark.parametrize("num_images", [1, 3])
def test_where_rounding_scatters_the_weights_all_are_exact(num_images, monkeypatch):
    weighed = Weighed(num_images)
    monkeypatch.setattr(module, "_LARGEST_SPREAD", 1e-9)
    torch.testing.assert_close(weighed.at("refined"), weighed.at("highest"), atol=2e-4, rtol=0)


@pytest.mark.parametrize("num_samples", [1, 2, 63])
def test_few_samples_will_do(num_samples):
    weighed = Weighed(2, num_samples)
    assert float((sums(weighed.at("refined")) - sums(weighed.at("highest"))).abs().max()) < 0.01


def test_the_heaviest_weights_carry_the_share_and_no_more_than_needed():
    log_weights = 3 * torch.randn(1000, 4, dtype=torch.float64)
    chosen = module._heaviest(log_weights)
    weights = log_weights.softmax(0)
    carried = torch.where(chosen, weights, 0).sum(0)
    lightest = torch.where(chosen, weights, 1).amin(0)
    assert bool((carried >= 0.9).all())
    assert bool((carried - lightest < 0.9).all())
    assert bool((torch.where(chosen, 0, weights).amax(0) <= lightest).all())
    assert bool(module._heaviest(torch.zeros(5, 2, dtype=torch.float64)).all())


def test_one_weight_that_is_everything_is_not_left_alone():
    log_weights = torch.zeros(640, 1, dtype=torch.float64).index_fill(0, torch.tensor([7]), 100)
    assert int(module._heaviest(log_weights + 1e-9 * torch.randn_like(log_weights)).sum()) == 11


def test_the_precision_of_products_is_what_it_was():
    before = torch.get_float32_matmul_precision()
    Weighed(1, 10).at("refined")
    assert torch.get_float32_matmul_precision() == before
