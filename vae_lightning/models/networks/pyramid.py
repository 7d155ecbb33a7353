"""Bottleneck residual blocks, and what `TopDown` makes of them: an image's maps at several sizes, and the way back."""

import functools
import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from vae_lightning.errors import require_at_least, require_at_most
from vae_lightning.models.networks.sizes import halvings
from vae_lightning.models.parts import Shape

_MOST_BLOCKS = 100  # a stranger's config must not ask for more than can be made
_WIDEST = 1024  # channels, likewise


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

    def __init__(self, map_shapes: Sequence[Shape], image_shape: Sequence[int], channels: int = 32):
        super().__init__()
        self._maps = _LatentMaps(map_shapes)
        require_at_least("channels", channels, 1)
        require_at_most("channels", channels, _WIDEST)
        self._size = tuple(image_shape[1:])
        self.layers = nn.Sequential(
            nn.Conv2d(self._maps.shapes[0][0], channels, kernel_size=1),
            nn.SiLU(),
            nn.Conv2d(channels, image_shape[0], kernel_size=3, padding=1),
        )

    def forward(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        summed = [functools.reduce(torch.add, maps) for maps in self._maps.by_size(z)]  # before they are enlarged
        enlarged = [_enlarged(each, self._size) for each in summed]
        return self.layers(torch.stack(enlarged).sum(0) * len(self._maps.shapes) ** -0.5)


class LatentPyramid(nn.Module):
    """Images from maps of latents alone: from the smallest size on, with residual blocks at each size.

    Features of all groups of a size are added to what was enlarged from the sizes above; so each group has its own way
    to the image, through fewer layers the larger it is.

    Args:
        map_shapes: (C', H', W') of the latents of each group, in the order in which they lie side by side.
        image_shape: (C, H, W) of what is put out.
        channels: of all features.
        num_blocks: residual blocks at each size of latents.
    """

    def __init__(
        self, map_shapes: Sequence[Shape], image_shape: Sequence[int], channels: int = 32, num_blocks: int = 1
    ):
        super().__init__()
        self._maps = _LatentMaps(map_shapes)
        require_at_least("channels", channels, 1)
        require_at_most("channels", channels, _WIDEST)
        require_at_least("num_blocks", num_blocks, 0)
        require_at_most("num_blocks", num_blocks, _MOST_BLOCKS)
        self._image_size = tuple(image_shape[1:])
        sizes = self._maps.num_channels.items()
        self.of_latents = nn.ModuleList(nn.Conv2d(width, channels, kernel_size=1) for _, width in sizes)
        last_scale = max(1, len(sizes) * num_blocks) ** -0.5
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Residual(channels, last_scale) for _ in range(num_blocks))) for _ in sizes
        )
        self.last = nn.Sequential(nn.SiLU(), nn.Conv2d(channels, image_shape[0], kernel_size=3, padding=1))

    def forward(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        features: Tensor | None = None
        for maps, of_latents, blocks in zip(self._maps.by_size(z), self.of_latents, self.blocks, strict=True):
            told = of_latents(torch.cat(maps, 1))
            if features is not None:
                told = told + _enlarged(features, tuple(told.shape[2:]))
            features = blocks(told)
        assert features is not None
        return self.last(_enlarged(features, self._image_size))


class _LatentMaps:
    """How latents side by side are maps of several sizes.

    Attributes:
        shapes: (C, H, W) of each group.
        num_channels: of all groups of a size (H, W), the sizes in the groups' order.
    """

    def __init__(self, map_shapes: Sequence[Shape]):
        self.shapes = [tuple(shape) for shape in map_shapes]
        self.num_channels: dict[Shape, int] = {}
        for num_channels, *size in self.shapes:
            self.num_channels[tuple(size)] = self.num_channels.get(tuple(size), 0) + num_channels

    def by_size(self, z: Float[Tensor, "N D"]) -> Iterable[list[Float[Tensor, "N C H W"]]]:
        """The maps of each size."""
        found: dict[Shape, list[Tensor]] = {size: [] for size in self.num_channels}
        for part, shape in zip(z.split([math.prod(shape) for shape in self.shapes], 1), self.shapes, strict=True):
            found[shape[1:]].append(part.unflatten(1, shape))
        return found.values()


def _enlarged(v: Float[Tensor, "N C H W"], size: Shape) -> Float[Tensor, "N C H2 W2"]:
    return interpolate(v, size, mode="bilinear", align_corners=False)
