"""Where a model's weights start when Glorot's choice is asked for."""

import math

import pytest
import torch
from torch import nn

from tests.models.test_networks import NETWORKS, build
from vae_lightning.models.initialization import Glorot, He
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.likelihoods.gaussian import GaussianLikelihood


def test_weights_are_glorots_and_biases_zero():
    vae = build("mlp", (1, 28, 28))
    Glorot(output_at_mean=False)(vae, torch.full((1, 28, 28), 0.3))
    layer = vae.encoder.layers[1]
    limit = math.sqrt(6 / (784 + 400))
    assert float(layer.weight.detach().abs().max()) == pytest.approx(limit, rel=1e-3)
    assert float(layer.weight.detach().std()) == pytest.approx(limit / math.sqrt(3), rel=0.01)
    assert not any(module.bias.any() for module in vae.modules() if isinstance(module, nn.Linear))


def test_weights_are_hes_and_biases_zero():
    vae = build("gated", (1, 28, 28))
    He()(vae, torch.full((1, 28, 28), 0.3))
    for layer, num_inputs in ((vae.encoder.layers[1][0], 784), (vae.decoder.layers[0][0], 300)):
        assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / num_inputs), rel=0.01)
        assert float(layer.weight.detach().mean()) == pytest.approx(0, abs=3e-4)
    assert not any(module.bias.any() for module in vae.modules() if isinstance(module, nn.Linear))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_first_images_are_near_the_mean(name, channels):
    mean = torch.tensor([0.2, 0.5, 0.7])[:channels].view(-1, 1, 1).expand(channels, 32, 32)
    vae = build(name, (channels, 32, 32)).eval()
    Glorot()(vae, mean)
    with torch.no_grad():
        image = vae.generate(torch.zeros(1, 5))[0]
    torch.testing.assert_close(image.mean((1, 2)), mean[:, 0, 0], atol=0.02, rtol=0)


def test_the_output_bias_is_each_pixels_logit():
    mean = torch.rand(1, 28, 28)
    mean[0, 0, 0] = 0  # as at the rim of digits
    vae = build("mlp", (1, 28, 28))
    Glorot()(vae, mean)
    bias = vae.decoder.layers[-2].bias.detach()
    torch.testing.assert_close(torch.sigmoid(bias).view(1, 28, 28), mean.clamp(1e-3, 1 - 1e-3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("likelihood", [BernoulliLikelihood(), GaussianLikelihood("optimal")])
def test_a_likelihood_knows_what_gives_it_a_mean(likelihood):
    mean = torch.rand(2, 3, 4, 4).clamp(0.01, 0.99)
    torch.testing.assert_close(likelihood.eval()(likelihood.decoder_output(mean)).mean, mean)


def test_a_decoder_without_a_last_bias_is_refused():
    vae = build("mlp", (1, 28, 28))
    vae.decoder = nn.Sequential(nn.Linear(5, 784, bias=False))
    with pytest.raises(ValueError, match=r"^output_at_mean must be false"):
        Glorot()(vae, torch.full((1, 28, 28), 0.3))
