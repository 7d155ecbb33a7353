"""Strided convolutions and residual blocks, from an image to a map and back: the network of the VQ-VAE."""

import itertools
import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.errors import require_at_least, require_at_most
from vae_lightning.models.networks.sizes import check_channels, halvings

_MOST_BLOCKS = 100  # a stranger's config must not ask for more than can be made


class ResidualEncoder(nn.Module):
    """Stride-2 convolutions with ReLU, then residual blocks: features are the map, flattened (arXiv 1711.00937, 4.1).

    Args:
        image_shape: (C, H, W).
        channels: width of each convolution; each halves the image.
        num_blocks: residual blocks at the size of the map.
        residual_channels: width within a block.

    Attributes:
        map_shape: (C', H', W').

    Raises:
        ValueError: an image too small for so many halvings, or a width or number too small.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        channels: Sequence[int] = (32, 64),
        num_blocks: int = 2,
        residual_channels: int = 32,
    ):
        require_at_least("num_blocks", num_blocks, 0)
        require_at_most("num_blocks", num_blocks, _MOST_BLOCKS)
        require_at_least("residual_channels", residual_channels, 1)
        super().__init__()
        check_channels(channels)
        self.map_shape = (channels[-1], *halvings(image_shape[1:], len(channels))[-1])
        self.num_features = math.prod(self.map_shape)
        pairs = itertools.pairwise([image_shape[0], *channels])
        halving = [layer for pair in pairs for layer in (nn.Conv2d(*pair, 3, stride=2, padding=1), nn.ReLU())]
        blocks = [_Residual(channels[-1], residual_channels) for _ in range(num_blocks)]
        # The ReLU of the last convolution belongs to the first block, which has one of its own.
        self.layers = nn.Sequential(*halving[:-1], *blocks, nn.ReLU(), nn.Flatten())

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        return self.layers(x)


class ResidualDecoder(nn.Module):
    """The mirror of `ResidualEncoder`, of a flattened map of latents with as many positions as the encoder's has.

    `channels` is the encoder's list, widths from the image to the map.

    Raises:
        ValueError: a latent_dim that is no such map.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: Sequence[int],
        channels: Sequence[int] = (32, 64),
        num_blocks: int = 2,
        residual_channels: int = 32,
    ):
        require_at_least("num_blocks", num_blocks, 0)
        require_at_most("num_blocks", num_blocks, _MOST_BLOCKS)
        require_at_least("residual_channels", residual_channels, 1)
        super().__init__()
        check_channels(channels)
        sizes = halvings(image_shape[1:], len(channels))[::-1]
        num_positions = math.prod(sizes[0])
        if latent_dim % num_positions:
            raise ValueError(f"latent_dim must be a multiple of {num_positions}, a vector a position; got {latent_dim}")
        widths = [*channels[::-1], channels[0]]
        doubling = [_doubled(widths[i], widths[i + 1], sizes[i], sizes[i + 1]) for i in range(len(channels))]
        self.layers = nn.Sequential(
            nn.Unflatten(1, (latent_dim // num_positions, *sizes[0])),
            nn.Conv2d(latent_dim // num_positions, channels[-1], kernel_size=3, padding=1),
            *(_Residual(channels[-1], residual_channels) for _ in range(num_blocks)),
            nn.ReLU(),
            *doubling,
            nn.Conv2d(channels[0], image_shape[0], kernel_size=3, padding=1),
        )

    def forward(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        return self.layers(z)


class _Residual(nn.Module):
    """v + convolution(ReLU(convolution(ReLU(v))))."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, hidden, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, kernel_size=1),
        )

    def forward(self, v: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return v + self.layers(v)


def _doubled(num_inputs: int, num_outputs: int, size: tuple[int, int], target: tuple[int, int]) -> nn.Sequential:
    """From maps of `size` to exactly `target`: 2 * size or one less, each side."""
    height, width = (wanted - (2 * side - 1) for side, wanted in zip(size, target, strict=True))
    return nn.Sequential(
        nn.ConvTranspose2d(num_inputs, num_outputs, 3, stride=2, padding=1, output_padding=(height, width)), nn.ReLU()
    )
