"""Decoded pictures on disk: two arrays, and checksums that tell whether they are still what was written."""

import json
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Bool, UInt8

from vae_lightning.disk.files import load_json, open_regular, read_text, write_atomically

PIXELS = "pixels.npy"
READABLE = "readable.npy"
_CHECKSUMS = "checksums.json"
_BLOCK = 2**22  # bytes under one checksum
_MOST_BYTES = 2**60


class DamagedError(Exception):
    """The files are not what was written; says in what."""


def write_checksums(folder: Path) -> None:
    """To be called once both arrays are whole; raises OSError if they can't be read or the folder not written."""
    sums = {name: _checksums(folder / name) for name in (PIXELS, READABLE)}
    content = {"algorithm": "crc32", "block_bytes": _BLOCK, "files": sums}
    write_atomically(folder / _CHECKSUMS, json.dumps(content), durable=True)


def has_checksums(folder: Path) -> bool:
    """Caches of earlier versions have none; what is in them is the same."""
    return os.path.lexists(folder / _CHECKSUMS)


def open_cached(
    folder: Path, shape: tuple[int, int, int, int]
) -> tuple[UInt8[np.memmap, "N H W C"], Bool[np.ndarray, " N"]]:
    """The pixels, memory-mapped and read-only, and which pictures were readable.

    Each byte is read once and compared with the checksums, where there are any; that costs a second for some gigabytes.
    Raises DamagedError for anything but whole arrays of this shape.
    """
    try:
        with open_regular(folder / PIXELS, _MOST_BYTES) as file:
            # Not mode "c": the kernel may refuse to promise memory for a private copy larger than RAM.
            pixels = np.memmap(file, np.uint8, "r", _start(file, PIXELS, shape, np.dtype(np.uint8)), shape)
        with open_regular(folder / READABLE, _MOST_BYTES) as file:
            _start(file, READABLE, shape[:1], np.dtype(np.bool_))
            readable = np.frombuffer(file.read(), np.bool_)
        _verify(folder)
    except DamagedError:
        raise
    except Exception as error:  # numpy raises anything on a header that was damaged
        raise DamagedError(" ".join(str(error).split())[:200] or type(error).__name__) from error
    return pixels, readable


def _start(file: BinaryIO, name: str, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Where the array begins in a file that holds just this one; else a DamagedError."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise DamagedError(f"{name} is of another format")
    stored, is_transposed, stored_dtype = np.lib.format.read_array_header_1_0(file)
    if stored != shape or is_transposed or stored_dtype != dtype:
        raise DamagedError(f"{name} holds {stored_dtype} of shape {list(stored)}")
    size = os.fstat(file.fileno()).st_size
    if size != file.tell() + np.prod(shape, dtype=np.int64):
        raise DamagedError(f"{name} has {size} bytes")
    return file.tell()


def _verify(folder: Path) -> None:
    if not has_checksums(folder):
        return
    content = load_json(read_text(folder / _CHECKSUMS))
    for name in (PIXELS, READABLE):
        wanted, found = _stated(content, name), _checksums(folder / name)
        if wanted != found:
            bad = [number for number, pair in enumerate(zip(wanted, found, strict=False)) if pair[0] != pair[1]]
            place = f"at byte {bad[0] * _BLOCK} or after" if bad else "in its length"
            raise DamagedError(f"{name} differs from its checksums {place}")


def _stated(content: Any, name: str) -> list[int]:
    if content["algorithm"] != "crc32" or content["block_bytes"] != _BLOCK:
        raise DamagedError("its checksums are of another version")
    stated = content["files"][name]
    assert isinstance(stated, list)
    return stated


def _checksums(path: Path) -> list[int]:
    with open_regular(path, _MOST_BYTES) as file:
        return [zlib.crc32(block) for block in iter(lambda: _block(file), b"")]


def _block(file: BinaryIO) -> bytes:
    return file.read(_BLOCK)
