"""What is done at random to training images besides flips: `data.augmentations`.

They are functions of our own, not torchvision's transforms, which draw on the host, once a batch. These draw for each
image, from the device's generator, and never wait for the device: a step stays one CUDA graph, and a run repeats, and
is gone on with, bit by bit.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

Given = str | dict[str, Any]  # an augmentation by its name, or with its settings: {name: shift, pixels: 3}

_LUMA = (0.299, 0.587, 0.114)  # of RGB, as in BT.601


class Augmentation(ABC):
    """A random change of training images, drawn anew for each one. 256 levels stay 256 levels.

    Attributes:
        name: what users call it.
        keeps_levels: whether no level comes up that was not there: binary images stay binary.
    """

    name: ClassVar[str]
    keeps_levels: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, images: UInt8[Tensor, "B C H W"]) -> UInt8[Tensor, "B C H W"]:
        """The images changed, on their device, channels last in memory."""

    @abstractmethod
    def check(self, channels: int, frame: tuple[int, int]) -> None:
        """Raises ValueError if it can't be for images of so many channels, of this height and width."""


@final
@dataclass(frozen=True)
class Shift(Augmentation):
    """Moved by up to so many whole pixels, up or down and to the left or right; the border's pixels are repeated.

    Attributes:
        pixels: at most.

    Raises:
        ValueError: fewer than 1.
    """

    pixels: int = 2
    name = "shift"
    keeps_levels = True

    def __post_init__(self) -> None:
        _require(self, "pixels", self.pixels >= 1, "at least 1")

    def __call__(self, images: UInt8[Tensor, "B C H W"]) -> UInt8[Tensor, "B C H W"]:
        (count, _, *sides), place = images.shape, images.device
        by = torch.randint(-self.pixels, self.pixels + 1, (2, count, 1), device=place)
        rows, columns = (
            (torch.arange(side, device=place) - moved).clamp(0, side - 1)
            for side, moved in zip(sides, by.unbind(), strict=True)
        )
        each = torch.arange(count, device=place)[:, None, None]
        return images.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    def check(self, channels: int, frame: tuple[int, int]) -> None:
        _require(self, "pixels", self.pixels < min(frame), f"less than {min(frame)}, as high or wide as an image is")


@final
@dataclass(frozen=True)
class Crop(Augmentation):
    """A part of the image, anywhere in it and of its proportions, enlarged to the whole.

    Attributes:
        smallest: the least share of the image's area; the share is drawn evenly from there to 1.

    Raises:
        ValueError: a share that is not above 0 and below 1.
    """

    smallest: float = 0.7
    name = "crop"

    def __post_init__(self) -> None:
        _require(self, "smallest", 0 < self.smallest < 1, "above 0 and below 1")

    def __call__(self, images: UInt8[Tensor, "B C H W"]) -> UInt8[Tensor, "B C H W"]:
        drawn = torch.rand(3, len(images), 1, 1, device=images.device)
        side = (self.smallest + (1 - self.smallest) * drawn[0]).sqrt()
        # From -1 to 1, between the outer edges of the border's pixels. Not affine_grid, a product of matrices, which a
        # step in mixed precision would round.
        y, x = (_middles(size, images.device) for size in images.shape[2:])
        down, right = ((2 * each - 1) * (1 - side) for each in drawn[1:])
        grid = torch.stack(torch.broadcast_tensors(side * x + right, side * y[:, None] + down), dim=3)
        return _levels(grid_sample(images.float(), grid, padding_mode="border", align_corners=False))

    def check(self, channels: int, frame: tuple[int, int]) -> None:
        return


@final
@dataclass(frozen=True)
class Colour(Augmentation):
    """Lighter or darker, of more or less contrast, and RGB of more or less saturated and of turned colours.

    Attributes:
        brightness: all levels times a factor, drawn evenly from 1 - brightness to 1 + brightness.
        contrast: the distance to the image's mean grey times such a factor.
        saturation: the distance to the pixel's grey times such a factor; None is 0.2 for RGB, and none for others.
        hue: colours are turned about the grey axis of RGB by up to so many turns; None is none.

    Raises:
        ValueError: a number outside of 0 to 1, of hue outside of 0 to 0.5.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float | None = None
    hue: float | None = None
    name = "colour"

    def __post_init__(self) -> None:
        for field, most in (("brightness", 1), ("contrast", 1), ("saturation", 1), ("hue", 0.5)):
            value = getattr(self, field)
            _require(self, field, value is None or 0 <= value <= most, f"from 0 to {most}")

    def __call__(self, images: UInt8[Tensor, "B C H W"]) -> UInt8[Tensor, "B C H W"]:
        drawn = 2 * torch.rand(4, len(images), 1, 1, 1, device=images.device) - 1
        levels = images.float() * (1 + self.brightness * drawn[0])
        levels = _away_from(_grey(levels).mean((1, 2, 3), keepdim=True), levels, 1 + self.contrast * drawn[1])
        if images.shape[1] == len(_LUMA):
            saturation = 0.2 if self.saturation is None else self.saturation
            levels = _away_from(_grey(levels), levels, 1 + saturation * drawn[2])
            if self.hue:
                levels = _turned(levels, 2 * math.pi * self.hue * drawn[3])
        return _levels(levels)

    def check(self, channels: int, frame: tuple[int, int]) -> None:
        for field in ("saturation", "hue") if channels != len(_LUMA) else ():
            value = getattr(self, field)
            _require(self, field, not value, f"left out, for it is of RGB, and data.channels={channels}")


ALL: dict[str, type[Augmentation]] = {kind.name: kind for kind in (Shift, Crop, Colour)}


def augmentations_of(
    given: Sequence[Given], channels: int, frame: tuple[int, int], *, binary: bool = False
) -> tuple[Augmentation, ...]:
    """The augmentations that a list names, in its order.

    Args:
        given: a name each, or a name with settings.
        channels, frame: of the images, whose height and width are the frame's.
        binary: whether all pixels are 0 or 255, and have to stay so.

    Raises:
        ValueError: there is none of that name, it has no such setting or value, or is not for such images.
    """
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise ValueError(f"augmentations must be a list, as [shift,{{name:crop,smallest:0.8}}], got {given}")
    found = tuple(map(_one, given))
    for each in found:
        each.check(channels, frame)
        if binary and not each.keeps_levels:
            raise ValueError(f"augmentations: {each.name} makes binary pixels grey; choose data.binarize=dynamic")
    return found


def _one(given: Any) -> Augmentation:
    settings = {"name": given} if isinstance(given, str) else dict(given) if isinstance(given, Mapping) else {}
    name = settings.pop("name", None)
    kind = ALL.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"augmentations must be names of {', '.join(ALL)}, or {{name:shift,pixels:3}}, got {given}")
    known = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    for setting, value in settings.items():
        if setting not in known:
            raise ValueError(f"augmentations: {name} has no setting {setting}; choose from {', '.join(known)}")
        wanted = _kind_against(value, known[setting])
        if wanted:
            raise ValueError(f"augmentations: {setting} of {name} must be {wanted}, got {value}")
    return kind(**settings)


def _kind_against(value: Any, default: Any) -> str | None:
    """What kind of value is wanted in place of this one, of a setting with that default; None if it is of the kind."""
    if isinstance(default, int):
        return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return None if is_number or (value is None and default is None) else "a number"


def _require(augmentation: Augmentation, field: str, holds: bool, wanted: str) -> None:
    if not holds:
        got = getattr(augmentation, field)
        raise ValueError(f"augmentations: {field} of {augmentation.name} must be {wanted}, got {got}")


def _middles(size: int, place: torch.device) -> Float[Tensor, " size"]:
    """Of pixels in a row that goes from -1 to 1."""
    return (2 * torch.arange(size, device=place) + 1) / size - 1


def _away_from(
    middle: Float[Tensor, "B 1 _ _"], levels: Float[Tensor, "B C H W"], factor: Float[Tensor, "B 1 1 1"]
) -> Float[Tensor, "B C H W"]:
    return middle + factor * (levels - middle)


def _grey(levels: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 H W"]:
    if levels.shape[1] != len(_LUMA):
        return levels.mean(1, keepdim=True)
    red, green, blue = levels.split(1, dim=1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _turned(levels: Float[Tensor, "B 3 H W"], angle: Float[Tensor, "B 1 1 1"]) -> Float[Tensor, "B 3 H W"]:
    """Rotated about the axis of greys, by Rodrigues' formula; not as matrices, which mixed precision would round."""
    across = (levels.roll(1, 1) - levels.roll(-1, 1)) / math.sqrt(3)
    return _away_from(levels.mean(1, keepdim=True), levels, angle.cos()) + angle.sin() * across


def _levels(values: Float[Tensor, "B C H W"]) -> UInt8[Tensor, "B C H W"]:
    return values.round().clamp(0, 255).to(torch.uint8).contiguous(memory_format=torch.channels_last)
