"""Folders in the cache that are built once, by one process, whole or not at all; what a key is made of, callers say."""

import hashlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vae_lightning.errors import UserError

logger = logging.getLogger(__name__)

_TEMPORARY = ".building-"


def cache_folder(cache_dir: str | None) -> Path:
    """The configured folder, or `vae_lightning` in the user's cache folder."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser().absolute()
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user_cache) / "vae_lightning"


def cache_key(*parts: object) -> str:
    """A short name for what the parts determine."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def build_once(target: Path, build: Callable[[Path], None]) -> Path:
    """`target`, unless it exists made by `build(empty folder)` and a rename, by one process at a time.

    A build that fails or is killed leaves no target. Raises UserError naming data.cache_dir if it cannot be
    written.
    """
    return target if target.exists() else build_unless(Path.exists, target, build)


def build_unless(is_good: Callable[[Path], bool], target: Path, build: Callable[[Path], None]) -> Path:
    """As `build_once`, in place of what is there and not good; who has opened that keeps what he sees."""
    try:
        with locked(target.parent):
            for stale in target.parent.glob(f"{_TEMPORARY}*"):  # of builders that were killed
                shutil.rmtree(stale, ignore_errors=True)
            if not is_good(target):  # another process may have been faster
                _build(target, build)
    except OSError as error:
        raise UserError(f"data.cache_dir={target.parent}: cannot be written ({error})") from error
    return target


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and holds its lock, which dies with the process; raises OSError if it cannot write."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass  # in a folder that cannot be written this fails, where the lock would wait forever
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        logger.info("waiting for another process that is at work in %s", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(target: Path, build: Callable[[Path], None]) -> None:
    temporary = _beside(target)
    temporary.mkdir()
    try:
        build(temporary)
        if os.path.lexists(target):
            target.rename(_beside(target))  # cleared away below, or by the next builder
        temporary.rename(target)
    finally:
        for stale in target.parent.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(stale, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.parent / f"{_TEMPORARY}{secrets.token_hex(8)}"
