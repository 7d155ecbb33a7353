"""Fully connected encoder and decoder: the VAE of the first paper and of every tutorial (arXiv 1312.6114)."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.networks.sizes import check_hidden

Activation = Literal["relu", "tanh"]
_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


class MLPEncoder(nn.Module):
    """Flattened image [B, C, H, W] through hidden layers to features [B, F], F the last width."""

    def __init__(self, image_shape: Sequence[int], hidden: Sequence[int] = (400,), activation: Activation = "relu"):
        super().__init__()
        check_hidden(hidden)
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
        check_hidden(hidden)
        self.layers = nn.Sequential(
            *_hidden_layers([latent_dim, *hidden], activation),
            nn.Linear(hidden[-1], math.prod(image_shape)),
            nn.Unflatten(1, tuple(image_shape)),
        )

    def forward(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        return self.layers(z)


def _hidden_layers(widths: Sequence[int], activation: Activation) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for num_inputs, num_outputs in itertools.pairwise(widths):
        layers += [nn.Linear(num_inputs, num_outputs), _ACTIVATIONS[activation]()]
    return layers
