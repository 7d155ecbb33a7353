"""Fully connected encoder and decoder: the VAE of the first paper and of every tutorial (arXiv 1312.6114)."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

_LARGE = 500  # latents, below which looking costs more than it saves
_WORTH_IT = 0.85  # the fraction of used inputs, above which copying them costs more

Activation = Literal["relu", "tanh"]
_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


class MLPEncoder(nn.Module):
    """Flattened image [B, C, H, W] through hidden layers to features [B, F], F the last width."""

    def __init__(self, image_shape: Sequence[int], hidden: Sequence[int] = (400,), activation: Activation = "relu"):
        super().__init__()
        _check_hidden(hidden)
        self.num_features = hidden[-1]
        self.layers = nn.Sequential(nn.Flatten(), *_hidden_layers([math.prod(image_shape), *hidden], activation))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        return self.layers(x)


class MLPDecoder(nn.Module):
    """Latents [N, D] through hidden layers to [N, C, H, W]; the widths are given from the latents outwards."""

    def __init__(
        self,
        latent_dim: int,
        image_shape: Sequence[int],
        hidden: Sequence[int] = (400,),
        activation: Activation = "relu",
    ):
        super().__init__()
        _check_hidden(hidden)
        self.layers = nn.Sequential(
            *_hidden_layers([latent_dim, *hidden], activation),
            _OutputLayer(hidden[-1], math.prod(image_shape)),
            nn.Unflatten(1, tuple(image_shape)),
        )

    def forward(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        return self.layers(z)


class _OutputLayer(nn.Linear):
    """A linear layer that leaves out those of its inputs that are zero in the whole of a large batch.

    Among thousands of samples of one image's posterior, which evaluation decodes, many ReLUs are off throughout.
    """

    def forward(self, input: Float[Tensor, "N F"]) -> Float[Tensor, "N P"]:
        if torch.is_grad_enabled() or len(input) < _LARGE or input.device.type != "cpu":
            return super().forward(input)
        used = input.any(0).nonzero().squeeze(1)
        if len(used) > _WORTH_IT * self.in_features:
            return super().forward(input)
        return nn.functional.linear(input.index_select(1, used), self.weight.index_select(1, used), self.bias)


def _hidden_layers(widths: Sequence[int], activation: Activation) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for num_inputs, num_outputs in itertools.pairwise(widths):
        layers += [nn.Linear(num_inputs, num_outputs), _ACTIVATIONS[activation]()]
    return layers


def _check_hidden(hidden: Sequence[int]) -> None:
    if len(hidden) == 0 or min(hidden) < 1:
        raise ValueError(f"hidden must be a list of positive widths, got {list(hidden)}")
