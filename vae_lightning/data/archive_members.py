"""What is in an archive, found without trusting what it says of itself: little memory is taken however it was made."""

import bz2
import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

MOST_NAME = 1000  # characters of a member's name; those of pictures are far shorter

_CHUNK = 2**20  # bytes passed over at a time
_MOST_HEADERS = 2**20  # bytes before a member of a .tar: its header, long name and other attributes
_MEMBER_BYTES = 4096  # at most, of headers and of padding, for each member of a .tar
_GZIP_END = 4  # bytes
_ZIP_ENTRY = b"PK\1\2"
_MOST_ENTRY = 512  # bytes of an entry in the directory of a .zip, on the average


class TooMuchError(Exception):
    """The archive has more members, or more bytes of them, than is allowed; says what."""


def _too_many(max_files: int) -> TooMuchError:
    return TooMuchError(f"has more members than data.max_archive_files={max_files}")


class Member(NamedTuple):
    """One entry of an archive."""

    name: str
    kind: str  # "file", "folder", or what it is instead
    open: Callable[[], io.BufferedIOBase]


def members_of(archive: Path, max_gigabytes: float, max_files: int) -> Iterator[Member]:
    """The members, each to be read before the next one is asked for.

    Args:
        archive: a file that ends in .zip, else a .tar, packed by gzip or bzip2 or not.
        max_gigabytes: a .tar with more of these 10^9 bytes, and with more than headers need, is not read further.
        max_files: more members than this are an error.

    Raises TooMuchError, and whatever Python's own readers raise for an archive that they can't read.
    """
    if archive.suffix.lower() == ".zip":
        return _zip_members(archive, max_files)
    return _tar_members(archive, max_gigabytes, max_files)


def stated_bytes(archive: Path, max_files: int) -> int:
    """How much it unpacks to by what it says, or at least to; raises as `members_of`."""
    size = archive.stat().st_size
    if archive.suffix.lower() == ".zip":
        with CountedEntries(archive, max_files) as opened, zipfile.ZipFile(opened) as file:
            return sum(info.file_size for info in file.infolist())
    with archive.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
        file.seek(-min(size, _GZIP_END), io.SEEK_END)
        end = int.from_bytes(file.read(), "little")  # the size below 4 GB, of gzip
    return max(size, end) if is_packed else size


# zip


def _zip_members(archive: Path, max_files: int) -> Iterator[Member]:
    with CountedEntries(archive, max_files) as opened, zipfile.ZipFile(opened) as file:
        opened.is_counting = False
        for info in file.infolist():
            yield Member(info.filename, _zip_kind(info), partial(open_zipped, file, info))


class CountedEntries(io.BufferedReader):
    """A .zip whose directory, which `ZipFile` reads as one block and keeps, is refused if it is too long."""

    def __init__(self, archive: Path, max_files: int):
        super().__init__(cast(io.RawIOBase, archive.open("rb", buffering=0)))
        self._max_files = max_files
        self.is_counting = True

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.is_counting:
            return super().read(size)
        if size is not None and size > 2**16 + _MOST_ENTRY * self._max_files:
            raise _too_many(self._max_files)
        content = super().read(size)
        if content.count(_ZIP_ENTRY) > self._max_files:
            raise _too_many(self._max_files)
        return content


def open_zipped(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> io.BufferedIOBase:
    """A member of a .zip to read; raises ValueError for one that would take memory without limit."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # What zipfile makes of a few kilobytes packed in another way is as large as it likes, and all in RAM.
        raise ValueError(f"compressed in another way than by deflate ({info.compress_type})")
    return cast(io.BufferedIOBase, file.open(info))


def _zip_kind(info: zipfile.ZipInfo) -> str:
    if info.is_dir():
        return "folder"
    kind = stat.S_IFMT(info.external_attr >> 16)  # the Unix mode, or 0 when made elsewhere
    return {0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}.get(kind, "device")


# tar


def _tar_members(archive: Path, max_gigabytes: float, max_files: int) -> Iterator[Member]:
    most = int(max_gigabytes * 10**9) + _MEMBER_BYTES * max_files + _MOST_HEADERS
    with _unpacked(archive) as unpacked:
        stream = _Bounded(unpacked, most, TooMuchError(f"unpacks to more than data.max_archive_gb={max_gigabytes}"))
        for number, member in enumerate(_in_stream(stream)):
            if number == max_files:
                raise _too_many(max_files)
            yield member
        while stream.read(_CHUNK):
            pass  # to the very end, where gzip has its checksum


def _unpacked(archive: Path) -> io.BufferedIOBase:
    with archive.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"\xfd7zXZ"):  # may ask for gigabytes of RAM to be unpacked in
        raise ValueError("packed by xz, not by gzip")
    if start.startswith(b"BZh"):
        return bz2.open(archive)
    return gzip.open(archive) if start.startswith(b"\x1f\x8b") else archive.open("rb")


class _Bounded:
    """What `tarfile` reads from, always forward: not endlessly, and not much at once for what it keeps in RAM."""

    def __init__(self, stream: io.BufferedIOBase, most: int, too_much: Exception):
        self._stream = stream
        self._most = most
        self._too_much = too_much
        self._position = 0
        self._header_left: int | None = None

    @contextmanager
    def header(self) -> Iterator[None]:
        """While what is read is about a member, and not its content."""
        self._header_left = _MOST_HEADERS
        yield
        self._header_left = None

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if self._header_left is not None:
            self._header_left -= size
            if self._header_left < 0:
                raise ValueError(f"a member's header has more than {_MOST_HEADERS} bytes")
        content = self._stream.read(size)
        self._move(self._position + len(content))
        return content

    def seek(self, position: int) -> None:
        if position < self._position:
            raise ValueError("a member has a negative size")
        self._move(position)
        self._stream.seek(position)

    def _move(self, position: int) -> None:
        if position > self._most:
            raise self._too_much
        self._position = position


def _in_stream(stream: _Bounded) -> Iterator[Member]:
    with stream.header():
        file = tarfile.TarFile(fileobj=cast(Any, stream))  # which reads the first one already
    while True:
        with stream.header():
            info = file.next()
        if info is None:
            return
        cast(Any, file).members = []  # which would be all of them in the end
        yield Member(info.name, _tar_kind(info), partial(file.extractfile, info))  # type: ignore[arg-type]


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "link"
    return "folder" if info.isdir() else "file" if info.isreg() else "device"
