"""One picture file of any size and mode, as pixels of the wanted size."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from io import BufferedReader
from os import PathLike
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from vae_lightning.data.array_files import check_channels, is_npy, is_tiff, npy_picture, tiff_picture
from vae_lightning.data.deep import DeepPicture, deep_picture, grey_picture, is_grey
from vae_lightning.data.fitting import Fit, ImageSize, check_tile, fitted, frame_of, tile_boxes
from vae_lightning.data.memory import UNIT, MemoryBudget, own_budget
from vae_lightning.data.opening import (
    ALL_FORMATS,
    FORMATS,
    MAX_PIXELS,
    again,
    identified,
    open_regular,
    opened,
    plain_jpeg,
)
from vae_lightning.data.stated import meant_type, pillow_misreads, what_is_lost
from vae_lightning.data.values import Reading, as_levels

_BYTES_A_PIXEL = 12  # of RAM while a picture is brought into its final mode, at most
_BYTES_A_PROGRESSIVE_PIXEL = 6  # more, of a progressive JPEG's full size, however small it is decoded
_SMALL = UNIT // (_BYTES_A_PIXEL + _BYTES_A_PROGRESSIVE_PIXEL)  # pixels, for which no memory need be lent
_BAND = 2**20  # pixels converted at a time
_PAGED = (".gif", ".tif", ".tiff", ".webp", ".avif")
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations that a camera held upright writes
_NUM_CHANNELS = 277  # the tag of a TIFF


def decode_image(
    path: str | PathLike[str] | Image.Image,
    image_size: ImageSize,
    channels: int,
    max_pixels: int = MAX_PIXELS,
    budget: MemoryBudget | None = None,
    fit: Fit = "crop",
    reading: Reading | None = None,
) -> UInt8[np.ndarray, "H W C"]:
    """The picture upright and fitted into the frame: by default resized to cover it, with the middle kept.

    Transparency is laid on white, unless there are 4 channels; of an animation or of several pages the first one is
    taken. What is deeper than 8 bits is scaled to 8, by the dataset's one scale where it is read by one.

    Args:
        path: a regular file of one of the formats that EXTENSIONS of `picture_files` name, with `reading`
            ALL_EXTENSIONS, whatever its own name says; or a picture that Pillow has opened, which stays as it is.
        image_size: height and width of the result, one number for both or [height, width].
        channels: of the result.
        max_pixels: a picture that says it has more is not decoded, and a ValueError.
        budget: where the memory for a large picture is taken from; this process's own if there is none.
        fit: see `fitting.fitted`.
        reading: how numbers become levels; None is as an earlier version did it, each file by its own scale.

    Raises what Pillow raises for a file it cannot read, and ValueError for one of other channels, or smaller than a
    tile.
    """
    frame = frame_of(image_size)
    # Lets JPEG be decoded at 1/2, 1/4 or 1/8 of its size, never below twice the wanted one, whichever way it is turned.
    draft = None if fit == "tile" else (2 * max(frame), 2 * max(frame))
    with _source(path) as source:
        small = None if isinstance(source, Image.Image) else _small_jpeg(source, channels, max_pixels, draft, reading)
        if small is not None:
            return _levels_of(fitted(small, frame, fit), channels)
        with _pixels_of(source, channels, max_pixels, budget, draft, reading) as pixels:
            if isinstance(pixels, Image.Image):
                return _levels_of(fitted(pixels, frame, fit), channels)
            return array_image(pixels, frame, channels, fit)


def decode_tiles(
    path: str | PathLike[str],
    frame: tuple[int, int],
    channels: int,
    max_pixels: int,
    budget: MemoryBudget | None,
    reading: Reading | None = None,
) -> UInt8[np.ndarray, "N H W C"]:
    """All whole tiles of a picture, upright and at its own resolution, row by row; else as `decode_image`."""
    with open_regular(path) as file, _pixels_of(file, channels, max_pixels, budget, None, reading) as pixels:
        levels = np.asarray(pixels)
        levels = levels.reshape(*levels.shape[:2], -1)
        check_tile(levels.shape[:2], frame)
        levels = _in_channels(levels, channels)
        boxes = tile_boxes(levels.shape[:2], frame)
        return np.stack([levels[top:bottom, left:right] for left, top, right, bottom in boxes])


def _source(path: str | PathLike[str] | Image.Image) -> AbstractContextManager[BufferedReader | Image.Image]:
    return nullcontext(path) if isinstance(path, Image.Image) else open_regular(path)


def _levels_of(image: Image.Image, channels: int) -> UInt8[np.ndarray, "H W C"]:
    return np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, channels)


def _small_jpeg(
    file: BufferedReader, channels: int, max_pixels: int, draft: tuple[int, int] | None, reading: Reading | None
) -> Image.Image | None:
    """What `_pixels_of` has of a JPEG that needs none of its care, as most do, in less time; None for any other."""
    is_scaled = reading is not None and reading.scales_bytes
    image = plain_jpeg(file) if channels in (1, 3) and not is_scaled else None
    if image is None or image.mode not in ("L", "RGB") or image.width * image.height > min(max_pixels, _SMALL):
        return None
    if draft is not None and image.width >= 2 * draft[0] and image.height >= 2 * draft[1]:
        image.draft(None, draft)
    image.load()
    return _in_mode("L" if channels == 1 else "RGB", image)


@contextmanager
def _pixels_of(
    source: BufferedReader | Image.Image,
    channels: int,
    max_pixels: int,
    budget: MemoryBudget | None,
    draft: tuple[int, int] | None,
    reading: Reading | None,
) -> Iterator[Image.Image | UInt8[np.ndarray, "h w S"]]:
    """The picture upright and in its mode; as an array of levels where Pillow has no mode for it."""
    if reading is not None and not isinstance(source, Image.Image):
        with _numbers_in(source, channels, max_pixels, budget, reading) as numbers:
            if numbers is not None:
                yield as_levels(numbers, reading.scale)
                return
    with _upright(source, max_pixels, budget, draft, reading, with_alpha=channels == 4) as upright:
        if channels == 4:
            yield np.asarray(_in_mode("RGBA", upright))
            return
        if channels not in (1, 3):
            raise ValueError(f"a picture has 1, 3 or 4 channels, and data.channels={channels}")
        yield _in_mode("L" if channels == 1 else "RGB", upright)


def array_image(
    levels: UInt8[np.ndarray, "h w S"], image_size: ImageSize, channels: int, fit: Fit = "crop"
) -> UInt8[np.ndarray, "H W C"]:
    """An array of levels as `decode_image` would have it: fitted into the frame and brought to its channels.

    Raises:
        ValueError: its channels can't become these (see `check_channels`), or it is smaller than a tile.
    """
    frame = frame_of(image_size)
    levels = _in_channels(levels, channels)
    if levels.shape[:2] == frame:
        return np.ascontiguousarray(levels)
    bands = (Image.fromarray(np.ascontiguousarray(levels[..., band])) for band in range(channels))
    return np.stack([np.asarray(fitted(band, frame, fit)) for band in bands], axis=-1)


def _in_channels(levels: UInt8[np.ndarray, "h w S"], channels: int) -> UInt8[np.ndarray, "h w C"]:
    check_channels(levels.shape[2], channels)
    if levels.shape[2] == channels:
        return levels
    single = levels[..., 0] if levels.shape[2] == 1 else levels
    picture = _in_mode("RGB" if channels == 3 else "L", Image.fromarray(np.ascontiguousarray(single)))
    return np.asarray(picture).reshape(*levels.shape[:2], channels)


@contextmanager
def numbers_in(
    path: str | PathLike[str], channels: int, reading: Reading, max_pixels: int = MAX_PIXELS
) -> Iterator[np.ndarray | None]:
    """The numbers [H, W, S] of a file that is an array; None for a picture. Raises as `decode_image`."""
    with open_regular(path) as file, _numbers_in(file, channels, max_pixels, None, reading) as numbers:
        yield numbers


def stated_size(picture: str | PathLike[str] | Image.Image, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height that a picture says it has once it is upright, without decoding it; raises as `decode_image`."""
    if isinstance(picture, Image.Image):
        return _upright_size(picture)
    with opened(picture, max_pixels) as (_, image):
        return _upright_size(image)


def lost_of(path: str | PathLike[str], channels: int, max_pixels: int = MAX_PIXELS) -> str:
    """What is lost of a file when it is decoded, empty where nothing is; raises as `decode_image`."""
    with open_regular(path) as file:
        if is_npy(file) or (is_tiff(file) and not _pillow_reads(file, channels, max_pixels)):
            return ""
        file.seek(0)
        with identified(file, max_pixels, ALL_FORMATS) as image:
            return what_is_lost(file, image, channels)


def has_more_pages(path: Path, max_pixels: int = MAX_PIXELS) -> bool:
    """Whether a picture that can be read has pages or frames besides its first, by the formats made for them.

    Nothing is decoded. A JPEG of a phone may hold a smaller copy of itself, which is no page.
    """
    if path.suffix.lower() not in _PAGED:
        return False
    with suppress(Exception), opened(path, max_pixels) as (_, image):  # what comes after the first may be damaged
        return getattr(image, "is_animated", False)
    return False


def _upright_size(image: Image.Image) -> tuple[int, int]:
    # Not by the format's own method, for that of PNG decodes the picture to look behind the pixels.
    turned = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1) in _ON_ITS_SIDE
    return (image.height, image.width) if turned else image.size


def decode_grey(path: str | PathLike[str] | Image.Image, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "H W"]:
    """The picture upright and in grey, whole and at its own size; else as `decode_image`."""
    with _source(path) as source, _upright(source, max_pixels, None) as upright:
        return np.asarray(_in_mode("L", upright))


def decode_rgb(path: str | PathLike[str] | Image.Image, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "H W 3"]:
    """The picture upright and in colour, whole and at its own size; else as `decode_image`."""
    with _source(path) as source, _upright(source, max_pixels, None) as upright:
        return np.asarray(_in_mode("RGB", upright))


@contextmanager
def _upright(
    source: BufferedReader | Image.Image,
    max_pixels: int,
    budget: MemoryBudget | None,
    draft: tuple[int, int] | None = None,
    reading: Reading | None = None,
    with_alpha: bool = False,
) -> Iterator[Image.Image]:
    finish = partial(_levelled, reading=reading, with_alpha=with_alpha)
    if isinstance(source, Image.Image):
        turned = ImageOps.exif_transpose(source)
        is_deep = reading is not None and (is_grey(turned.mode) or meant_type(source) is not None)
        yield finish(grey_picture(source, turned) if is_deep else turned)
        return
    with identified(source, max_pixels, FORMATS if reading is None else ALL_FORMATS) as image:
        stated = image.width * image.height
        if draft is not None:
            image.draft(None, draft)
        needed = _BYTES_A_PIXEL * image.width * image.height
        needed += _BYTES_A_PROGRESSIVE_PIXEL * stated if "progressive" in image.info else 0
        with (budget or own_budget()).lent(needed):
            deep = None if reading is None else deep_picture(image, partial(again, source, max_pixels))
            if deep is None:
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
            yield finish(deep or image)


def _levelled(picture: Image.Image | DeepPicture, reading: Reading | None, with_alpha: bool) -> Image.Image:
    """A picture in 8 bits, by the one scale if there is one."""
    scale = None if reading is None else reading.scale
    image = picture.levels(scale) if isinstance(picture, DeepPicture) else picture
    if with_alpha:
        image = image if image.mode in ("L", "LA", "RGB", "RGBA", "P", "PA") else _opaque(image)
        image = _in_mode("RGBA", image)
    else:
        image = _opaque(image)
    if isinstance(picture, DeepPicture) or scale is None or not scale.is_of_bytes:
        return image
    table, own = scale.levels(np.arange(256)).tolist(), list(range(256))
    image = _in_mode("L", image) if image.mode == "1" else image
    return image.point(table * len(image.getbands()) if image.mode != "RGBA" else table * 3 + own)


@contextmanager
def _numbers_in(
    file: BufferedReader, channels: int, max_pixels: int, budget: MemoryBudget | None, reading: Reading
) -> Iterator[np.ndarray | None]:
    file.seek(0)
    read = npy_picture if is_npy(file) else None
    if is_tiff(file) and not _pillow_reads(file, channels, max_pixels):
        read = tiff_picture
    file.seek(0)
    if read is None:
        yield None
        return
    with (budget or own_budget()).lent(2 * os.fstat(file.fileno()).st_size):
        yield read(file, channels, reading.layout, max_pixels)


def _pillow_reads(file: BufferedReader, channels: int, max_pixels: int) -> bool:
    """Whether Pillow reads all channels of a TIFF."""
    try:
        with identified(file, max_pixels, ALL_FORMATS) as image:
            is_few = channels in (1, 3, 4) and getattr(image, "tag_v2", {}).get(_NUM_CHANNELS, 1) <= 4
            return is_few and not pillow_misreads(image, channels)
    except UnidentifiedImageError:
        return False


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
