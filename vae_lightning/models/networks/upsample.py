"""A ReLU convolution encoder and a decoder of bilinear upsampling and convolution: the 150 x 150 model.

Upsampling before a stride-1 convolution leaves no checkerboard (Odena, Dumoulin, Olah, Distill 2016).
"""

import itertools
import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.networks.sizes import check_channels, halvings


class UpsampleEncoder(nn.Module):
    """Blocks of stride-2 convolution, batch norm and ReLU; features are the flattened last map.

    Args:
        image_shape: (C, H, W).
        channels: width of each block; each halves the image.

    Raises:
        ValueError: an image too small for so many blocks.
    """

    def __init__(self, image_shape: Sequence[int], channels: Sequence[int] = (16, 32, 64, 128, 256)):
        super().__init__()
        check_channels(channels)
        sizes = halvings(image_shape[1:], len(channels))
        widths = [image_shape[0], *channels]
        self.map_shape = (channels[-1], *sizes[-1])
        self.num_features = math.prod(self.map_shape)
        self.layers = nn.Sequential(
            *(_relu_block(*pair, stride=2) for pair in itertools.pairwise(widths)), nn.Flatten()
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        return self.layers(x)


class UpsampleDecoder(nn.Module):
    """Fully connected layer, then bilinear upsampling and convolution, block by block, to exactly the image's size.

    `channels` is the encoder's list, widths from the image to the code.
    """

    def __init__(self, latent_dim: int, image_shape: Sequence[int], channels: Sequence[int] = (16, 32, 64, 128, 256)):
        super().__init__()
        check_channels(channels)
        sizes = halvings(image_shape[1:], len(channels))[::-1]
        code_shape = (channels[-1], *sizes[0])
        widths = [*channels[::-1], channels[0]]
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, math.prod(code_shape)),
            nn.ReLU(),
            nn.Unflatten(1, code_shape),
            *(_upsampling_block(widths[i], widths[i + 1], sizes[i + 1]) for i in range(len(channels))),
            nn.Conv2d(channels[0], image_shape[0], kernel_size=3, padding=1),
        )

    def forward(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        return self.layers(z)


def _upsampling_block(num_inputs: int, num_outputs: int, target_size: tuple[int, int]) -> nn.Sequential:
    upsampling = nn.Upsample(size=target_size, mode="bilinear", align_corners=False)
    return nn.Sequential(upsampling, *_relu_block(num_inputs, num_outputs, stride=1))


def _relu_block(num_inputs: int, num_outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_inputs, num_outputs, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(num_outputs),
        nn.ReLU(),
    )
