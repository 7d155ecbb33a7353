"""Pixels that are made once, block by block, into a folder of the cache, and memory-mapped from there."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from vae_lightning.data.cache import build_once, build_unless, cache_folder, cache_key
from vae_lightning.data.packed_bits import PER_BYTE, packed
from vae_lightning.data.pages import Pages
from vae_lightning.data.pixel_cache import PIXELS, READABLE, DamagedError, open_cached, write_checksums
from vae_lightning.data.provenance import note_use
from vae_lightning.data.waiting import counting
from vae_lightning.errors import UserError

logger = logging.getLogger(__name__)

_MEGABYTE = 10**6

Blocks = Callable[[], Iterator[UInt8[np.ndarray, "n H W C"]]]


@dataclass(frozen=True)
class Cache:
    """Where such folders lie.

    Args:
        cache_dir: the configured folder; None is `vae_lightning` in the user's cache folder.
        is_read_only: it is only looked into, for a stranger's config names it; what is made goes to the user's own.
    """

    cache_dir: str | None
    is_read_only: bool = False

    def own(self) -> Path:
        """Where what is made goes."""
        return cache_folder(None if self.is_read_only else self.cache_dir)

    def folder(self, name: str) -> Path:
        """The folder of this name: one that is there, or where it is to be."""
        looked_into = cache_folder(self.cache_dir) / name
        return looked_into if looked_into.is_dir() else self.own() / name


@dataclass(frozen=True)
class StoredPixels:
    """One array of pixels in a folder of the cache.

    Args:
        cache: where it is looked for and made.
        kind: what the folder's name begins with.
        what: they are, for messages.
        key: what they depend on, but for their shape.
        shape: [N, H, W, C].
        is_packed: whether they are binary, of one channel, and kept as `packed` bits, [N, H, W/8, 1].
    """

    cache: Cache
    kind: str
    what: str
    key: tuple[object, ...]
    shape: tuple[int, int, int, int]
    is_packed: bool = False

    @property
    def stored_shape(self) -> tuple[int, int, int, int]:
        """Of the array that is kept."""
        num_images, height, width, channels = self.shape
        return num_images, height, width // PER_BYTE if self.is_packed else width, channels

    @property
    def folder(self) -> Path:
        """Where they lie, or are to lie."""
        return self.cache.folder(f"{self.kind}-{cache_key(*self.key, self.stored_shape)}")

    def __call__(self, blocks: Blocks) -> tuple[UInt8[Tensor, "N H _ C"], Pages]:
        """The pixels, memory-mapped, and the pages to be told of what is read; made of the blocks at the first call.

        Raises UserError naming data.cache_dir where there is no room for them, or it can't be written.
        """
        folder = self.folder
        if not folder.is_dir() or folder.parent == self.cache.own():
            build_once(folder, lambda target: self._build(target, blocks))
        if folder.parent == self.cache.own():
            num_images, height, width, _ = self.shape
            note_use(folder, self.what, f"{num_images:,} of {width} x {height}")
        try:
            return _mapped(self._open(folder), folder)
        except DamagedError as error:
            logger.warning("%s: is damaged (%s) and made anew", folder, error)
            mended = self.cache.own() / folder.name
            return _mapped(self._mended(mended, blocks), mended)

    def _open(self, folder: Path) -> np.memmap:
        return open_cached(folder, self.stored_shape)[0]

    def _mended(self, folder: Path, blocks: Blocks) -> np.memmap:
        build_unless(self._is_good, folder, lambda target: self._build(target, blocks))
        try:
            return self._open(folder)
        except DamagedError as error:
            raise UserError(
                f"data.cache_dir={folder.parent}: {folder.name} is damaged as soon as it is made"
            ) from error

    def _is_good(self, folder: Path) -> bool:
        try:
            self._open(folder)
        except DamagedError:
            return False
        return True

    def _build(self, folder: Path, blocks: Blocks) -> None:
        needed, free = int(np.prod(self.stored_shape, dtype=np.int64)), disk_usage(folder).free
        told = f"{self.what} take {-(-needed // _MEGABYTE):,} MB"
        if free < needed:
            raise UserError(
                f"data.cache_dir={folder.parent}: {told}, and {free // _MEGABYTE:,} MB are free; choose another folder"
            )
        logger.info("%s, made once, in %s", told, folder.parent)
        with (folder / PIXELS).open("wb") as file:
            # Not through a memory map, which would fill RAM, and kill the process if the disk is full.
            header = {"descr": "|u1", "fortran_order": False, "shape": self.stored_shape}
            np.lib.format.write_array_header_1_0(file, header)
            with counting(f"making {self.what}", "img", self.shape[0]) as count:
                left = self.shape[0]
                for block in blocks():
                    file.write(np.ascontiguousarray(packed(block) if self.is_packed else block).data)
                    count(len(block))
                    left -= len(block)
            assert left == 0, "as many images as were told"
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the name without the bytes
        np.save(folder / READABLE, np.ones(self.shape[0], np.bool_))
        write_checksums(folder)


def _mapped(pixels: np.memmap, folder: Path) -> tuple[Tensor, Pages]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(pixels), Pages(pixels, folder)
