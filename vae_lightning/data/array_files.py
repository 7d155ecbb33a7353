"""Pictures that lie in a file as the numbers of an array: .npy, and TIFF of more channels than Pillow reads."""

import os
import zlib
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Shaped

from vae_lightning.data.stated import number_without_data
from vae_lightning.data.values import Layout, kind_of

MOST_CHANNELS = 16

_NPY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION, _NO_DATA, _WHITE_IS_ZERO = 274, 42113, 0
_UNPACKED, _DEFLATED = 1, (8, 32946)  # compressions of a TIFF
_LONGEST_HEADER = 10_000
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class NpyHeader(NamedTuple):
    """What a .npy file says of its array, whose numbers begin at `start`."""

    shape: tuple[int, ...]
    is_transposed: bool
    dtype: np.dtype
    start: int


def is_npy(file: BufferedReader) -> bool:
    """Whether the file, read from its beginning, is one of NumPy's."""
    return file.peek(len(_NPY)).startswith(_NPY)


def is_tiff(file: BufferedReader) -> bool:
    """Whether the file, read from its beginning, is a TIFF."""
    return file.peek(4).startswith(_TIFF)


def npy_header(file: Any) -> NpyHeader:
    """The header of a .npy file opened in binary, which is read on from there; nothing in it is run.

    Raises:
        ValueError: it is damaged, or holds objects, which could run code.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"a .npy file of version {version[0]}.{version[1]}, which holds no plain numbers")
    shape, is_transposed, dtype = _HEADERS[version](file, max_header_size=_LONGEST_HEADER)
    if dtype.hasobject:
        raise ValueError(
            "an array of Python objects, as pictures of different sizes make one; it is never read, for it may run "
            "code: give all one size, or each a .npy file of its own"
        )
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"an array of shape {list(shape)}")
    return NpyHeader(tuple(shape), is_transposed, dtype, file.tell())


def num_bytes(shape: Sequence[int], dtype: np.dtype) -> int:
    """What an array takes, however large the numbers of its shape."""
    total = dtype.itemsize
    for length in shape:
        total *= int(length)
    return total


def npy_picture(file: BinaryIO, channels: int, layout: Layout, max_pixels: int) -> Shaped[np.ndarray, "H W S"]:
    """One picture, [H, W], [H, W, S] or [S, H, W], as it stands in a .npy file that is read from its beginning.

    Raises:
        ValueError: it is no picture, has more pixels, or is not whole.
    """
    header = npy_header(file)
    kind_of(header.dtype)
    axis = picture_axis(header.shape, channels, layout)
    _check_pixels(header.shape, axis, max_pixels)
    held = os.fstat(file.fileno()).st_size - header.start
    if held != num_bytes(header.shape, header.dtype):
        raise ValueError(
            f"an array of shape {list(header.shape)} and type {header.dtype}, of which {held} bytes are there"
        )
    numbers = np.frombuffer(file.read(held), header.dtype)
    array = numbers.reshape(header.shape, order="F" if header.is_transposed else "C")
    return channels_last(array, axis)


def is_one_picture(path: Path, channels: int, layout: Layout) -> bool:
    """Whether a .npy file holds one picture, not several; raises nothing, for who reads it will."""
    try:
        with path.open("rb") as file:
            shape = npy_header(file).shape
        axis = picture_axis(shape, channels, layout)
        return axis is None or shape[axis] == channels or channels != 1
    except (OSError, ValueError):
        return False


def tiff_picture(file: BinaryIO, channels: int, layout: Layout, max_pixels: int) -> Shaped[np.ndarray, "H W S"]:
    """The first page of a TIFF of any number of channels, by tifffile.

    Raises:
        ValueError: there is no tifffile, or what it raises; or as `npy_picture`.
    """
    try:
        import tifffile
    except ImportError as error:
        raise ValueError(
            "a TIFF of a kind that Pillow does not read; with tifffile it is read: pip install 'vae-lightning[tiff]'"
        ) from error
    with tifffile.TiffFile(file) as tiff:
        page: Any = tiff.pages[0]
        shape, dtype = tuple(page.shape), page.dtype
        if dtype is None:
            raise ValueError("a TIFF whose values have no known type")
        kind_of(dtype)
        axis = picture_axis(shape, channels, "NCHW" if page.planarconfig == 2 and len(shape) == 3 else layout)
        _check_pixels(shape, axis, max_pixels)
        _check_packed(file, page)
        array = channels_last(np.asarray(page.asarray(maxworkers=1)), axis)
        if page.photometric == _WHITE_IS_ZERO and array.shape[2] == 1 and array.dtype.kind == "u":
            array = np.iinfo(array.dtype).max - array
        return _upright(array, page.tags.valueof(_ORIENTATION))


def tiff_no_data(path: Path) -> float | None:
    """What stands in a GeoTIFF that tifffile reads where there is no pixel; None for others."""
    with path.open("rb") as file:
        if not is_tiff(file):
            return None
        import tifffile

        with tifffile.TiffFile(file) as tiff:
            page: Any = tiff.pages[0]
            return number_without_data(page.tags.valueof(_NO_DATA))


def _upright(array: Shaped[np.ndarray, "H W S"], orientation: Any) -> Shaped[np.ndarray, "h w S"]:
    """As Pillow turns a picture by what its tag says."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return array[rows, columns]


def _check_packed(file: BinaryIO, page: Any) -> None:
    """Refuse a packing that tifffile would unpack to whatever size it has."""
    if page.compression == _UNPACKED:
        return
    if page.compression not in _DEFLATED:
        raise ValueError(f"a TIFF of this kind is read unpacked or deflated, and this one is {_name_of(page)}")
    most = num_bytes(page.chunks, page.dtype)
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        if len(zlib.decompressobj().decompress(file.read(count), most + 1)) > most:
            raise ValueError(f"a part of the TIFF unpacks to more than {most} bytes")


def _name_of(page: Any) -> str:
    return str(getattr(page.compression, "name", page.compression))


def picture_axis(shape: tuple[int, ...], channels: int, layout: Layout) -> int | None:
    """Which axis of one picture, [H, W], [H, W, S] or [S, H, W], is that of the channels; None for [H, W].

    Args:
        shape: of the array.
        channels: that the dataset has, which decides where the shape alone does not.
        layout: says it, unless it is `auto`.

    Raises:
        ValueError: it is no picture, or it can't be told.
    """
    if len(shape) == 2 and 0 not in shape:
        return None
    if len(shape) != 3 or 0 in shape:
        raise ValueError(f"an array of shape {list(shape)} is no picture; [H, W], [H, W, C] and [C, H, W] are")
    if layout != "auto":
        return 2 if layout == "NHWC" else 0
    fitting = [
        axis
        for axis in (0, 2)
        if shape[axis] <= MOST_CHANNELS and shape[axis] < min(shape[:axis] + shape[axis + 1 :] if axis else shape[1:])
    ]
    if len(fitting) != 1:
        fitting = [axis for axis in (0, 2) if shape[axis] == channels]
    if len(fitting) != 1:
        raise ValueError(
            f"data.layout=auto: pictures of shape {list(shape)} may have their channels first or last; give "
            "data.layout=NHWC or NCHW"
        )
    return fitting[0]


def channels_last(array: np.ndarray, axis: int | None) -> Shaped[np.ndarray, "H W S"]:
    """One picture with its channels, on this axis, behind its pixels."""
    return array[..., None] if axis is None else np.moveaxis(array, axis, -1)


def _check_pixels(shape: Sequence[int], axis: int | None, max_pixels: int) -> None:
    height, width = (length for place, length in enumerate(shape) if place != axis)
    if axis is not None and shape[axis] > MOST_CHANNELS:
        raise ValueError(f"{shape[axis]} channels, of which at most {MOST_CHANNELS} are read")
    if height * width > max_pixels:
        raise ValueError(f"{width} x {height} pixels are more than data.max_pixels={max_pixels}")


def check_channels(found: int, wanted: int) -> None:
    """Raise a ValueError where an array's channels can't become the dataset's: grey becomes RGB, and RGB grey."""
    if found != wanted and (found, wanted) not in ((1, 3), (3, 1)):
        raise ValueError(f"it has {found} channels, and data.channels={wanted}")
