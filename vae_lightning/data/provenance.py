"""What a folder of the cache was made of, and when it was used last: a small file beside it, for whoever clears up."""

import json
import os
from contextlib import suppress
from pathlib import Path

from vae_lightning.disk.files import load_json, read_text, write_atomically

PREFIX, SUFFIX = "about-", ".json"
_LIMIT = 100_000  # bytes


def note_use(folder: Path, of: str, form: str = "") -> None:
    """Say beside a folder what it holds, and that it is used now; a cache that can't be written goes without.

    Args:
        folder: in the cache.
        of: what it was made of, as a path.
        form: of what it holds, as its size.
    """
    place, content = about(folder), json.dumps({"of": of, "form": form})
    with suppress(OSError, ValueError):
        if not place.is_symlink() and place.is_file() and read_text(place, _LIMIT) == content:
            os.utime(place)
        else:
            write_atomically(place, content)


def about(folder: Path) -> Path:
    """The file beside it."""
    return folder.parent / f"{PREFIX}{folder.name}{SUFFIX}"


def told_of(folder: Path) -> str:
    """What it was made of; `unknown` for folders of earlier versions that were not used since."""
    try:
        content = load_json(read_text(about(folder), _LIMIT))
        of, form = content["of"], content["form"]
    except (OSError, ValueError, TypeError, KeyError):
        return "unknown"
    told = f"{of}: {form}" if form else f"{of}"
    return told.encode(errors="backslashreplace").decode()


def last_used(path: Path) -> float:
    """When it was used last, where that is known, else when it was made; in seconds since 1970."""
    times = []
    for each in (path, about(path)):
        with suppress(OSError):
            times.append(each.lstat().st_mtime)
    return max(times, default=0.0)
