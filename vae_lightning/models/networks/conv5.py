"""Strided convolutions, five blocks by default, mirrored with transposed convolutions: the anime-faces model."""

import itertools
import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.networks.conv import transposed_block
from vae_lightning.models.networks.sizes import check_channels, halvings


class Conv5Encoder(nn.Module):
    """Blocks of stride-2 convolution, batch norm and LeakyReLU; features are the flattened last map.

    Args:
        image_shape: (C, H, W).
        channels: width of each block; each halves the image.

    Raises:
        ValueError: an image too small for so many blocks (17 px for five).
    """

    def __init__(self, image_shape: Sequence[int], channels: Sequence[int] = (32, 64, 128, 256, 512)):
        super().__init__()
        check_channels(channels)
        sizes = halvings(image_shape[1:], len(channels))
        widths = [image_shape[0], *channels]
        self.map_shape = (channels[-1], *sizes[-1])
        self.num_features = math.prod(self.map_shape)
        self.layers = nn.Sequential(*(_strided_block(*pair) for pair in itertools.pairwise(widths)), nn.Flatten())

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        return self.layers(x)


class Conv5Decoder(nn.Module):
    """The mirror of `Conv5Encoder`; `channels` is the encoder's list, widths from the image to the code."""

    def __init__(self, latent_dim: int, image_shape: Sequence[int], channels: Sequence[int] = (32, 64, 128, 256, 512)):
        super().__init__()
        check_channels(channels)
        sizes = halvings(image_shape[1:], len(channels))[::-1]
        code_shape = (channels[-1], *sizes[0])
        widths = [*channels[::-1], channels[0]]
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, math.prod(code_shape)),
            nn.Unflatten(1, code_shape),
            *(transposed_block(widths[i], widths[i + 1], sizes[i], sizes[i + 1]) for i in range(len(channels))),
            nn.Conv2d(channels[0], image_shape[0], kernel_size=3, padding=1),
        )

    def forward(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        return self.layers(z)


def _strided_block(num_inputs: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_inputs, num_outputs, kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(num_outputs),
        nn.LeakyReLU(0.2),
    )
