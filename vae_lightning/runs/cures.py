"""What is often wrong with images that were made outside of a data set, put right."""

from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

_SIZES = (1.0, 0.7, 1.5)  # a digit of MNIST takes up 0.7 of its frame
_EVEN = 0.1  # so far off may a pixel of an even ground be


@dataclass(frozen=True)
class Cure:
    """Some of four steps, in this order.

    Attributes:
        invert: bright is made dark.
        stretch: the values of each image are stretched to all from 0 to 1.
        size: what the frame shows is moved to its middle, and made so many times its size; None leaves it where it is.
    """

    invert: bool
    stretch: bool
    size: float | None

    def __call__(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """The images with the cure."""
        cured = 1 - images if self.invert else images
        cured = _stretched(cured) if self.stretch else cured
        return cured if self.size is None else _centred(cured, self.size)

    @property
    def steps(self) -> float:
        """How many there are; to scale what is moved is half of one."""
        return self.invert + self.stretch + (self.size is not None) + (self.size not in (None, 1.0)) / 2


CURES = tuple(Cure(*steps) for steps in product((True, False), (True, False), (None, *_SIZES)) if any(steps))

INVERTED, CENTRED = Cure(True, False, None), Cure(False, False, 1.0)


def have_ground(images: Float[Tensor, "N C H W"]) -> bool:
    """Whether something lies on an even ground in most of them, so that it can be moved and scaled."""
    border, ground = _border(images)
    even = ((border - ground[..., 0]).abs() < _EVEN).float().mean((1, 2))
    return bool((even > 0.5).float().mean() > 0.5)


def _stretched(images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp_min(1e-6), images)


def _border(images: Float[Tensor, "N C H W"]) -> tuple[Float[Tensor, "N C B"], Float[Tensor, "N C 1 1"]]:
    """The pixels at the border, and their median."""
    border = torch.cat([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], -1)
    return border, border.median(-1).values[..., None, None]


def _centred(images: Float[Tensor, "N C H W"], size: float) -> Float[Tensor, "N C H W"]:
    """What stands out from the ground, its centre of mass in the middle; the ground is what most of the border has."""
    _, ground = _border(images)
    standing_out = images - ground
    weight = standing_out.abs().sum(1)
    total = weight.sum((1, 2)).clamp_min(1e-6)
    places = [(2 * torch.arange(length) + 1) / length - 1 for length in images.shape[2:]]
    down, right = ((weight.sum(2 - axis) * place).sum(1) / total for axis, place in enumerate(places))
    ways = torch.zeros(len(images), 2, 3)
    ways[:, 0, 0] = ways[:, 1, 1] = 1 / size
    ways[:, 0, 2], ways[:, 1, 2] = right, down
    grid = affine_grid(ways, list(images.shape), align_corners=False)
    # Not interpolated: what is smoother a model likes better, noise too.
    return (grid_sample(standing_out, grid, mode="nearest", align_corners=False) + ground).clamp(0, 1)
