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

BUILDING = ".building-"  # what the name of a folder that is being made begins with
LOCK = ".lock"


class StoppedError(UserError):
    """A build can't go on, through no fault of what it has made: that is kept for the next builder."""


def cache_folder(cache_dir: str | None) -> Path:
    """The configured folder, or `vae_lightning` in the user's cache folder."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser().absolute()
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user_cache) / "vae_lightning"


def cache_key(*parts: object) -> str:
    """A short name for what the parts determine."""
    digest = hashlib.sha256()
    for piece in _representation(parts):
        digest.update(piece.encode())
    return digest.hexdigest()[:20]


def _representation(parts: tuple[object, ...]) -> Iterator[str]:
    """`repr(parts)` in pieces: of a list of a million files in one it would take hundreds of megabytes."""
    yield "("
    for number, part in enumerate(parts):
        yield ", " if number else ""
        if type(part) is list:
            yield "["
            for position, each in enumerate(part):
                yield f", {each!r}" if position else repr(each)
            yield "]"
        else:
            yield repr(part)
    yield ",)" if len(parts) == 1 else ")"


def build_once(target: Path, build: Callable[[Path], None], *, resumes: bool = False) -> Path:
    """`target`, unless it exists made by `build(empty folder)` and a rename, by one process at a time.

    A build that fails or is killed leaves no target. One that `resumes` and was killed, or interrupted, is given the
    folder as it was left, and may trust nothing in it. Raises UserError naming data.cache_dir if it cannot be written.
    """
    return target if target.exists() else build_unless(Path.exists, target, build, resumes=resumes)


def build_unless(
    is_good: Callable[[Path], bool], target: Path, build: Callable[[Path], None], *, resumes: bool = False
) -> Path:
    """As `build_once`, in place of what is there and not good; who has opened that keeps what he sees."""
    unfinished = target.parent / f"{BUILDING}{target.name}" if resumes else None
    try:
        with locked(target.parent):
            if is_good(target):  # another process may have been faster
                _clear(target.parent)
            else:
                _clear(target.parent, but=unfinished)  # of builders that were killed
                _build(target, build, unfinished)
    except OSError as error:
        raise UserError(f"data.cache_dir={target.parent}: cannot be written ({error})") from error
    return target


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and holds its lock, which dies with the process; raises OSError if it cannot write."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass  # in a folder that cannot be written this fails, where the lock would wait forever
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        logger.info("waiting for another process that is at work in %s", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(target: Path, build: Callable[[Path], None], unfinished: Path | None) -> None:
    temporary = unfinished or _beside(target)
    temporary.mkdir(exist_ok=unfinished is not None)
    kept = unfinished
    try:
        build(temporary)
        if os.path.lexists(target):
            target.rename(_beside(target))  # cleared away below, or by the next builder
        temporary.rename(target)
    except StoppedError:
        raise
    except Exception:  # not what interrupts
        kept = None
        raise
    finally:
        _clear(target.parent, but=kept)


def _clear(folder: Path, but: Path | None = None) -> None:
    """Remove what builders have left, but for one real folder."""
    for stale in folder.glob(f"{BUILDING}*"):
        if stale.is_symlink() or not stale.is_dir():
            stale.unlink(missing_ok=True)
        elif stale != but:
            shutil.rmtree(stale, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.parent / f"{BUILDING}{secrets.token_hex(8)}"
