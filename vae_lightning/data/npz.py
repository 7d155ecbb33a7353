"""NumPy's .npz files, read in pieces and within limits: a stored config may name a stranger's."""

import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vae_lightning.data.archive_members import CountedEntries, TooMuchError, open_zipped
from vae_lightning.data.array_files import NpyHeader, npy_header, num_bytes
from vae_lightning.disk.files import check_regular

_MOST_MEMBERS = 1000
_MOST_SMALL = 1_000_000_000  # bytes of an array that is read as a whole
_BLOCK_BYTES = 2**22  # of an array that is read in pieces
_MOST_PACKED = 1100  # bytes that deflate can make of one: it says 1,032
_LITTLE = 10_000  # bytes of which nothing can be said by that
_LOCAL_HEADER = 30  # bytes of a zip member's, before its name
_ENCRYPTED = 1  # of a member's flags


class NpzFile:
    """The arrays of a .npz file by name; objects, which only pickle could read, are none of them.

    Attributes:
        headers: of each array, as if it stood in a file of its own.
        faults: why others can't be read, by their names.

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
            self.headers: dict[str, NpyHeader] = {}
            self.faults: dict[str, str] = {}
            self._look()
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
        if header.is_transposed and len(header.shape) > 1:
            raise ValueError(f"{name} is stored column by column")
        row = math.prod(header.shape[1:]) * header.dtype.itemsize
        for content in self.contents(name, max(1, _BLOCK_BYTES // max(row, 1)) * row):
            yield np.frombuffer(content, header.dtype).reshape(-1, *header.shape[1:])

    def contents(self, name: str, num_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
        """The numbers of an array as they stand there, so many bytes at a time; else as `blocks`."""
        left = self._num_bytes(name)
        try:
            with open_zipped(self._archive, self._archive.getinfo(f"{name}.npy")) as member:
                npy_header(member)
                while left:
                    content = member.read(min(num_bytes, left))
                    if len(content) < min(num_bytes, left):
                        raise ValueError(f"{name} ends too early")
                    yield content
                    left -= len(content)
                if member.read(1):  # at the end the archive's checksum is compared
                    raise ValueError(f"{name} goes on after its end")
        except Exception as error:  # Python's reader raises anything on a damaged archive
            raise _told(error) from error

    def stored_at(self, name: str) -> tuple[int, int] | None:
        """Where the numbers of an array begin and its member ends, in bytes of the file; None if it is compressed."""
        header, info = self._header(name), self._archive.getinfo(f"{name}.npy")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
            return None
        self._file.seek(info.header_offset + _LOCAL_HEADER - 4)
        start = info.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", self._file.read(4)))
        return start + header.start, start + info.file_size

    def num_held(self, name: str) -> int:
        """The most bytes that an array, with its header, can have by what the archive holds of it."""
        info = self._archive.getinfo(f"{name}.npy")
        packed = info.compress_type != zipfile.ZIP_STORED
        return min(info.file_size, _MOST_PACKED * info.compress_size + _LITTLE if packed else info.compress_size)

    def _header(self, name: str) -> NpyHeader:
        if name in self.faults:
            raise ValueError(self.faults[name])
        if name not in self.headers:
            raise ValueError(f"it has no array {name}; it has {', '.join(sorted(self.headers)[:10]) or 'none'}")
        return self.headers[name]

    def _num_bytes(self, name: str) -> int:
        header = self._header(name)
        return num_bytes(header.shape, header.dtype)

    def _look(self) -> None:
        for info in self._archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            name = info.filename.removesuffix(".npy")
            with open_zipped(self._archive, info) as member:
                try:
                    self.headers[name] = npy_header(member)
                except ValueError as error:
                    self.faults[name] = str(error)


def _told(error: BaseException) -> BaseException:
    """Whatever was raised, as a ValueError or an OSError."""
    if isinstance(error, TooMuchError):
        return ValueError(f"it has more than {_MOST_MEMBERS:,} arrays")
    if isinstance(error, ValueError | OSError) or not isinstance(error, Exception):
        return error
    return ValueError(" ".join(str(error).split())[:200] or type(error).__name__)
