"""CelebA's pictures, in a folder or still in their archive, cropped and decoded on all cores."""

import hashlib
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch.utils.data import Dataset

from vae_lightning.data.archive_members import CountedEntries, TooMuchError, open_zipped
from vae_lightning.data.decode import decode_image, stated_size
from vae_lightning.data.fitting import Fit
from vae_lightning.data.opening import picture_of
from vae_lightning.data.processes import by_processes
from vae_lightning.disk.files import check_regular
from vae_lightning.errors import UserError
from vae_lightning.machine.hardware import num_cpus

CROP = 148
ALIGNED = 178  # pixels across an aligned picture
_FORMATS = ("JPEG", "PNG")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_MOST_BYTES = 10**7  # of a picture in an archive
_MOST_MEMBERS = 1_000_000
_BLOCK_BYTES = 2**20  # of pixels that are decoded at a time
_FEWEST_FOR_WORKERS = 1000  # pictures


@dataclass(frozen=True)
class FaceCrop:
    """What is kept of a picture: the square in its middle, resized.

    Args:
        crop: how many of 178 pixels of its shorter side that is.
        frame: height and width of the result.
        channels: 1 or 3.
        fit: how the square becomes an image of other proportions, see `fitting.fitted`.
    """

    crop: int
    frame: tuple[int, int]
    channels: int
    fit: Fit

    def __call__(self, picture: Path | Image.Image) -> UInt8[np.ndarray, "H W C"]:
        """That part of a picture; raises what Pillow raises."""
        square = decode_image(picture, min(stated_size(picture)), 3)
        side = max(1, round(len(square) * self.crop / ALIGNED))
        first = (len(square) - side) // 2
        middle = Image.fromarray(np.ascontiguousarray(square[first : first + side, first : first + side]))
        return decode_image(middle, self.frame, self.channels, fit=self.fit)


@dataclass(frozen=True)
class FaceFiles:
    """The pictures of a folder, or of one folder in it, or of a .zip of such.

    Args:
        place: the folder or the archive.
        source: how messages call it, as `data.root=data`.
    """

    place: Path
    source: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Those of all pictures without their folders, in order."""
        return tuple(os.path.basename(path) for path in self.paths)

    @property
    def key(self) -> tuple[object, ...]:
        """What tells these files from others: where they lie, their names, and when the last one came."""
        names = hashlib.sha256("\0".join(self.paths).encode(errors="surrogateescape")).hexdigest()
        facts = self.place.stat()
        return str(self.place.resolve()), names, facts.st_mtime_ns, facts.st_size if self.is_archive else 0

    def decoded(self, crop: FaceCrop) -> Iterator[UInt8[np.ndarray, "n H W C"]]:
        """All pictures in order, a block at a time; raises UserError that names the first that can't be read."""
        num_workers = num_cpus() if len(self.paths) >= _FEWEST_FOR_WORKERS else 0
        size = max(1, _BLOCK_BYTES // (math.prod(crop.frame) * crop.channels))
        for block in by_processes(_FaceBlocks(self, size, crop), num_workers):
            if isinstance(block, str):
                raise UserError(f"{self.source}: {block}; unpack img_align_celeba.zip anew")
            yield block

    @property
    def is_archive(self) -> bool:
        """Whether they are still packed."""
        return self.place.suffix == ".zip"

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Of the files, or in the archive, in the order of the names; raises UserError where there are none."""
        try:
            paths = self._in_archive() if self.is_archive else self._in_folder(self.place)
        except TooMuchError as error:
            raise UserError(f"{self.source}: {self.place} has more than {_MOST_MEMBERS:,} members") from error
        except Exception as error:  # Python's reader raises anything on a damaged archive
            raise UserError(f"{self.source}: {self.place} can't be read ({error})") from error
        if not paths:
            raise UserError(f"{self.source}: no pictures are in {self.place}")
        return tuple(sorted(paths, key=os.path.basename))

    def _in_folder(self, folder: Path) -> list[str]:
        with os.scandir(folder) as entries:
            found = [entry.path for entry in entries if not entry.name.startswith(".")]
        pictures = [path for path in found if path.lower().endswith(_SUFFIXES)]
        return pictures if pictures or len(found) != 1 else self._in_folder(Path(found[0]))  # as Kaggle packs it

    def _in_archive(self) -> list[str]:
        check_regular(self.place.resolve())
        with CountedEntries(self.place, _MOST_MEMBERS) as file, zipfile.ZipFile(file) as archive:
            names = (name for name in archive.namelist() if not os.path.basename(name).startswith("."))
            return [name for name in names if name.lower().endswith(_SUFFIXES)]


class _FaceBlocks(Dataset[Any]):
    """Getting a block decodes it, or says why one of its pictures can't be read."""

    def __init__(self, files: FaceFiles, block_size: int, crop: FaceCrop):
        self.files = files
        self.paths = files.paths
        self.block_size = block_size
        self.crop = crop

    def __len__(self) -> int:
        return -(-len(self.paths) // self.block_size)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "n H W C"] | str:
        paths = self.paths[index * self.block_size : (index + 1) * self.block_size]
        pictures = []
        with ExitStack() as stack:
            archive = stack.enter_context(zipfile.ZipFile(self.files.place)) if self.files.is_archive else None
            for path in paths:
                try:
                    picture = Path(path) if archive is None else stack.enter_context(_packed_picture(archive, path))
                    pictures.append(self.crop(picture))
                except Exception as error:  # Pillow's plugins raise anything on a damaged file
                    return f"{os.path.basename(path)} can't be read ({' '.join(str(error).split())})"
        return np.stack(pictures)


def _packed_picture(archive: zipfile.ZipFile, name: str) -> Image.Image:
    with open_zipped(archive, archive.getinfo(name)) as member:
        content = member.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError("it is larger than 10 MB")
    return picture_of(content, _FORMATS)
