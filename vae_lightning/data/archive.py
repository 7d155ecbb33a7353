"""Archives of pictures, unpacked once and never beyond their own folder."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from shutil import disk_usage

from vae_lightning.data.archive_members import MOST_NAME, Member, TooMuchError, members_of, stated_bytes
from vae_lightning.data.cache import build_once, cache_key
from vae_lightning.data.provenance import note_use
from vae_lightning.errors import UserError

ARCHIVE_EXTENSIONS = (".zip", ".tar", ".tar.gz", ".tgz")

_CHUNK = 2**20  # bytes copied at a time
_MOST_PART = 255  # bytes of a name between slashes, the most that file systems take
_MOST_DEEP = 50  # folders in folders
_ONE_NAME = (NotADirectoryError, IsADirectoryError, FileExistsError)


@dataclass(frozen=True)
class Unpacker:
    """Unpacks an archive into a folder of `cache_dir`, or finds the one unpacked before from the same file.

    Args:
        archive: a .zip, .tar, .tar.gz or .tgz file.
        cache_dir: where the folder is made.
        max_gigabytes: more unpacked bytes than this, in units of 10^9, are an error.
        max_files: more members, or more files and folders, than this are an error.
        kept: another cache, which is looked into first and never written.
    """

    archive: Path
    cache_dir: Path
    max_gigabytes: float
    max_files: int = 1_000_000
    kept: Path | None = None

    def __call__(self) -> Path:
        """The unpacked folder, made at the first call.

        Raises UserError, with nothing left behind, for an archive that is absent, damaged or too large, and
        for a member that is neither a file nor a folder or that lies outside the archive's own folder.
        """
        try:
            status = self.archive.stat()
        except OSError as error:
            raise self._error(f"cannot be opened ({error.strerror})") from error
        if not stat.S_ISREG(status.st_mode):
            raise self._error("is no file")  # a pipe would be waited for without end
        name = f"archive-{cache_key(str(self.archive.resolve()), status.st_size, status.st_mtime_ns)}"
        if self.kept is not None and (self.kept / name).is_dir():
            return self.kept / name
        folder = build_once(self.cache_dir / name, self._unpack)
        note_use(folder, str(self.archive.resolve()), "unpacked")
        return folder

    def _unpack(self, folder: Path) -> None:
        places, bytes_left = _Places(folder, self.max_files), self.max_gigabytes * 10**9
        with self._reading():
            self._check_space(folder)
            for member in members_of(self.archive, self.max_gigabytes, self.max_files):
                self._check(member)
                path = places.of(member)
                if path is not None:
                    bytes_left -= self._write(member, path, bytes_left)

    def _check_space(self, folder: Path) -> None:
        needed = min(stated_bytes(self.archive, self.max_files), int(self.max_gigabytes * 10**9))
        free = disk_usage(folder).free
        if free < needed:
            raise UserError(
                f"data.cache_dir={self.cache_dir}: {self.archive.name} unpacks to {-(-needed // 10**6):,} MB and "
                f"{free // 10**6:,} MB are free; choose another folder"
            )

    def _check(self, member: Member) -> None:
        # A backslash separates and a colon names a drive on Windows only, but no picture needs them.
        parts = member.name.replace("\\", "/").split("/")
        if member.name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in member.name:
            raise self._error(f"its member {_short(member.name)} lies outside its folder; nothing was unpacked")
        if member.kind not in ("file", "folder"):
            raise self._error(f"its member {_short(member.name)} is a {member.kind}; nothing was unpacked")
        longest = max(len(part.encode(errors="surrogateescape")) for part in parts)
        if len(parts) > _MOST_DEEP or longest > _MOST_PART or len(member.name) > MOST_NAME:
            raise self._error(f"its member {_short(member.name)} has too long a name; nothing was unpacked")

    def _write(self, member: Member, path: Path, limit: float) -> int:
        """Counts what is really unpacked, for the sizes an archive states may be lies."""
        written = 0
        with member.open() as source, _new_file(path) as target:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                if written > limit:
                    raise self._error(f"unpacks to more than data.max_archive_gb={self.max_gigabytes}")
                _write_whole(target, chunk)
        return written

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Says in one line why the archive can't be unpacked; what can't be written is another's to tell."""
        try:
            yield
        except (UserError, _NotWrittenError):
            raise
        except TooMuchError as error:
            raise self._error(str(error)) from error
        except Exception as error:  # Python's own readers raise anything on a damaged archive
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise self._error(f"cannot be read ({reason})") from error

    def _error(self, what: str) -> UserError:
        return UserError(f"data.archive={self.archive}: {what}")


class _NotWrittenError(OSError):
    """The cache could not be written; as an OSError it becomes a message about the cache."""


class _Places:
    """Makes the folders that members lie in, and counts them."""

    def __init__(self, folder: Path, max_files: int):
        self._folder = folder
        self._max_files = max_files
        self._num_made = 0

    def of(self, member: Member) -> Path | None:
        """Where a file is to be written, in a folder that is there; None for a folder."""
        path = self._folder.joinpath(*member.name.replace("\\", "/").split("/"))
        self._make(path.parent if member.kind == "file" else path)
        self._count()
        return path if member.kind == "file" else None

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make(folder.parent)
        self._count()
        with _writing():
            folder.mkdir()

    def _count(self) -> None:
        self._num_made += 1
        if self._num_made > self._max_files:
            raise TooMuchError(f"unpacks to more files and folders than data.max_archive_files={self._max_files}")


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except _ONE_NAME as error:
        raise ValueError("one name stands for a file and a folder") from error
    except OSError as error:
        raise _NotWrittenError(*error.args) from error


def _new_file(path: Path) -> BufferedWriter:
    with _writing():
        return path.open("wb")


def _write_whole(file: BufferedWriter, chunk: bytes) -> None:
    with _writing():
        file.write(chunk)


def _short(name: str) -> str:
    return repr(name if len(name) <= 100 else f"{name[:100]}...")
