"""One picture file of any size and mode, as pixels of the wanted size."""

import os
import re
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from os import PathLike

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps

from vae_lightning.data.fitting import Fit, ImageSize, check_tile, fitted, frame_of, tile_boxes
from vae_lightning.data.memory import MemoryBudget, own_budget

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
MAX_PIXELS = 128_000_000  # more than cameras take, and half a gigabyte of RGB

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")  # others reach programs besides Pillow: EPS is run by Ghostscript
_BYTES_A_PIXEL = 12  # of RAM while a picture is brought into its final mode, at most
_BYTES_A_PROGRESSIVE_PIXEL = 6  # more, of a progressive JPEG's full size, however small it is decoded
_BAND = 2**20  # pixels converted at a time
_MOST_BYTES = 10**9  # of a file
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations that a camera held upright writes
_opening = threading.Lock()


def decode_image(
    path: str | PathLike[str] | Image.Image,
    image_size: ImageSize,
    channels: int,
    max_pixels: int = MAX_PIXELS,
    budget: MemoryBudget | None = None,
    fit: Fit = "crop",
) -> UInt8[np.ndarray, "H W C"]:
    """The picture upright and fitted into the frame: by default resized to cover it, with the middle kept.

    Transparency is laid on white, 16-bit grey scaled to 8, and of an animation the first frame is taken.

    Args:
        path: a regular file of one of the formats that EXTENSIONS name, whatever its own name says; or a picture that
            Pillow has opened, which stays as it is.
        image_size: height and width of the result, one number for both or [height, width].
        channels: 1 or 3.
        max_pixels: a picture that says it has more is not decoded, and a ValueError.
        budget: where the memory for a large picture is taken from; this process's own if there is none.
        fit: see `fitting.fitted`.

    Raises what Pillow raises for a file it cannot read, and ValueError for a picture smaller than a tile.
    """
    frame = frame_of(image_size)
    # Lets JPEG be decoded at 1/2, 1/4 or 1/8 of its size, never below twice the wanted one, whichever way it is turned.
    draft = None if fit == "tile" else (2 * max(frame), 2 * max(frame))
    with _upright(path, max_pixels, budget, draft) as upright:
        image = fitted(_in_mode("L" if channels == 1 else "RGB", upright), frame, fit)
    return np.asarray(image).reshape(*frame, channels)


def decode_tiles(
    path: str | PathLike[str], frame: tuple[int, int], channels: int, max_pixels: int, budget: MemoryBudget | None
) -> UInt8[np.ndarray, "N H W C"]:
    """All whole tiles of a picture, upright and at its own resolution, row by row; else as `decode_image`."""
    with _upright(path, max_pixels, budget) as upright:
        size = upright.height, upright.width
        check_tile(size, frame)
        picture = _in_mode("L" if channels == 1 else "RGB", upright)
        tiles = [np.asarray(picture.crop(box)).reshape(*frame, channels) for box in tile_boxes(size, frame)]
    return np.stack(tiles)


def stated_size(picture: str | PathLike[str] | Image.Image, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height that a picture says it has once it is upright, without decoding it; raises as `decode_image`."""
    if isinstance(picture, Image.Image):
        return _upright_size(picture)
    with _open_regular(picture) as file, _identified(file, max_pixels) as image:
        return _upright_size(image)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    # Not by the format's own method, for that of PNG decodes the picture to look behind the pixels.
    turned = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1) in _ON_ITS_SIDE
    return (image.height, image.width) if turned else image.size


def decode_grey(path: str | PathLike[str] | Image.Image, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "H W"]:
    """The picture upright and in grey, whole and at its own size; else as `decode_image`."""
    with _upright(path, max_pixels, None) as upright:
        return np.asarray(_in_mode("L", upright))


@contextmanager
def _upright(
    path: str | PathLike[str] | Image.Image,
    max_pixels: int,
    budget: MemoryBudget | None,
    draft: tuple[int, int] | None = None,
) -> Iterator[Image.Image]:
    if isinstance(path, Image.Image):
        yield _opaque(ImageOps.exif_transpose(path))
        return
    with _open_regular(path) as file, _identified(file, max_pixels) as image:
        stated = image.width * image.height
        if draft is not None:
            image.draft(None, draft)
        needed = _BYTES_A_PIXEL * image.width * image.height
        needed += _BYTES_A_PROGRESSIVE_PIXEL * stated if "progressive" in image.info else 0
        with (budget or own_budget()).lent(needed):
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            yield _opaque(image)


def _open_regular(path: str | PathLike[str]) -> BufferedReader:
    # As files.open_regular does it, which takes a tenth of the time that decoding a small picture takes.
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    facts = os.fstat(file.fileno())
    if stat.S_ISREG(facts.st_mode) and facts.st_size <= _MOST_BYTES:
        return file
    file.close()
    if not stat.S_ISREG(facts.st_mode):
        raise OSError("no regular file")  # a pipe would be waited for without end
    raise ValueError(f"a file of {facts.st_size} bytes; of more than {_MOST_BYTES} none is read")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _identified(file: BufferedReader, max_pixels: int) -> Image.Image:
    """The picture before it is decoded; its size is checked as Pillow does it, but against this limit."""
    with _opening, warnings.catch_warnings():  # both settings are of the whole process
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            image = Image.open(file, formats=_FORMATS)
        except Image.DecompressionBombError as error:  # of twice as many; some formats allocate when they are opened
            stated = re.search(r"\d+", str(error))
            raise _too_large(stated[0] if stated else "too many", max_pixels) from error
        finally:
            Image.MAX_IMAGE_PIXELS = before
    if image.width * image.height > max_pixels:
        raise _too_large(f"{image.width} x {image.height}", max_pixels)
    return image


def _too_large(stated: str, max_pixels: int) -> ValueError:
    return ValueError(f"{stated} pixels are more than data.max_pixels={max_pixels}")


def _opaque(image: Image.Image) -> Image.Image:
    """In mode 1, L or RGB; in bands, for several whole copies of a large picture would fill the memory."""
    if image.mode in ("1", "L", "RGB") and not image.has_transparency_data:
        return image
    rows = max(1, _BAND // max(image.width, 1))
    bands = [(0, top, image.width, min(top + rows, image.height)) for top in range(0, image.height, rows)]
    if not image.mode.startswith(("I", "F")):
        return _in_bands("RGB", image, bands, _without_alpha)
    largest = max(_numbers(np.asarray(image.crop(band))).max() for band in bands)
    return _in_bands("L", image, bands, lambda band: Image.fromarray(_to_8_bit(np.asarray(band), image.mode, largest)))


def _in_bands(
    mode: str,
    image: Image.Image,
    bands: list[tuple[int, int, int, int]],
    convert: Callable[[Image.Image], Image.Image],
) -> Image.Image:
    result = Image.new(mode, image.size)
    for band in bands:
        result.paste(convert(image.crop(band)), band[:2])
    return result


def _without_alpha(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return _in_mode("RGB", image)
    picture = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _in_mode(mode: str, image: Image.Image) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def _to_8_bit(values: np.ndarray, mode: str, largest: float | None = None) -> UInt8[np.ndarray, "H W"]:
    """Numbers of any range as grey levels; Pillow's own conversion would clip them at 255."""
    positive = _numbers(values)
    scale = _full_scale(positive.max() if largest is None else largest, mode)
    return (positive * (255 / scale)).clip(max=255).round().astype(np.uint8)


def _numbers(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64)).clip(min=0)


def _full_scale(largest: float, mode: str) -> float:
    # "I" carries 16-bit grey too. Floats don't say what white is: 1, 255 and 65535 are in use.
    customary = (1.0, 255.0, 65535.0) if mode == "F" else (65535.0,)
    return next((scale for scale in customary if largest <= scale), largest)
