"""The picture files of a folder, whatever else lies in it."""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

from vae_lightning.errors import UserError

logger = logging.getLogger(__name__)

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")  # read with any data.value_range
# With one that is not null, where all files are read by one scale.
ALL_EXTENSIONS = tuple(sorted((*EXTENSIONS, ".avif", ".j2k", ".jp2", ".npy", ".tif", ".tiff")))
ARRAY_EXTENSIONS = (".npy", ".npz", ".h5", ".hdf5")  # of a file that is a dataset by itself
NO_ROOT = f"root must be a folder of images ({', '.join(EXTENSIONS)}, ...), or a file of arrays; or give archive"
_MEMBER = re.compile(r"\[\d{1,12}\]$")  # of a file of arrays
_MOST_TOLD = 3  # entries that a message names
_MOST_KINDS = 6  # of other files, that a message names
_LONGEST_SUFFIX = 12

T = TypeVar("T")


class PictureFile(NamedTuple):
    """A file below the root, and what tells whether it has changed."""

    name: str  # relative to the root, with forward slashes
    size: int  # bytes
    modified: int  # nanoseconds


@dataclass(frozen=True)
class OnDemand(Sequence[T]):
    """Something made of each picture file whenever it is asked for: millions of paths at once take gigabytes.

    Args:
        files: of which.
        make: it, of the name of one.
    """

    files: Sequence[PictureFile]
    make: Callable[[str], T]

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return OnDemand(self.files[index], self.make)
        return self.make(self.files[index].name)


def paths_of(root: Path, files: Sequence[PictureFile]) -> OnDemand[Path]:
    """Where the files lie."""
    return OnDemand(files, root.joinpath)


def named_paths_of(root: Path, files: Sequence[PictureFile]) -> OnDemand[tuple[str, Path]]:
    """The name of each file and where it lies."""
    return OnDemand(files, partial(_named, root))


def _named(root: Path, name: str) -> tuple[str, Path]:
    return name, root / name


def check_folder(root: Path, source: str, cache_dir: Path) -> None:
    """Refuse what is neither a folder nor a file of arrays.

    Args:
        root: the folder of pictures, or the file.
        source: how messages call it, as `data.root=faces`.
        cache_dir: where decoded folders lie; that nothing of them is used is told.

    Raises:
        UserError: it is another file, or it is not there.
    """
    if root.is_file():
        if root.name.lower().endswith(ARRAY_EXTENSIONS):
            return
        raise UserError(
            f"{source}: is a file, no folder of pictures; an archive is given by data.archive=, arrays as one of "
            f"{', '.join(ARRAY_EXTENSIONS)}"
        )
    if not root.is_dir():
        kept, key = "", source.partition("=")[0]
        if next(cache_dir.glob("images-*"), None) is not None:
            kept = f"; what was decoded into {cache_dir} before is not used without it: if it has moved, "
            kept += f"{key}= says where it lies now"
        raise UserError(f"{source}: there is no folder {root.absolute()}{kept}")


def check_given(images: Any, key: str = "images") -> None:
    """Refuse pictures that a user has named, one or a list of them, and that are not there.

    Args:
        images: what was named.
        key: by which.

    Raises:
        UserError: there is no such file or folder, nor a file of arrays that one is the member of.
    """
    for name in images if isinstance(images, list) else [images]:
        if not isinstance(name, str):
            continue
        paths = Path(name).expanduser(), Path(_MEMBER.sub("", name)).expanduser()
        if not any(map(os.path.lexists, paths)):
            raise UserError(f"{key}: {paths[0]}: no such file")


def find_pictures(
    root: Path, extensions: tuple[str, ...] = EXTENSIONS, others: Counter[str] | None = None
) -> Iterator[PictureFile]:
    """All picture files below the root, in any order; links to folders are followed, to each folder once.

    Args:
        root: the folder.
        extensions: what names of pictures end in, in small letters.
        others: is told how many files with other endings there are, which are left out.

    A folder that lies below the root goes by its own name, any other by the first of its links in the order of their
    names: links among a dozen folders make millions of names. What can't be used is left out and told in a line of the
    log: links that lead nowhere, folders that can't be searched, and pipes or devices with the name of a picture.
    Raises OSError if the root itself can't be searched.
    """
    useless: list[str] = []
    folders, links = [("", str(root))], list[tuple[str, str]]()  # each with what its pictures' names begin with
    seen: set[tuple[int, int]] = set()
    while folders or links:
        prefix, folder = folders.pop() if folders else heappop(links)
        try:
            facts = os.stat(folder)
            here = facts.st_dev, facts.st_ino
            if here in seen:
                continue
            seen.add(here)
            with os.scandir(folder) as entries:
                for entry in entries:
                    found = _look_at(entry, prefix, useless, extensions, others)
                    if isinstance(found, PictureFile):
                        yield found
                    elif found and entry.is_symlink():
                        heappush(links, (f"{prefix}{entry.name}/", entry.path))
                    elif found:
                        folders.append((f"{prefix}{entry.name}/", entry.path))
        except OSError as error:
            if not prefix:
                raise
            useless.append(f"{prefix!r} ({error.strerror})")
    if useless:
        told = ", ".join(useless[:_MOST_TOLD]) + (", ..." if len(useless) > _MOST_TOLD else "")
        logger.warning("%s: %d entries are left out, for they can't be used: %s", root, len(useless), told)


def told_others(others: Counter[str]) -> str:
    """Files that are left out by what their names end in: `left out: 3 .txt, 1 .mov`; of many kinds the commonest."""
    common = others.most_common(_MOST_KINDS)
    rest = others.total() - sum(count for _, count in common)
    kinds = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in common]
    return f"left out: {', '.join(kinds + ([f'{rest:,} others'] if rest else []))}"


def _look_at(
    entry: os.DirEntry[str],
    prefix: str,
    useless: list[str],
    extensions: tuple[str, ...],
    others: Counter[str] | None,
) -> PictureFile | bool:
    """The picture file that an entry is; else whether it is a folder to search."""
    if entry.name.startswith(".") or entry.name == "__MACOSX":
        return False
    try:
        if entry.is_dir():
            return True
        if not entry.name.lower().endswith(extensions):
            if others is not None:
                others[os.path.splitext(entry.name)[1].lower()[:_LONGEST_SUFFIX]] += 1
            return False
        status = entry.stat()
        if entry.is_file():
            return PictureFile(prefix + entry.name, status.st_size, status.st_mtime_ns)
        useless.append(f"{prefix + entry.name!r} (no regular file)")
    except OSError as error:  # a link to itself raises it, and so does a file that is gone by now
        useless.append(f"{prefix + entry.name!r} ({error.strerror})")
    return False
