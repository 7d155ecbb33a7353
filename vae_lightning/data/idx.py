"""The idx files that MNIST and its kin come in, read within limits: a stored config may name a stranger's."""

import gzip
import io
import math
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from vae_lightning.disk.files import open_regular

# EMNIST byclass, the largest of MNIST's kin, has 697,932 images of 28 x 28: 547 MB.
_MOST_IMAGES, _LONGEST_SIDE, _MOST_BYTES = 1_000_000, 256, 1_000_000_000
_HEADER_ROOM = 16  # bytes of the longest header


def read_idx(path: Path) -> UInt8[Tensor, "..."]:
    """The uint8 array of an idx file, or of the same with .gz: labels (N) or images (N, H, W).

    The memory that it takes follows from the header, whatever comes out of a .gz.

    Raises:
        FileNotFoundError: there is neither.
        OSError, EOFError, zlib.error: it can't be read, or unpacked.
        ValueError: it is no such file, is longer or shorter than its header says, or beyond the limits: 1,000,000
            images, 256 pixels a side and 1 GB.
    """
    if path.exists():
        with open_regular(path, _HEADER_ROOM + _MOST_BYTES) as file:
            return _read(cast(io.BufferedIOBase, file))
    with open_regular(Path(f"{path}.gz"), _HEADER_ROOM + _MOST_BYTES) as packed:
        return _read(gzip.GzipFile(fileobj=packed))


def _read(file: io.BufferedIOBase) -> Tensor:
    shape = _read_shape(file)
    values = np.empty(math.prod(shape), np.uint8)
    left = values.data
    while left:
        count = file.readinto(left)
        if not count:
            raise ValueError(f"it ends {len(left):,} bytes before the end that its header tells")
        left = left[count:]
    if file.read(1):
        raise ValueError("it goes on after the end that its header tells")
    return torch.from_numpy(values.reshape(shape))


def _read_shape(file: io.BufferedIOBase) -> tuple[int, ...]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:3] != b"\x00\x00\x08" or magic[3] not in (1, 3):
        raise ValueError("it is no idx file of labels or grey images, a byte each")
    told = file.read(4 * magic[3])
    if len(told) < 4 * magic[3]:
        raise ValueError("it ends within its header")
    shape = tuple(np.frombuffer(told, ">u4").tolist())
    if shape[0] > _MOST_IMAGES or any(not 0 < side <= _LONGEST_SIDE for side in shape[1:]):
        raise ValueError(
            f"its header tells of {' x '.join(f'{side:,}' for side in shape)}; at most {_MOST_IMAGES:,} images of "
            f"{_LONGEST_SIDE} x {_LONGEST_SIDE} are read"
        )
    if math.prod(shape) > _MOST_BYTES:
        raise ValueError(f"its header tells of more than {_MOST_BYTES // 10**6:,} MB")
    return shape
