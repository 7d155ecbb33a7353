"""NumPy's .npz files, read in pieces and within limits: a stored config may name a stranger's."""

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vae_lightning.data.archive_members import CountedEntries, TooMuchError, open_zipped
from vae_lightning.disk.files import check_regular

_MOST_MEMBERS = 1000
_MOST_SMALL = 1_000_000_000  # bytes of an array that is read as a whole
_BLOCK_BYTES = 2**22  # of an array that is read in pieces


class MemberHeader(NamedTuple):
    """What an array says it is."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_transposed: bool


class NpzFile:
    """The arrays of a .npz file by name; objects, which only pickle could read, are none of them.

    Raises:
        OSError: it can't be read.
        ValueError: it is no such file.
    """

    def __init__(self, path: Path):
        check_regular(path.resolve())  # a pipe would be waited for without end
        self._file = CountedEntries(path, _MOST_MEMBERS)
        try:
            self._archive = zipfile.ZipFile(self._file)
            self._file.is_counting = False
            self.headers = dict(self._headers())
        except BaseException as error:
            self._file.close()
            raise _told(error) from error

    def __enter__(self) -> "NpzFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()
        self._file.close()

    def array(self, name: str) -> np.ndarray:
        """A small array as a whole; raises ValueError for one that is not there, damaged, or has more than 1 GB."""
        if self._num_bytes(name) > _MOST_SMALL:
            raise ValueError(f"{name} has more than {_MOST_SMALL // 10**6:,} MB")
        rows = list(self.blocks(name))
        return np.concatenate(rows) if rows else np.empty(self.headers[name].shape, self.headers[name].dtype)

    def blocks(self, name: str) -> Iterator[np.ndarray]:
        """An array in pieces, a few rows at a time; raises ValueError for one that is not there or damaged."""
        header = self._header(name)
        row = math.prod(header.shape[1:]) * header.dtype.itemsize
        count = max(1, _BLOCK_BYTES // max(row, 1))
        try:
            with open_zipped(self._archive, self._archive.getinfo(f"{name}.npy")) as member:
                _read_header(member)
                for first in range(0, header.shape[0], count):
                    num = min(count, header.shape[0] - first)
                    content = member.read(num * row)
                    if len(content) < num * row:
                        raise ValueError(f"{name} ends too early")
                    yield np.frombuffer(content, header.dtype).reshape(num, *header.shape[1:])
                if member.read(1):  # at the end the archive's checksum is compared
                    raise ValueError(f"{name} goes on after its end")
        except Exception as error:  # Python's reader raises anything on a damaged archive
            raise _told(error) from error

    def _header(self, name: str) -> MemberHeader:
        if name not in self.headers:
            raise ValueError(f"it has no array {name}; it has {', '.join(sorted(self.headers)[:10]) or 'none'}")
        header = self.headers[name]
        if header.is_transposed and len(header.shape) > 1:
            raise ValueError(f"{name} is stored column by column")
        return header

    def _num_bytes(self, name: str) -> int:
        header = self._header(name)
        return math.prod(header.shape) * header.dtype.itemsize

    def _headers(self) -> Iterator[tuple[str, MemberHeader]]:
        for info in self._archive.infolist():
            if info.filename.endswith(".npy"):
                with open_zipped(self._archive, info) as member:
                    header = _read_header(member)
                if not header.dtype.hasobject and header.shape:
                    yield info.filename.removesuffix(".npy"), header


def _read_header(member: Any) -> MemberHeader:
    version = np.lib.format.read_magic(member)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError("it has an array of another format")
    shape, is_transposed, dtype = read(member)
    if any(side < 0 for side in shape):
        raise ValueError("it has an array of a negative size")
    return MemberHeader(shape, dtype, is_transposed)


def _told(error: BaseException) -> BaseException:
    """Whatever was raised, as a ValueError or an OSError."""
    if isinstance(error, TooMuchError):
        return ValueError(f"it has more than {_MOST_MEMBERS:,} arrays")
    if isinstance(error, ValueError | OSError) or not isinstance(error, Exception):
        return error
    return ValueError(" ".join(str(error).split())[:200] or type(error).__name__)
