"""Where the weights of a new model start, in place of PyTorch's own choice."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.latent_model import LatentModel
from vae_lightning.models.networks.pyramid import ScaledConvolution

_WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd)


class Glorot:
    """Weights uniform on +-sqrt(6 / (fan_in + fan_out)), biases zero, and the decoder's last bias at the mean image.

    Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010. With
    `output_at_mean` the decoder starts near the mean of the training images, as in arXiv 1509.00519, appendix C: its
    last bias becomes the likelihood's `decoder_output(mean)`, averaged over the pixels that share one.

    Raises:
        ValueError: the decoder does not end in a layer with a bias.
    """

    def __init__(self, output_at_mean: bool = True):
        self.output_at_mean = output_at_mean

    @torch.no_grad()
    def __call__(self, vae: LatentModel, mean_image: Float[Tensor, "C H W"]) -> None:
        """Set the weights in place; `mean_image` is that of the training images, in [0, 1]."""
        _begin(vae, nn.init.xavier_uniform_)
        if self.output_at_mean:
            likelihood: Any = vae.likelihood
            output, bias = likelihood.decoder_output(mean_image), _last_bias(vae.decoder)
            bias.copy_(output.reshape(len(bias), -1).mean(1))


class He:
    """Weights normal with variance 2 / fan_in, biases zero, as in He et al., arXiv 1502.01852.

    arXiv 1705.07120 begins its gated layers so.
    """

    @torch.no_grad()
    def __call__(self, vae: LatentModel, mean_image: Float[Tensor, "C H W"]) -> None:
        """Set the weights in place; the training images are not looked at."""
        _begin(vae, nn.init.kaiming_normal_)


def _begin(vae: LatentModel, draw: Callable[[Tensor], Any]) -> None:
    """Draw all weights; a layer that is to begin otherwise has a `scale_start`."""
    for layer in vae.modules():
        if isinstance(layer, _WEIGHTED):
            draw(layer.weight)
            if layer.bias is not None:
                layer.bias.zero_()
        if isinstance(layer, ScaledConvolution):
            layer.scale_start()


def _last_bias(decoder: nn.Module) -> Tensor:
    biases = [layer.bias for layer in decoder.modules() if isinstance(layer, _WEIGHTED)]
    if not biases or biases[-1] is None:
        raise ValueError("output_at_mean must be false for a decoder that does not end in a layer with a bias")
    return biases[-1]
