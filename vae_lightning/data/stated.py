"""What a picture's file states and Pillow passes over: how its numbers are meant, and what is lost of it."""

import re
from io import BufferedReader
from typing import Any

import numpy as np
from PIL import Image

_BITS, _PHOTOMETRIC, _NUM_CHANNELS, _PLANES, _EXTRA, _KIND = 258, 262, 277, 284, 338, 339  # tags of a TIFF
_NO_DATA = 42113  # of a GeoTIFF
_WHITE_IS_ZERO, _RGB, _SIGNED = 0, 2, 2
_TRANSPARENCY = (1, 2)  # what an extra channel may be
_HEAD = 2**20  # bytes in which a file states what it is
_AVIF_BITS = {0x00: 8, 0x40: 10, 0x60: 12}
_SIZ, _SIZ_CHANNELS = b"\xff\x4f\xff\x51", 42  # how a codestream of JPEG 2000 begins, and where it has its channels
_TOLD = "{} of {} bits, which are read as 8"
_REDUCED = re.compile(r"(CMYK|RGBa)X*;16[LBN]")
_LEFT = re.compile(r"(L|P|RGB)X+(;16[LBN])?")


def pillow_misreads(image: Image.Image, channels: int) -> bool:
    """Whether a TIFF holds what Pillow would give wrongly: planes of 16 bits, or a fourth band that is no transparency.

    Args:
        image: opened and not loaded.
        channels: that are wanted of it.
    """
    tags = _tags(image)
    number, kinds = tags.get(_NUM_CHANNELS, 1), tags.get(_EXTRA, ())
    if tags.get(_PLANES) == 2 and number > 1 and max(tags.get(_BITS, (1,))) > 8:
        return True
    is_band = number == 4 and bool(kinds) and kinds[0] not in _TRANSPARENCY
    return channels == 4 and tags.get(_PHOTOMETRIC) == _RGB and is_band


def meant_type(image: Image.Image) -> np.dtype | None:
    """Of a grey TIFF's numbers where Pillow takes them for others: signed bytes, and 32 bits without a sign."""
    tags = _tags(image)
    if tags.get(_NUM_CHANNELS, 1) != 1:
        return None
    bits, kind = tags.get(_BITS, (1,))[0], tags.get(_KIND, (1,))[0]
    if image.mode == "L" and bits == 8 and kind == _SIGNED:
        return np.dtype(np.int8)
    return np.dtype(np.uint32) if image.mode == "I" and bits == 32 and kind == 1 else None


def is_negative(image: Image.Image) -> bool:
    """Whether 0 is white in a TIFF of 16 bits, which Pillow heeds only in shallower ones."""
    return image.mode.startswith("I;16") and _tags(image).get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def no_data(image: Image.Image) -> float | None:
    """What stands in a GeoTIFF where there is no pixel; None for others."""
    return number_without_data(_tags(image).get(_NO_DATA))


def number_without_data(text: Any) -> float | None:
    """What the tag says; None where it says nothing that can be understood."""
    try:
        return float(str(text).strip(" \0"))
    except ValueError:
        return None


def what_is_lost(file: BufferedReader, image: Image.Image, channels: int) -> str:
    """What Pillow does not give of a picture that it has opened from this file, in words; nothing where it gives all.

    Args:
        file: which is left where it stands.
        image: not loaded.
        channels: that are wanted of it.
    """
    if image.format == "TIFF":
        modes = {_raw_mode(tile) for tile in getattr(image, "tile", ())}
        if any(map(_REDUCED.fullmatch, modes)):
            return _TOLD.format("TIFF", 16)
        return "a band besides the colours, which is left out" if any(map(_LEFT.fullmatch, modes)) else ""
    if image.format not in ("AVIF", "JPEG2000") or image.mode.startswith("I"):
        return ""
    place = file.tell()
    file.seek(0)
    head = file.read(_HEAD)
    file.seek(place)
    bits = _bits_of_avif(head) if image.format == "AVIF" else _bits_of_jpeg_2000(head)
    return _TOLD.format("AVIF" if image.format == "AVIF" else "JPEG 2000", bits) if bits > 8 else ""


def _bits_of_avif(head: bytes) -> int:
    """By the deepest of the configurations of its images, https://aomediacodec.github.io/av1-isobmff."""
    boxes = [found.end() for found in re.finditer(b"av1C", head)]
    return max((_AVIF_BITS.get(head[start + 2] & 0x60, 8) for start in boxes if start + 2 < len(head)), default=8)


def _bits_of_jpeg_2000(head: bytes) -> int:
    """Of the deepest of its channels."""
    start = head.find(_SIZ) + _SIZ_CHANNELS
    number = int.from_bytes(head[start - 2 : start], "big")
    return max((1 + (bits & 0x7F) for bits in head[start : start + 3 * number : 3]), default=8) if _SIZ in head else 8


def _tags(image: Image.Image) -> Any:
    return getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}


def _raw_mode(tile: Any) -> str:
    arguments = tile.args
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)
