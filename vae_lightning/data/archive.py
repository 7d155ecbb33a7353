"""Archives of pictures, unpacked once and never beyond their own folder."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from gzip import BadGzipFile
from pathlib import Path
from typing import IO, NamedTuple

from vae_lightning.data.cache import build_once, cache_key
from vae_lightning.errors import UserError

ARCHIVE_EXTENSIONS = (".zip", ".tar", ".tar.gz", ".tgz")

_CHUNK = 2**20  # bytes copied at a time
_UNREADABLE = (
    *(zipfile.BadZipFile, tarfile.TarError, BadGzipFile, zlib.error, lzma.LZMAError, EOFError),
    *(RuntimeError, ValueError),  # encrypted, or compressed in an unknown way
    *(NotADirectoryError, IsADirectoryError, FileExistsError),  # one name for a file and a folder
)


class _Member(NamedTuple):
    name: str
    kind: str  # "file", "folder", or what it is instead
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Unpacker:
    """Unpacks an archive into a folder of `cache_dir`, or finds the one unpacked before from the same file.

    Args:
        archive: a .zip, .tar, .tar.gz or .tgz file.
        cache_dir: where the folder is made.
        max_gigabytes: more unpacked bytes than this, in units of 10^9, are an error.
    """

    archive: Path
    cache_dir: Path
    max_gigabytes: float

    def __call__(self) -> Path:
        """The unpacked folder, made at the first call.

        Raises UserError, with nothing left behind, for an archive that is absent, damaged or too large, and
        for a member that is neither a file nor a folder or that lies outside the archive's own folder.
        """
        try:
            status = self.archive.stat()
        except OSError as error:
            raise self._error(f"cannot be opened ({error.strerror})") from error
        key = cache_key(str(self.archive.resolve()), status.st_size, status.st_mtime_ns)
        return build_once(self.cache_dir / f"archive-{key}", self._unpack)

    def _unpack(self, folder: Path) -> None:
        remaining = self.max_gigabytes * 10**9
        members = _zip_members if self.archive.suffix.lower() == ".zip" else _tar_members
        try:
            for member in members(self.archive):
                path = self._place(member, folder)
                if member.kind == "file":
                    remaining -= self._write(member, path, remaining)
        except _UNREADABLE as error:
            raise self._error(f"cannot be read ({' '.join(str(error).split())})") from error

    def _place(self, member: _Member, folder: Path) -> Path:
        # A backslash separates and a colon names a drive on Windows only, but no picture needs them.
        parts = member.name.replace("\\", "/").split("/")
        if member.name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in member.name:
            raise self._error(f"its member {member.name!r} lies outside its folder; nothing was unpacked")
        if member.kind not in ("file", "folder"):
            raise self._error(f"its member {member.name!r} is a {member.kind}; nothing was unpacked")
        return folder.joinpath(*parts)

    def _write(self, member: _Member, path: Path, limit: float) -> int:
        """Counts what is really unpacked, for the sizes an archive states may be lies."""
        path.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with member.open() as source, open(path, "wb") as target:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                if written > limit:
                    raise self._error(f"unpacks to more than data.max_archive_gb={self.max_gigabytes}")
                target.write(chunk)
        return written

    def _error(self, what: str) -> UserError:
        return UserError(f"data.archive={self.archive}: {what}")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            yield _Member(info.filename, _zip_kind(info), partial(file.open, info))


def _zip_kind(info: zipfile.ZipInfo) -> str:
    if info.is_dir():
        return "folder"
    kind = stat.S_IFMT(info.external_attr >> 16)  # the Unix mode, or 0 when made elsewhere
    return {0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}.get(kind, "device")


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as file:
        for info in file:
            yield _Member(info.name, _tar_kind(info), partial(file.extractfile, info))  # type: ignore[arg-type]
        while file.fileobj is not None and file.fileobj.read(_CHUNK):
            pass  # to the very end, where gzip has its checksum


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "link"
    return "folder" if info.isdir() else "file" if info.isreg() else "device"
