"""Decoded pictures on disk: arrays, and checksums that tell whether they are still what was written."""

import json
import os
import zlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from vae_lightning.disk.files import load_json, open_regular, read_text, write_atomically
from vae_lightning.machine.hardware import num_cpus

PIXELS = "pixels.npy"
READABLE = "readable.npy"
TILES = "tiles.npy"
_CHECKSUMS = "checksums.json"
_PAGED = "paged.json"
_BLOCK = 2**22  # bytes under one checksum
_MOST_THREADS = 4  # reading a block takes a third as long
_MOST_BYTES = 2**60


class DamagedError(Exception):
    """The files are not what was written; says in what."""


def write_checksums(folder: Path) -> None:
    """To be called once the arrays are whole; raises OSError if they can't be read or the folder not written."""
    sums = {name: _checksums(folder / name) for name in _arrays(folder)}
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


def open_tiles(folder: Path, num_pictures: int) -> Int64[np.ndarray, "N 2"]:
    """How many tiles of each picture lie below and beside each other; raises DamagedError as `open_cached`."""
    try:
        with open_regular(folder / TILES, _MOST_BYTES) as file:
            _start(file, TILES, (num_pictures, 2), np.dtype(np.int64))
            grids = np.frombuffer(file.read(), np.int64).reshape(num_pictures, 2)
    except DamagedError:
        raise
    except Exception as error:  # as above
        raise DamagedError(" ".join(str(error).split())[:200] or type(error).__name__) from error
    if grids.min() < 0:
        raise DamagedError(f"{TILES} has negative numbers")
    return grids


def note_paged(folder: Path, numbers: Sequence[int]) -> None:
    """Keep how many files have more pages or frames than the one that was taken, and the first of them."""
    if numbers:
        write_atomically(folder / _PAGED, json.dumps({"count": len(numbers), "first": min(numbers)}))


def paged(folder: Path, num_files: int) -> tuple[int, int] | None:
    """What `note_paged` has kept, their count and the number of the first; None where there is nothing."""
    try:
        content = load_json(read_text(folder / _PAGED))
        count, first = int(content["count"]), int(content["first"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return (count, first) if 0 < count <= num_files and 0 <= first < num_files else None


def _arrays(folder: Path) -> tuple[str, ...]:
    return (PIXELS, READABLE, TILES) if os.path.lexists(folder / TILES) else (PIXELS, READABLE)


def _start(file: BinaryIO, name: str, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Where the array begins in a file that holds just this one; else a DamagedError."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise DamagedError(f"{name} is of another format")
    stored, is_transposed, stored_dtype = np.lib.format.read_array_header_1_0(file)
    if stored != shape or is_transposed or stored_dtype != dtype:
        raise DamagedError(f"{name} holds {stored_dtype} of shape {list(stored)}")
    size = os.fstat(file.fileno()).st_size
    if size != file.tell() + dtype.itemsize * np.prod(shape, dtype=np.int64):
        raise DamagedError(f"{name} has {size} bytes")
    return file.tell()


def _verify(folder: Path) -> None:
    if not has_checksums(folder):
        return
    content = load_json(read_text(folder / _CHECKSUMS))
    for name in _arrays(folder):
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
    """The CRC-32 of each block of the file; all cores make them, for each byte is read at every start of a run."""
    num_threads = min(_MOST_THREADS, num_cpus())
    made, waiting = list[int](), deque[Future[int]]()
    with open_regular(path, _MOST_BYTES) as file, ThreadPoolExecutor(num_threads) as threads:
        for block in iter(lambda: _block(file), b""):  # in their order, as disks want it
            waiting.append(threads.submit(zlib.crc32, block))
            if len(waiting) > num_threads:
                made.append(waiting.popleft().result())
        return made + [each.result() for each in waiting]


def _block(file: BinaryIO) -> bytes:
    return file.read(_BLOCK)
