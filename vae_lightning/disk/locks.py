"""Lock files: held by one process at a time, and free again when it has died, whatever it died of."""

import errno
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vae_lightning.disk.files import check_regular

try:
    import fcntl
except ImportError:  # Windows has none, and is told as a file system without locks
    fcntl = None  # type: ignore[assignment]

_POLL_S = 0.05
_LONG_MOMENT_S = 20.0
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)  # which Windows lacks, and the others
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _CLOEXEC
_descriptors: set[int] = set()  # of the locks that this process holds


class HeldError(Exception):
    """Another process holds the lock; the text says which, as in `process 4711 on gpu3`."""


class NoLocksError(Exception):
    """The file system has no locks, as those of some clusters."""


@contextmanager
def hold(file: Path, patience_s: float | None = 0.0) -> Iterator[None]:
    """Hold the lock file while the block runs; it is made where there is none, and stays.

    Args:
        patience_s: how long another holder is waited for; None is without end.

    Raises:
        HeldError: another process, or another part of this one, still holds it then.
        NoLocksError: the file system has no locks.
        OSError: the file can't be made.
        ValueError: there is something else than a regular file.
    """
    descriptor = _held(file, patience_s)
    try:
        _sign(descriptor)
        yield
    finally:
        _close(descriptor)


def _held(file: Path, patience_s: float | None) -> int:
    """The descriptor of the lock file that has this name, held."""
    while True:
        check_regular(file)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666)
        _descriptors.add(descriptor)
        try:
            _acquire(descriptor, patience_s)
            if _has_name(descriptor, file):
                return descriptor
        except BaseException:
            _close(descriptor)
            raise
        _close(descriptor)  # its folder was removed meanwhile, and made anew maybe


def _has_name(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _close(descriptor: int) -> None:
    if descriptor in _descriptors:  # in a forked process it is closed already
        _descriptors.remove(descriptor)
        os.close(descriptor)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder for the moment that it takes to read a file there and to write it anew.

    Where the file system has no locks for folders, as NFS has none, or another holder has been stopped, it is not held.
    """
    if fcntl is None:  # Windows opens no folders either
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | _CLOEXEC)
    try:
        with suppress(HeldError, NoLocksError, OSError):
            _acquire(descriptor, _LONG_MOMENT_S)
        yield
    finally:
        os.close(descriptor)


def holder(file: Path) -> str | None:
    """Who holds the lock file, empty where nobody does; None where that can't be known, as without such a file."""
    try:
        check_regular(file)
        descriptor = os.open(file, os.O_RDONLY | _FLAGS)
    except (OSError, ValueError):
        return None
    try:
        _lock(descriptor, shared=True)
    except OSError as error:
        return None if error.errno in _NO_LOCKS else _signature(descriptor)
    finally:
        os.close(descriptor)
    return ""


def _acquire(descriptor: int, patience_s: float | None) -> None:
    deadline = time.monotonic() + (patience_s or 0.0)
    while True:
        try:
            _lock(descriptor)
            return
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise NoLocksError(error.strerror) from error
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if patience_s is not None and time.monotonic() >= deadline:
            raise HeldError("another process" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else _signature(descriptor))
        time.sleep(_POLL_S)


def _lock(descriptor: int, *, shared: bool = False) -> None:
    """Lock it at once; raises the OSError that says why it can't be."""
    if fcntl is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def _sign(descriptor: int) -> None:
    if os.fstat(descriptor).st_nlink > 1:  # a snapshot by hard links shares it
        return
    with suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


def _signature(descriptor: int) -> str:
    text = os.pread(descriptor, 200, 0).decode(errors="replace")
    return text if text.isprintable() and text else "another process"


def _forget_in_child() -> None:
    """A forked process must not keep alive the locks of a parent that has died."""
    while _descriptors:
        os.close(_descriptors.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
