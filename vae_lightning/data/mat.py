"""MATLAB's .mat files (version 5 to 7), read within limits: a stored config may name a stranger's."""

import io
import struct
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vae_lightning.disk.files import open_regular

_MOST_BYTES = 1_000_000_000  # of a file, and of what is packed in it
_HEADER = 128  # bytes
_PACKED = 15  # the type of an element that is packed by zlib
_CHUNK = 2**20


def read_mat(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of these names, as SciPy reads them.

    Raises:
        OSError: it can't be read.
        ValueError: it is no such file, lacks one of the names, or holds more than 1 GB.
    """
    import scipy.io  # takes a while, and most data sets don't need it

    with open_regular(path, _MOST_BYTES) as file:
        _check_size(file)
        file.seek(0)
        try:
            found = scipy.io.loadmat(file, variable_names=list(names))
        except OSError:
            raise
        except Exception as error:  # SciPy raises anything on a damaged file
            raise ValueError(f"it is no .mat file that can be read ({type(error).__name__})") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"it has no {missing[0]}")
    return {name: np.asarray(found[name]) for name in names}


def _check_size(file: BinaryIO) -> None:
    """Refuse a file that unpacks to more than the limit, before anything is made of it."""
    left = _MOST_BYTES
    order = {b"IM": "<", b"MI": ">"}.get(file.read(_HEADER)[126:128])
    while order is not None and len(tag := file.read(8)) == 8:
        kind, size = struct.unpack(f"{order}II", tag)
        if kind == _PACKED:
            left -= _unpacked_size(file, size, left)
        else:
            file.seek(size, io.SEEK_CUR)


def _unpacked_size(file: BinaryIO, size: int, limit: int) -> int:
    unpacker, count = zlib.decompressobj(), 0
    while size > 0 and (chunk := file.read(min(_CHUNK, size))):
        size -= len(chunk)
        while chunk:
            count += len(unpacker.decompress(chunk, _CHUNK))
            chunk = unpacker.unconsumed_tail
            if count > limit:
                raise ValueError(f"it unpacks to more than {_MOST_BYTES // 10**6:,} MB")
    return count
