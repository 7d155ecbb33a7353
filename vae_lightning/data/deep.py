"""Pictures of more than 8 bits a channel, of which Pillow by itself keeps 8 where they have colours."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image, ImageOps

from vae_lightning.data.stated import is_negative, meant_type, no_data
from vae_lightning.data.values import WITHOUT_DATA, Found, Scale, found_in, full_scale, with_data

_BAND = 2**20  # pixels looked at a time
_COLOURS = re.compile(r"(RGBX?|RGBA);16([LBN])")
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_GREY_ALPHA = "LA;16B"  # of a PNG: its four bytes are read as if they were four channels
_FOUR_BYTES = "RGBA"


def is_grey(mode: str) -> bool:
    """Whether a picture of this mode holds whole numbers of more than 8 bits, or floats."""
    return mode.startswith(("I", "F"))


@dataclass(frozen=True)
class DeepPicture:
    """A picture with all the bits that it has.

    Attributes:
        first: the numbers, of grey; else the higher bytes, or of grey with transparency higher and lower bytes of both.
        second: of colours the lower bytes.
        dtype: what the numbers of grey are, where Pillow takes them for others.
        is_negative: whether 0 is white.
        no_data: what stands where there is no pixel.
    """

    first: Image.Image
    second: Image.Image | None = None
    has_alpha: bool = False
    dtype: np.dtype | None = None
    is_negative: bool = False
    no_data: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.first.size

    def bands(self) -> Iterator[tuple[tuple[int, int, int, int], Shaped[np.ndarray, "h w S"]]]:
        """The numbers of some rows at a time, and where those lie."""
        width, height = self.size
        rows = max(1, _BAND // max(width, 1))
        for top in range(0, height, rows):
            box = (0, top, width, min(top + rows, height))
            yield box, self._values(box)

    def found(self, scale: Scale | None, name: str) -> Found:
        """What numbers it holds, transparency left out; `scale` and `name` as in `found_in`."""
        total, lacking = Found(), False
        for _, values in self.bands():
            colours = values[..., :-1] if self.has_alpha else values
            known = with_data(colours, self.no_data)
            lacking |= known is not colours
            total += found_in(known, "floats" if values.dtype.kind == "f" else "integers", scale, name)
        changes: dict[str, Any] = {
            "num_files": 1,
            "num_integers": min(total.num_integers, 1),
            "num_floats": min(total.num_floats, 1),
        }
        changes |= {"num_not_finite": min(total.num_not_finite, 1), "channels": ((0, 1, name),)}
        # "I" carries 16-bit grey, too.
        are_16 = total.num_integers and self.dtype is None and total.low >= 0 and total.high < 2**16
        changes |= {"bits": 16 if are_16 else total.bits, "notes": ((WITHOUT_DATA, 1, name),) if lacking else ()}
        return Found(**vars(total) | changes)

    def levels(self, scale: Scale | None) -> Image.Image:
        """The picture in 8 bits by this scale, or by the customary one of its type: L, LA, RGB or RGBA.

        Raises:
            ValueError: some numbers are not finite.
        """
        scale = scale or full_scale(self._values((0, 0, 1, 1)).dtype, self._largest())
        mode = "L" if self.second is None and not self.has_alpha else "LA" if self.second is None else self.second.mode
        result = Image.new(mode, self.size)
        for box, values in self.bands():
            if values.dtype.kind == "f" and not bool(np.isfinite(values).all()):
                raise ValueError("has values that are not finite")
            levels = scale.levels(values)
            if self.has_alpha:
                levels[..., -1] = values[..., -1] >> 8
            result.paste(Image.fromarray(levels[..., 0] if mode == "L" else levels), box[:2])
        return result

    def _largest(self) -> float:
        return max(float(np.nan_to_num(values).max()) for _, values in self.bands())

    def _values(self, box: tuple[int, int, int, int]) -> Shaped[np.ndarray, "h w S"]:
        first = np.asarray(self.first.crop(box))
        if self.second is not None:
            return first.astype(np.uint16) * np.uint16(256) + np.asarray(self.second.crop(box))
        if self.has_alpha:
            return first[..., 0::2].astype(np.uint16) * np.uint16(256) + first[..., 1::2]
        meant = first if self.dtype is None else first.view(self.dtype)
        return (np.iinfo(meant.dtype).max - meant if self.is_negative else meant)[..., None]


def grey_picture(image: Image.Image, upright: Image.Image) -> DeepPicture:
    """A picture of grey numbers, of which `upright` has the pixels and the other one what its file states."""
    return DeepPicture(upright, None, False, meant_type(image), is_negative(image), no_data(image))


def deep_picture(image: Any, again: Callable[[], Any]) -> DeepPicture | None:
    """The picture if it has more than 8 bits a channel, upright; None for any other, which is left as it was.

    Args:
        image: a picture opened by Pillow and not loaded.
        again: opens it another time.
    """
    if is_grey(image.mode) or meant_type(image) is not None:
        return grey_picture(image, _upright(image))
    raw_modes = {_raw_mode(tile) for tile in image.tile}
    if raw_modes == {_GREY_ALPHA}:
        return DeepPicture(_upright(_read_as(image, _FOUR_BYTES)), has_alpha=True)
    found = _COLOURS.fullmatch(raw_modes.pop()) if len(raw_modes) == 1 else None
    if found is None:
        return None
    lacking = no_data(image)
    first = _upright(image)  # before the file is opened again, whose place in it they share
    second = _upright(_read_as(again(), f"{found[1]};16{_OTHER_BYTE[found[2]]}"))
    return DeepPicture(first, second, has_alpha=image.mode == "RGBA", no_data=lacking)


def is_deep(image: Any) -> bool:
    """Whether a picture that Pillow has opened and not loaded yet has more than 8 bits a channel."""
    raw_modes = {_raw_mode(tile) for tile in image.tile}
    is_coloured = len(raw_modes) == 1 and (raw_modes == {_GREY_ALPHA} or _COLOURS.fullmatch(min(raw_modes)) is not None)
    return is_grey(image.mode) or is_coloured or meant_type(image) is not None


def _raw_mode(tile: Any) -> str:
    arguments = tile.args
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _read_as(image: Any, raw_mode: str) -> Image.Image:
    """The picture, which will be read as if its file were of another raw mode of as many bytes."""
    image.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in image.tile
    ]
    return image


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image
