"""What numbers the files of a folder hold: looked through before they are decoded, and kept beside what is decoded."""

import json
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import groupby
from operator import add
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from vae_lightning.data.array_files import tiff_no_data
from vae_lightning.data.cache import locked
from vae_lightning.data.decode import numbers_in
from vae_lightning.data.deep import deep_picture, is_deep
from vae_lightning.data.memory import MemoryBudget
from vae_lightning.data.opening import LATER_FORMATS, again, first_bytes, opened
from vae_lightning.data.processes import by_processes
from vae_lightning.data.stated import what_is_lost
from vae_lightning.data.values import (
    MOST_UNREAD,
    WITHOUT_DATA,
    Found,
    Reading,
    Scale,
    found_in,
    kind_of,
    with_data,
)
from vae_lightning.data.waiting import watched
from vae_lightning.disk.files import load_json, read_text, write_atomically
from vae_lightning.machine.hardware import num_cpus

_FEWEST_FOR_WORKERS = 64
_MOST_A_BLOCK = 256  # files that a process looks at before it takes others
_BLOCKS_A_WORKER = 4  # at least, so that none waits long for the last one
_BYTES_A_PIXEL = 16
_OF_BYTES = (b"\xff\xd8\xff", b"GIF8", b"BM")  # what begins so has 8 bits
_PNG, _BIT_DEPTH = b"\x89PNG\r\n\x1a\n", 24  # and where a PNG says how many it has


@dataclass(frozen=True)
class _Folder(Dataset[Found]):
    """Getting an item looks at some files."""

    pictures: Sequence[tuple[str, Path]]
    channels: int
    max_pixels: int
    reading: Reading
    block: int  # files that an item is
    budget: MemoryBudget = field(default_factory=MemoryBudget)

    def __len__(self) -> int:
        return -(-len(self.pictures) // self.block)

    def __getitem__(self, index: int) -> Found:
        found, chosen = Found(), self.pictures[index * self.block : (index + 1) * self.block]
        for is_plain, part in groupby(chosen, key=self._is_plain):
            if is_plain:  # one after another they are the same, and adding up takes longer than looking at them
                names = [name for name, _ in part]
                found += in_bytes(len(names), names[0])
            else:
                found = reduce(add, (self._look(name, path) for name, path in part), found)
        return found

    def _is_plain(self, picture: tuple[str, Path]) -> bool:
        try:
            return is_plain(picture[1], self.reading)
        except Exception:  # told when it is looked at
            return False

    def _look(self, name: str, path: Path) -> Found:
        try:
            return found_in_file(path, name, self.channels, self.max_pixels, self.reading, self.budget)
        except Exception:  # Pillow's plugins raise anything; why it can't be read is told when it is decoded
            return Found(num_files=1, unread=(name,))


def found_in_files(pictures: Sequence[tuple[str, Path]], channels: int, max_pixels: int, reading: Reading) -> Found:
    """What numbers some files hold, looked through by a process a core.

    Args:
        pictures: each file's name in messages, and where it is.
        channels, max_pixels: those of the dataset.
        reading: a given scale, outside of which numbers are counted, and the arrays' layout.
    """
    num_workers = num_cpus() if len(pictures) >= _FEWEST_FOR_WORKERS else 0
    block = min(_MOST_A_BLOCK, max(1, len(pictures) // (_BLOCKS_A_WORKER * max(1, num_workers))))
    blocks = _Folder(pictures, channels, max_pixels, reading, block)
    found = by_processes(blocks, num_workers)
    return reduce(add, watched(found, "looking at the files' numbers", "block", len(blocks)), Found())


def found_in_file(
    path: Path, name: str, channels: int, max_pixels: int, reading: Reading, budget: MemoryBudget
) -> Found:
    """What numbers a file holds; one of 8 bits is not decoded unless the scale is of bytes. Raises as decoding it."""
    scale = reading.scale
    if is_plain(path, reading):
        return in_bytes(1, name)
    with numbers_in(path, channels, reading, max_pixels) as numbers:
        if numbers is not None:
            known = with_data(numbers, tiff_no_data(path))
            found = found_in(known, kind_of(numbers.dtype), scale, name, numbers.shape[2])
            return found + Found(num_later=1, notes=() if known is numbers else ((WITHOUT_DATA, 1, name),))
    with opened(path, max_pixels) as (file, image):
        lost = what_is_lost(file, image, channels)
        later = Found(num_later=int(image.format in LATER_FORMATS), notes=((lost, 1, name),) if lost else ())
        if not is_deep(image) and not reading.scales_bytes:
            return in_bytes(1, name) + later
        with budget.lent(_BYTES_A_PIXEL * image.width * image.height):
            deep = deep_picture(image, partial(again, file, max_pixels))
            found = found_in(_bytes_of(image), "bytes", scale, name) if deep is None else deep.found(scale, name)
            return found + later


def in_bytes(number: int, first: str) -> Found:
    """What so many pictures of 8 bits hold, of which this one is the first."""
    return Found(num_files=number, num_bytes=number, channels=((0, number, first),))


def is_plain(path: Path, reading: Reading) -> bool:
    """Whether a file begins as one of 8 bits, of which nothing more is looked at; raises as reading it."""
    return not reading.scales_bytes and _begins_as_bytes(path)


@dataclass(frozen=True)
class Survey:
    """Looks through files once, one process at a time, and keeps what it has found; who asks again gets that.

    Args:
        place: a file for what is found by this scale.
        look: what numbers the files hold, or those of these names; it is given the scale outside of which they count.
        writes: whether anything is kept.
    """

    place: Callable[[Scale | None], Path]
    look: Callable[[Scale | None, Collection[str] | None], Found]
    writes: bool

    def __call__(self, scale: Scale | None) -> Found:
        """What numbers the files hold, and how many of them lie outside of the scale."""
        # A run that has taken the scale which was found asks for it by name from then on: nothing lies outside of it.
        if scale is not None and not scale.is_of_bytes:
            before = self._kept(None)
            with suppress(ValueError):
                if before is not None and before.scale() == scale:
                    return before
        found = self._kept(scale)
        if found is not None:
            return found
        with ExitStack() as held:
            if self.writes:
                with suppress(OSError):  # it can't be written: nobody else will have found it meanwhile
                    held.enter_context(locked(self.place(scale).parent))
            return self._kept(scale) or self._keep(scale, self.look(scale, None))

    def _kept(self, scale: Scale | None) -> Found | None:
        place = self.place(scale)
        try:
            found = Found.from_dict(load_json(read_text(place)))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if found.unread:  # for want of a package or of a permission, which may be there by now
            again = self.look(scale, frozenset(found.unread))
            if again.unread != found.unread:
                return self._keep(scale, found.but_unread() + again)
        if self.writes:
            with suppress(OSError):
                os.utime(place)  # what clears up the cache goes by when something was used
        return found

    def _keep(self, scale: Scale | None, found: Found) -> Found:
        if self.writes and len(found.unread) <= MOST_UNREAD:
            place = self.place(scale)
            with suppress(OSError):  # it is looked for again the next time
                place.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(place, json.dumps(found.as_dict()))
        return found


def _begins_as_bytes(path: Path) -> bool:
    head = first_bytes(path, 32)
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    is_shallow_png = head.startswith(_PNG) and len(head) > _BIT_DEPTH and head[_BIT_DEPTH] <= 8
    return head.startswith(_OF_BYTES) or is_webp or is_shallow_png


def _bytes_of(image: Image.Image) -> np.ndarray:
    image.load()
    return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
