"""Convolution blocks with max pooling, then fully connected layers; mirrored with transposed convolutions."""

import itertools
import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.networks.sizes import check_channels, halvings


class ConvEncoder(nn.Module):
    """Blocks of convolution, batch norm, LeakyReLU and max pooling, dropout after the last; then a hidden layer.

    Args:
        image_shape: (C, H, W).
        channels: width of each block; each halves the image.
        hidden: width of the fully connected layer, the number of features F.
        dropout: probability after the last block and after the hidden layer, in [0, 1).

    Raises:
        ValueError: an image too small for so many blocks, or a dropout outside [0, 1).
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        channels: Sequence[int] = (32, 64, 128),
        hidden: int = 256,
        dropout: float = 0.1,
    ):
        super().__init__()
        check_channels(channels)
        _check_dropout(dropout)
        sizes = halvings(image_shape[1:], len(channels))
        widths = [image_shape[0], *channels]
        self.num_features = hidden
        self.layers = nn.Sequential(
            *(_pooling_block(*pair) for pair in itertools.pairwise(widths)),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(channels[-1] * math.prod(sizes[-1]), hidden),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        return self.layers(x)


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder`: fully connected layers, then transposed convolutions to exactly the image's size.

    `channels` is the encoder's list, widths from the image to the code.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: Sequence[int],
        channels: Sequence[int] = (32, 64, 128),
        hidden: int = 256,
        dropout: float = 0.1,
    ):
        super().__init__()
        check_channels(channels)
        _check_dropout(dropout)
        sizes = halvings(image_shape[1:], len(channels))[::-1]
        code_shape = (channels[-1], *sizes[0])
        widths = [*channels[::-1], channels[0]]
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, hidden),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
            nn.Linear(hidden, math.prod(code_shape)),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, code_shape),
            *(transposed_block(widths[i], widths[i + 1], sizes[i], sizes[i + 1]) for i in range(len(channels))),
            nn.Conv2d(channels[0], image_shape[0], kernel_size=3, padding=1),
        )

    def forward(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        return self.layers(z)


def transposed_block(
    num_inputs: int, num_outputs: int, size: tuple[int, int], target_size: tuple[int, int]
) -> nn.Sequential:
    """Transposed convolution that doubles maps of `size` to exactly `target_size` (2 * size or one less, each side)."""
    height, width = (target - (2 * side - 1) for side, target in zip(size, target_size, strict=True))
    return nn.Sequential(
        nn.ConvTranspose2d(num_inputs, num_outputs, 3, stride=2, padding=1, output_padding=(height, width), bias=False),
        nn.BatchNorm2d(num_outputs),
        nn.LeakyReLU(0.2),
    )


def _pooling_block(num_inputs: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_inputs, num_outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(num_outputs),
        nn.LeakyReLU(0.2),
        nn.MaxPool2d(2, ceil_mode=True),
    )


def _check_dropout(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
