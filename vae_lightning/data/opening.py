"""A picture's file, opened and identified before anything of it is decoded."""

import logging
import os
import re
import stat
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from os import PathLike

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

MAX_PIXELS = 128_000_000  # more than cameras take, and half a gigabyte of RGB
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")  # others reach programs besides Pillow: EPS is run by Ghostscript
LATER_FORMATS = ("AVIF", "JPEG2000", "TIFF")  # which an earlier version did not read
ALL_FORMATS = (*FORMATS, *LATER_FORMATS)

_MOST_BYTES = 10**9  # of a file
_JPEG = b"\xff\xd8"
_SEGMENT = struct.Struct(">HH")  # its marker, and its length with that of the length
_SCAN, _SHORTEST = 0xFFDA, 2
_SAYS_MORE = (0xFFE1, 0xFFE2)  # Exif and XMP; several pages, and profiles of colour
_PASSED_OVER = frozenset({*range(0xFFC0, 0xFFD0), *range(0xFFDB, 0xFFFF)} - {*_SAYS_MORE})
_opening = threading.Lock()
for _name in ("PIL.TiffImagePlugin", "tifffile"):  # they write lines of each file; what matters of it they raise
    logging.getLogger(_name).setLevel(logging.CRITICAL)


def open_regular(path: str | PathLike[str]) -> BufferedReader:
    """A regular file to read; raises OSError, and ValueError for a file of a gigabyte."""
    # As files.open_regular does it, which takes a tenth of the time that decoding a small picture takes.
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    facts = os.fstat(file.fileno())
    if stat.S_ISREG(facts.st_mode) and facts.st_size <= _MOST_BYTES:
        return file
    file.close()
    if not stat.S_ISREG(facts.st_mode):
        raise OSError("no regular file")  # a pipe would be waited for without end
    raise ValueError(f"a file of {facts.st_size} bytes; of more than {_MOST_BYTES} none is read")


def first_bytes(path: str | PathLike[str], count: int) -> bytes:
    """How a regular file begins."""
    with open_regular(path) as file:
        return file.read(count)


@contextmanager
def opened(path: str | PathLike[str], max_pixels: int = MAX_PIXELS) -> Iterator[tuple[BufferedReader, Image.Image]]:
    """A picture of any of ALL_FORMATS, opened and not loaded; raises as `decode.decode_image`."""
    with open_regular(path) as file, identified(file, max_pixels, ALL_FORMATS) as image:
        yield file, image


def again(file: BufferedReader, max_pixels: int) -> Image.Image:
    """The picture of an open file, opened another time."""
    return identified(file, max_pixels, ALL_FORMATS)


def picture_of(content: bytes, formats: tuple[str, ...]) -> Image.Image:
    """A picture in memory, before it is decoded; raises ValueError for a large one, and what Pillow raises."""
    try:
        image = Image.open(BytesIO(content), formats=formats)
    except UnidentifiedImageError as error:  # whose own text has the file object in it
        raise UnidentifiedImageError("cannot identify its format" if content else "an empty file") from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS}")
    return image


def identified(file: BufferedReader, max_pixels: int, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """The picture of an open file, read from its beginning and not decoded.

    Args:
        file: of one of the formats.
        max_pixels: what its size may be; checked as Pillow does it, but against this limit.
        formats: of Pillow's, JPEG among them.

    Raises:
        ValueError: it has more pixels.
        UnidentifiedImageError: it is of none of the formats.
    """
    image = plain_jpeg(file) or _asked_of_all(file, max_pixels, formats)
    if image.width * image.height > max_pixels:
        raise _too_large(f"{image.width} x {image.height}", max_pixels)
    return image


def plain_jpeg(file: BufferedReader) -> JpegImageFile | None:
    """A JPEG as `Image.open` has it, in half the time, where nothing in it turns it or adds pages; else None."""
    file.seek(0)
    if not _begins_as_plain(file.peek()):
        return None
    try:
        return JpegImageFile(file)
    except Exception:  # Pillow tells of it better when it is asked as for any other
        return None


def _begins_as_plain(head: bytes) -> bool:
    """Whether a file begins as a JPEG, whose segments say nothing that Pillow reads besides the pixels.

    Of notes of a camera it warns where they are damaged; they are read where these warnings are held back.
    """
    if not head.startswith(_JPEG):
        return False
    place = len(_JPEG)
    try:
        while True:
            marker, length = _SEGMENT.unpack_from(head, place)
            if marker == _SCAN:
                return True
            if marker not in _PASSED_OVER or length < _SHORTEST:
                return False
            place += 2 + length
    except struct.error:  # the pixels begin further on
        return False


def _asked_of_all(file: BufferedReader, max_pixels: int, formats: tuple[str, ...]) -> Image.Image:
    with _opening, warnings.catch_warnings():  # both settings are of the whole process
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module="PIL.TiffImagePlugin")  # of a damaged one, which raises if it matters
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            return Image.open(file, formats=formats)
        except Image.DecompressionBombError as error:  # of twice as many; some formats allocate when they are opened
            stated = re.search(r"\d+", str(error))
            raise _too_large(stated[0] if stated else "too many", max_pixels) from error
        except UnidentifiedImageError as error:  # whose own text has the file object in it
            is_empty = os.fstat(file.fileno()).st_size == 0
            told = "an empty file" if is_empty else "cannot identify its format"
            raise UnidentifiedImageError(told) from error
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _too_large(stated: str, max_pixels: int) -> ValueError:
    return ValueError(f"{stated} pixels are more than data.max_pixels={max_pixels}")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
