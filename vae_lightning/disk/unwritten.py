"""What of a run may fail to reach the disk without ending it: pictures, logs, and figures on their way to a file.

A disk fills up, a quota is used up, a network's file system stumbles: then what can wait does, and is written as soon
as there is room. A checkpoint can't: without one a run has nothing to show.
"""

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vae_lightning.disk.files import open_for_appending

log = logging.getLogger("vae_lightning")

FULL = (errno.ENOSPC, errno.EDQUOT)
UNWRITABLE = (*FULL, errno.EIO, errno.EROFS, errno.EFBIG, errno.ENODEV, errno.ESTALE)
_MOST_HELD = 64_000_000  # bytes of a file
_OF_BLOCKS = 512  # bytes, in which `st_blocks` counts whatever a disk's own are

_failing: set[str] = set()


@contextmanager
def spared(what: str) -> Iterator[None]:
    """Let a block that writes fail, for reasons of the disk, without ending the training: told once, until it succeeds.

    Args:
        what: is written, for the messages.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:  # the run directory is gone, say
            raise
        if what not in _failing:
            _failing.add(what)  # first: the line itself may fail to be written
            log.warning("%s: can't be written (%s); the run goes on", what, error.strerror or error)
    else:
        if what in _failing:
            _failing.discard(what)
            log.info("%s: can be written again", what)


class HeldFile:
    """A file that is only ever added to; what the disk does not take is held until it does, whole pieces at a time.

    Args:
        path: of the file, which may be there already.
        what: it is, for the messages.
    """

    def __init__(self, path: Path, what: str):
        self.path = path
        self._what = what
        self._held: list[bytes] = []
        self._num_held = 0
        self._num_lost = 0
        self._stream: IO[str] | None = None

    def write(self, content: bytes) -> None:
        """Add a piece, which `flush` brings to the disk."""
        if self._num_held + len(content) > _MOST_HELD:
            self.flush()
        if self._held and self._num_held + len(content) > _MOST_HELD:
            self._num_lost += 1
            return
        self._held.append(content)
        self._num_held += len(content)

    def flush(self) -> None:
        """Bring what is held to the disk, if it will take it."""
        if not self._held:
            return
        with spared(self._what):
            if self._stream is None:
                self._stream = open_for_appending(self.path)
            append_whole(self._stream, b"".join(self._held))
            self._held, self._num_held = [], 0
            if self._num_lost:
                log.warning("%s: %d pieces are lost, for which there was no room", self._what, self._num_lost)
                self._num_lost = 0

    def close(self) -> None:
        """Bring what is held to the disk; what it does not take now is lost."""
        self.flush()
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def append_whole(stream: IO[str], content: bytes) -> None:
    """Add the content to an open file, or nothing.

    Raises:
        OSError: the disk does not take it.
    """
    descriptor = stream.fileno()
    size = os.fstat(descriptor).st_size
    left = memoryview(content)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        os.ftruncate(descriptor, size)  # a full disk takes part of it
        raise


def room_of(path: Path) -> int:
    """Bytes that a file may have without more room on the disk: the last of its blocks is partly used.

    Raises:
        OSError: there is no such file.
    """
    status = path.lstat()
    return max(status.st_size, getattr(status, "st_blocks", 0) * _OF_BLOCKS)


def overwrite(path: Path, content: bytes) -> None:
    """Put the content in place of what a file has, if it fits into the room of it: that needs none on the disk.

    A file that has a second name, as a snapshot by hard links gives it, is left as it is: the other may be anybody's.

    Raises:
        OSError: it can't be written, does not fit, or is no file of this name only.
    """
    room = room_of(path)
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or len(content) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        # At no moment does the end of a longer one stand behind it.
        os.pwrite(descriptor, content.ljust(status.st_size), 0)
        os.ftruncate(descriptor, len(content))
    finally:
        os.close(descriptor)
