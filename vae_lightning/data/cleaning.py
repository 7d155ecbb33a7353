"""What lies in the cache: listed with its size, its age and what it was made of, and removed if that is asked for."""

import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from vae_lightning.data.cache import BUILDING, LOCK
from vae_lightning.data.provenance import PREFIX, SUFFIX, last_used, told_of
from vae_lightning.data.tables import counted
from vae_lightning.errors import UserError, one_line

_DAY = 24 * 60 * 60  # seconds
_KEY = "[0-9a-f]{20}"
_KINDS = ("images", "archive", "celeba", "hub", "medmnist", "sprites")
_FOLDER = re.compile(f"(?:{'|'.join(_KINDS)})-{_KEY}")
_BESIDE = re.compile(f"{PREFIX}({_FOLDER.pattern}){re.escape(SUFFIX)}|bad_files-({_KEY})[.]txt")
_VALUES = re.compile(f"values-{_KEY}[.]json")
_UNFINISHED = re.compile(f"{re.escape(BUILDING)}(?:[0-9a-f]{{16}}|{_FOLDER.pattern})")
_PART = re.compile(r"[.](?:about|values|bad_files)-.*[.][0-9a-f]{16}[.]part")
_ROW = "{:<40}{:>12}   {}"
_OTHERS = {"values": "what numbers a folder of files holds", "building": "left unfinished by a build"}


@dataclass(frozen=True)
class CacheEntry:
    """Something of ours in the cache.

    Attributes:
        path: a folder or a file, no link.
        beside: files that go with it.
        num_bytes: that it takes on the disk, with those.
        used: when it was used last, in seconds since 1970; where that isn't known, when it was made.
        of: what it was made of.
    """

    path: Path
    beside: tuple[Path, ...]
    num_bytes: int
    used: float
    of: str

    def days(self, now: float | None = None) -> int:
        """Whole days since it was used."""
        return max(0, int(((time.time() if now is None else now) - self.used) // _DAY))


@dataclass(frozen=True)
class CacheContents:
    """What the cache holds.

    Attributes:
        entries: the oldest one first.
        num_others: things in there that are not ours, or are links, and are never touched.
        is_in_use: whether a process is building in there now.
    """

    entries: tuple[CacheEntry, ...]
    num_others: int
    is_in_use: bool


def contents(folder: Path) -> CacheContents:
    """Look through the cache, without following a link; nothing is written.

    Raises UserError naming cache_dir where it can't be read.
    """
    try:
        names = sorted(os.listdir(folder)) if folder.exists() else []
    except OSError as error:
        raise UserError(f"cache_dir={folder}: can't be read ({error.strerror})") from error
    ours = {name for name in names if _is_ours(folder / name)}
    beside = {name: main for name in ours if (main := _belongs_to(name)) in ours}
    entries = [
        _entry(folder / name, tuple(folder / other for other, main in beside.items() if main == name))
        for name in ours - beside.keys()
    ]
    ordered = sorted(entries, key=lambda entry: (entry.used, entry.path.name))
    return CacheContents(tuple(ordered), len(set(names) - ours - {LOCK}), _is_in_use(folder))


def chosen(entries: Sequence[CacheEntry], names: Sequence[str], older_than_days: float) -> list[CacheEntry]:
    """Those of these names, all without any, that were not used for so many days.

    Raises UserError for a name that none has.
    """
    known = {entry.path.name for entry in entries}
    wrong = next((name for name in names if name not in known), None)
    if wrong is not None:
        raise UserError(f"{wrong}: the cache holds nothing of this name, or nothing of ours; vae-data clean lists it")
    old = [entry for entry in entries if time.time() - entry.used >= older_than_days * _DAY]
    return [entry for entry in old if not names or entry.path.name in names]


def remove(folder: Path, entries: Sequence[CacheEntry]) -> None:
    """Remove these from the cache, none of them half: what is stopped is cleared away by the next build.

    Raises UserError naming cache_dir where another process builds in there, or it can't be written.
    """
    try:
        with FileLock(folder / LOCK, timeout=0):
            for entry in entries:
                _remove(entry.path)
                for path in entry.beside:
                    path.unlink(missing_ok=True)
    except Timeout as error:
        raise UserError(
            f"cache_dir={folder}: another process is building in it, and nothing is removed; wait for it to end"
        ) from error
    except OSError as error:
        raise UserError(f"cache_dir={folder}: can't be removed from ({error})") from error


def listing(folder: Path, found: CacheContents, entries: Sequence[CacheEntry]) -> list[str]:
    """What the cache holds of these entries, in lines for a terminal of 80 columns."""
    lines = [f"{_ROW.format('name', 'size', 'last used')}"] if entries else []
    for entry in entries:
        lines.append(_ROW.format(entry.path.name, told_bytes(entry.num_bytes), _told_days(entry.days())))
        lines.append(f"  {entry.of}")
    others = f"; {counted(found.num_others, 'thing')} in there not ours, and left alone" if found.num_others else ""
    lines.append(f"{folder}: {told_sum(entries)}{others}")
    if found.is_in_use:
        lines.append("another process is building in there now")
    return [one_line(line).rstrip() for line in lines]


def told_sum(entries: Sequence[CacheEntry]) -> str:
    """How many there are, and of what size together."""
    return f"{counted(len(entries), 'thing')}, {told_bytes(sum(entry.num_bytes for entry in entries))}"


def told_bytes(number: int) -> str:
    """A size on the disk, in MB where it is one, so that sizes can be compared."""
    return f"{round(number / 10**6):,} MB" if number >= 10**6 else f"{-(-number // 1000):,} kB"


def _told_days(days: int) -> str:
    return "today" if days == 0 else f"{days:,} day{'' if days == 1 else 's'} ago"


def num_bytes_of(path: Path) -> int:
    """What a file or a folder with all in it takes on the disk; links are not followed."""
    return sum(_on_disk(facts) for facts in _facts_of(path))


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if not path.name.startswith(BUILDING):
        path = path.rename(path.parent / f"{BUILDING}{secrets.token_hex(8)}")
    shutil.rmtree(path)  # no link is followed


def _is_ours(path: Path) -> bool:
    """By its name and by what kind of thing it is."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    if stat.S_ISDIR(mode):
        return any(kind.fullmatch(path.name) for kind in (_FOLDER, _UNFINISHED))
    return stat.S_ISREG(mode) and any(kind.fullmatch(path.name) for kind in (_BESIDE, _VALUES, _PART))


def _belongs_to(name: str) -> str | None:
    found = _BESIDE.fullmatch(name)
    if found is None:
        return None
    return found[1] or f"images-{found[2]}"


def _entry(path: Path, beside: tuple[Path, ...]) -> CacheEntry:
    num_bytes = sum(map(num_bytes_of, (path, *beside)))
    return CacheEntry(path, beside, num_bytes, last_used(path), _of(path))


def _of(path: Path) -> str:
    if _UNFINISHED.fullmatch(path.name) or _PART.fullmatch(path.name):
        return _OTHERS["building"]
    if _VALUES.fullmatch(path.name):
        return _OTHERS["values"]
    if _BESIDE.fullmatch(path.name):
        return "a folder that is gone"
    return told_of(path)


def _is_in_use(folder: Path) -> bool:
    if not (folder / LOCK).is_file():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # it can't be written by who looks
        return False


def _facts_of(path: Path) -> Iterator[os.stat_result]:
    with suppress(OSError):
        facts = path.lstat()
        yield facts
        if stat.S_ISDIR(facts.st_mode):
            for name in os.listdir(path):
                yield from _facts_of(path / name)


def _on_disk(facts: os.stat_result) -> int:
    return 512 * facts.st_blocks if hasattr(facts, "st_blocks") else facts.st_size
