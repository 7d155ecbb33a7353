"""Bottleneck residual blocks, and an image's maps at several sizes that are made with them: for `TopDown`."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from vae_lightning.errors import require_at_least, require_at_most
from vae_lightning.models.networks.sizes import halvings
from vae_lightning.models.parts import Shape

_MOST_BLOCKS = 100  # a stranger's config must not ask for more than can be made


class Bottleneck(nn.Sequential):
    """Convolutions of 1, 3, 3 and 1 pixels, each after a SiLU, without normalization (arXiv 2011.10650, figure 3).

    Args:
        num_inputs: channels.
        hidden: channels between the four.
        num_outputs: channels.
        last_scale: the weights of the last convolution begin so many times as large as they would, and its bias as 0;
            0 begins with zeros. However weights are initialized, it stays so (`scale_start`).
    """

    def __init__(self, num_inputs: int, hidden: int, num_outputs: int, last_scale: float = 1.0):
        super().__init__(
            nn.SiLU(),
            nn.Conv2d(num_inputs, hidden, kernel_size=1),
            nn.SiLU(),
            nn.Conv2d(hidden, hidden, kernel_size=3, padding=1),
            nn.SiLU(),
            nn.Conv2d(hidden, hidden, kernel_size=3, padding=1),
            nn.SiLU(),
            ScaledConvolution(hidden, num_outputs, last_scale),
        )


class ScaledConvolution(nn.Conv2d):
    """Of one pixel: its weights begin so many times as large as they would, its bias as 0."""

    def __init__(self, num_inputs: int, num_outputs: int, start_scale: float):
        super().__init__(num_inputs, num_outputs, kernel_size=1)
        self.start_scale = start_scale
        self.scale_start()

    @torch.no_grad()
    def scale_start(self) -> None:
        """To be called when its weights have been initialized otherwise."""
        self.weight.mul_(self.start_scale)
        if self.bias is not None:
            self.bias.zero_()


class Residual(nn.Module):
    """v + bottleneck(v)."""

    def __init__(self, channels: int, last_scale: float = 1.0):
        super().__init__()
        self.layers = Bottleneck(channels, channels, channels, last_scale)

    def forward(self, v: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        return v + self.layers(v)


class PyramidEncoder(nn.Module):
    """An image's maps at several sizes: at each size residual blocks, then the mean of each 2 x 2 pixels.

    Args:
        image_shape: (C, H, W).
        num_scales: how many maps; each has half the size of the one before, rounded up, the first half the image's.
        channels: of all maps.
        num_blocks: residual blocks at each size that is halved.
        starts_halved: whether the first convolution halves the image itself, and no block sees it at its full size,
            which is most of the work.

    Attributes:
        map_shapes: (C', H', W') of the maps, the smallest first.

    Raises:
        ValueError: an image too small for so many halvings, or a number too small or too large.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_scales: int,
        channels: int = 32,
        num_blocks: int = 3,
        starts_halved: bool = False,
    ):
        require_at_least("channels", channels, 1)
        require_at_least("num_blocks", num_blocks, 0)
        require_at_most("num_blocks", num_blocks, _MOST_BLOCKS)
        super().__init__()
        sizes = halvings(image_shape[1:], num_scales)[1:]
        self.map_shapes = [(channels, *size) for size in sizes[::-1]]
        self.starts_halved = starts_halved
        stride = 2 if starts_halved else 1
        self.first = nn.Conv2d(image_shape[0], channels, kernel_size=3, stride=stride, padding=1)
        num_residual = num_scales * num_blocks
        self.scales = nn.ModuleList(
            nn.Sequential(*(Residual(channels, num_residual**-0.5) for _ in range(num_blocks)))
            for _ in range(num_scales)
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B C2 H2 W2"]]:
        """The maps, the smallest first."""
        features, maps = self.first(x), []
        for scale, blocks in enumerate(self.scales):
            if self.starts_halved and scale == 0:
                features = blocks(features)
            elif self.starts_halved:
                features = blocks(_halved(features))
            else:
                features = _halved(blocks(features))
            maps.append(features)
        return maps[::-1]


def _halved(v: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H2 W2"]:
    return avg_pool2d(v, 2, ceil_mode=True)


class LatentSum(nn.Module):
    """Images from maps of latents alone: all brought to the image's size and summed, then two convolutions.

    Each group has its own way to the image, so that none is left unused (arXiv 2412.01373).

    Args:
        map_shapes: (C', H', W') of the latents of each group, in the order in which they lie side by side.
        image_shape: (C, H, W) of what is put out.
        channels: between the two convolutions.
    """

    def __init__(self, map_shapes: Sequence[Shape], image_shape: Sequence[int], channels: int):
        super().__init__()
        self._map_shapes = [tuple(shape) for shape in map_shapes]
        self._widths = [torch.Size(shape).numel() for shape in self._map_shapes]
        self._size = tuple(image_shape[1:])
        self.layers = nn.Sequential(
            nn.Conv2d(self._map_shapes[0][0], channels, kernel_size=1),
            nn.SiLU(),
            nn.Conv2d(channels, image_shape[0], kernel_size=3, padding=1),
        )

    def forward(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        by_size: dict[Shape, Tensor] = {}
        for part, shape in zip(z.split(self._widths, 1), self._map_shapes, strict=True):
            latents = part.unflatten(1, shape)  # those of one size are summed before they are brought to another
            by_size[shape] = by_size[shape] + latents if shape in by_size else latents
        enlarged = [interpolate(each, self._size, mode="bilinear", align_corners=False) for each in by_size.values()]
        return self.layers(torch.stack(enlarged).sum(0) * len(self._map_shapes) ** -0.5)
