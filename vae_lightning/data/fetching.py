"""The files of a public data set, fetched whole or not at all into the folder where the set is kept."""

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import disk_usage

from filelock import FileLock, Timeout

from vae_lightning.data.cache import LOCK, locked
from vae_lightning.data.download import Limits, download

logger = logging.getLogger(__name__)

_LIMITS = Limits()  # of a download
_PATIENCE = 10**6  # bytes more than a file was said to have
_MEGABYTE = 10**6


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web.

    Attributes:
        name: as it is called here.
        urls: where it lies, tried in turn.
        checksum: as `download` takes it.
        num_bytes: how many it has, or somewhat more than that, for what is told; of more than twice as many none is
            fetched.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str
    num_bytes: int


class NoSpaceError(Exception):
    """The disk has no room for what is to be fetched; says how much is needed."""


@dataclass(frozen=True)
class Fetching:
    """How the files of a set come into their folder, by one process, all at once when the last one is whole.

    Args:
        title: what the set is called.
        folder: where the files go; what a process that was killed left there is gone on with.
        is_complete: whether they are there.
        files: what is to be downloaded; only asked where they are not.
        unpack: makes of the folder of what was downloaded the files that stay; their paths, which lie in it.
        num_unpacked: bytes of those, if they are not what was downloaded.
    """

    title: str
    folder: Path
    is_complete: Callable[[], bool]
    files: Callable[[], Sequence[RemoteFile]]
    unpack: Callable[[Path], Sequence[Path]]
    num_unpacked: int = 0

    def __call__(self) -> None:
        """Fetches them unless they are there.

        Raises DownloadError, NoSpaceError, OSError for what can't be written, and what unpacking raises.
        """
        temporary = self._temporary
        with locked(self.folder):
            if self.is_complete():  # another process was faster
                return
            temporary.mkdir(exist_ok=True)
            files = self.files()
            self._tell(files, temporary)
            for file in files:
                limits = replace(_LIMITS, largest=2 * file.num_bytes + _PATIENCE)
                download(file.urls, temporary / file.name, file.checksum, limits)
            for path in self.unpack(temporary):
                os.replace(path, self.folder / path.name)
            shutil.rmtree(temporary, ignore_errors=True)

    def clear(self) -> None:
        """Remove what was left by a process that was killed once all files were in their places.

        Nothing where another is at work, or where a download has been cut off: another set may go on with that.
        """
        if not self._temporary.is_dir() or self._temporary.is_symlink():
            return
        with suppress(OSError, Timeout), FileLock(self.folder / LOCK, timeout=0):
            if self.is_complete() and not any(self._temporary.glob("*.part")):
                shutil.rmtree(self._temporary, ignore_errors=True)

    @property
    def _temporary(self) -> Path:
        return self.folder / ".download"

    def _tell(self, files: Sequence[RemoteFile], temporary: Path) -> None:
        wanted = sum(file.num_bytes for file in files)
        there = sum(path.stat().st_size for path in temporary.iterdir() if path.is_file())
        needed, free = max(0, wanted - there) + self.num_unpacked, disk_usage(temporary).free
        if free < needed:
            raise NoSpaceError(f"{_megabytes(needed)} are needed and {_megabytes(free)} are free")
        logger.info("%s: downloading up to %s into %s", self.title, _megabytes(wanted), self.folder)


def _megabytes(num_bytes: int) -> str:
    return f"{-(-num_bytes // _MEGABYTE):,} MB"
