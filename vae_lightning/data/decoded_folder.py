"""A folder of pictures, decoded once into one memory-mapped array."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from tqdm import tqdm

from vae_lightning.data.cache import build_once, cache_key
from vae_lightning.data.decode import EXTENSIONS
from vae_lightning.data.decoded_blocks import PixelFile
from vae_lightning.errors import UserError

logger = logging.getLogger(__name__)

_FORMAT = 1  # of the cache; to be raised when decoding changes
_MEGABYTE = 10**6


class PictureFile(NamedTuple):
    """A file below the root, and what tells whether it has changed."""

    name: str  # relative to the root, with forward slashes
    size: int  # bytes
    modified: int  # nanoseconds


@dataclass(frozen=True)
class DecodedFolder:
    """The pictures of a folder in the order of their names; unreadable ones are black and not `readable`."""

    pixels: UInt8[np.memmap, "N H W C"]  # memory-mapped, read-only
    readable: Bool[np.ndarray, " N"]
    names: tuple[str, ...]


@dataclass(frozen=True)
class FolderDecoder:
    """Decodes a folder of pictures into `cache_dir`, or finds there what was decoded before.

    Args:
        root: the folder, searched with its subfolders; hidden files and `__MACOSX` are left out.
        cache_dir: holds one folder for each state of the root and choice of options.
        image_size: height and width in pixels.
        channels: 1 or 3.
        max_bad_fraction: more unreadable files than this are an error.
        source: how messages call the root, as `data.root=faces`.
    """

    root: Path
    cache_dir: Path
    image_size: int
    channels: int
    max_bad_fraction: float
    source: str

    def __call__(self) -> DecodedFolder:
        """The decoded folder; raises UserError if there are no pictures, too many bad ones, or no space."""
        files = self._files()
        key = cache_key(_FORMAT, str(self.root.resolve()), self.image_size, self.channels, files)
        folder = build_once(self.cache_dir / f"images-{key}", partial(self._build, files=files, key=key))
        try:
            # Not mode "c": the kernel may refuse to promise memory for a private copy larger than RAM.
            pixels = np.load(folder / "pixels.npy", mmap_mode="r")
            readable = np.load(folder / "readable.npy")
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"data.cache_dir={self.cache_dir}: {folder.name} is bad; delete it") from error
        self._check_readable(readable, key)
        return DecodedFolder(pixels, readable, tuple(file.name for file in files))

    def _files(self) -> list[PictureFile]:
        if not self.root.is_dir():
            raise UserError(f"{self.source}: there is no folder {self.root.absolute()}")
        try:
            files = sorted(find_pictures(self.root))
        except OSError as error:
            raise UserError(f"{self.source}: cannot be searched ({error})") from error
        if not files:
            raise UserError(f"{self.source}: no images found; accepted are {', '.join(EXTENSIONS)}")
        return files

    def _build(self, folder: Path, files: list[PictureFile], key: str) -> None:
        shape = (len(files), self.image_size, self.image_size, self.channels)
        self._check_space(int(np.prod(shape, dtype=np.int64)))
        logger.info("decoding %d images of %s into %s", len(files), self.root, self.cache_dir)
        path = folder / "pixels.npy"
        with path.open("wb") as file:
            # Not written through a memory map, which would fill RAM, and kill the process if the disk is full.
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        reasons = self._decode(files, PixelFile(path, path.stat().st_size, self.image_size, self.channels))
        readable = np.array([number not in reasons for number in range(len(files))])
        np.save(folder / "readable.npy", readable)
        if reasons:
            lines = [f"{files[number].name!r}: {reason}\n" for number, reason in reasons.items()]
            self._bad_files(key).write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
        self._check_readable(readable, key)

    def _decode(self, files: list[PictureFile], pixels: PixelFile) -> dict[int, str]:
        """Fill the file; why pictures could not be read, by their number."""
        reasons: dict[int, str] = {}
        with tqdm(total=len(files), desc="decoding images", unit="img", disable=None) as progress:
            for block in pixels.decode([self.root / file.name for file in files]):
                if block.write_error is not None:
                    raise block.write_error
                reasons |= block.reasons
                progress.update(len(block.numbers))
        with pixels.path.open("r+b") as file:
            os.fsync(file.fileno())  # or a power cut could leave the name without the bytes
        return reasons

    def _check_space(self, needed: int) -> None:
        free = disk_usage(self.cache_dir).free
        if free < needed:
            raise UserError(
                f"data.cache_dir={self.cache_dir}: the decoded images need {-(-needed // _MEGABYTE)} MB and "
                f"{free // _MEGABYTE} MB are free; choose another folder"
            )

    def _check_readable(self, readable: Bool[np.ndarray, " N"], key: str) -> None:
        num_bad = int((~readable).sum())
        if num_bad == 0:
            return
        report = f"{num_bad} of {len(readable)} images cannot be read, listed in {self._bad_files(key)}"
        if num_bad > self.max_bad_fraction * len(readable):
            raise UserError(f"data.max_bad_fraction={self.max_bad_fraction}: {report}; mend or remove them")
        logger.warning("%s and left out", report)

    def _bad_files(self, key: str) -> Path:
        return self.cache_dir / f"bad_files-{key}.txt"


def find_pictures(root: Path) -> Iterator[PictureFile]:
    """All picture files below the root, in any order; links to folders are followed, but not in circles."""
    yield from _find(str(root), "", frozenset())


def _find(folder: str, prefix: str, ancestors: frozenset[str]) -> Iterator[PictureFile]:
    here = os.path.realpath(folder)
    if here in ancestors:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if entry.is_dir():
                yield from _find(entry.path, f"{prefix}{entry.name}/", ancestors | {here})
            elif entry.name.lower().endswith(EXTENSIONS) and entry.is_file():
                status = entry.stat()
                yield PictureFile(prefix + entry.name, status.st_size, status.st_mtime_ns)
