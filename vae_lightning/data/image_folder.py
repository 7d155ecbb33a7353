"""Any folder or archive of pictures."""

import hashlib
import warnings
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.archive import ARCHIVE_EXTENSIONS, Unpacker
from vae_lightning.data.cache import cache_folder
from vae_lightning.data.decode import EXTENSIONS, MAX_PIXELS, decode_image
from vae_lightning.data.decoded_folder import DecodedFolder, FolderDecoder
from vae_lightning.data.image_data import Binarize, ImageDataModule
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.pages import Pages
from vae_lightning.errors import UserError, require_at_least


@final
class ImageFolder(ImageDataModule):
    """The pictures below a folder or in an archive, cropped to squares and split by their names; no labels.

    A picture's split is a function of its path below the root and the two fractions alone: adding files moves
    no other, and neither does the seed.

    Args:
        root: the folder; not needed with `archive`.
        archive: a .zip, .tar, .tar.gz or .tgz file, used in place of `root`.
        cache_dir: holds what is unpacked and decoded; None is `vae_lightning` in the user's cache folder.
        max_bad_fraction: unreadable files are left out; more than this fraction of them is an error.
        max_pixels: a picture that says it has more (height x width) is not decoded, and counts as unreadable.
        val_fraction, test_fraction: the expected shares of these splits.
        max_archive_gb: an archive that unpacks to more than so many 10^9 bytes is refused.
        max_archive_files: so is one of more members, or that unpacks to more files and folders.
    """

    def __init__(
        self,
        *,
        root: str | None = None,
        archive: str | None = None,
        cache_dir: str | None = None,
        max_bad_fraction: float = 0.01,
        max_pixels: int = MAX_PIXELS,
        val_fraction: float = 0.05,
        test_fraction: float = 0.05,
        max_archive_gb: float = 20.0,
        max_archive_files: int = 1_000_000,
        image_size: int = 64,
        channels: int = 3,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        seed: int = 0,
        shuffle: bool = True,
        horizontal_flip: bool = False,
        binarize: Binarize = "none",
    ):
        super().__init__(
            image_size=image_size,
            channels=channels,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            seed=seed,
            shuffle=shuffle,
            horizontal_flip=horizontal_flip,
            binarize=binarize,
        )
        self.root = root
        self.archive = archive
        self.cache_dir = cache_dir
        self.max_bad_fraction = max_bad_fraction
        self.max_pixels = max_pixels
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.max_archive_gb = max_archive_gb
        self.max_archive_files = max_archive_files
        self._check_options()

    def prepare_data(self) -> None:
        """Unpacks and decodes what the cache does not hold yet; raises UserError naming the config key."""
        _ = self._decoded

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits of the readable pictures, memory-mapped, with their names."""
        folder = self._decoded
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            pixels = torch.from_numpy(folder.pixels)
        pages = Pages(folder.pixels)
        return {split: replace(self._split(split, folder, pixels), pages=pages) for split in ("train", "val", "test")}

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture, cropped and resized as this dataset's images are."""
        return torch.from_numpy(decode_image(path, self.image_size, self.channels, self.max_pixels).copy())

    def _split(self, split: str, folder: DecodedFolder, pixels: UInt8[Tensor, "N H W C"]) -> ImageSet:
        readable = np.flatnonzero(folder.readable).tolist()
        fractions = self.val_fraction, self.test_fraction
        rows = [row for row in readable if split_of(folder.names[row], *fractions) == split]
        if not rows:
            advice = "add images" if split == "train" else f"raise data.{split}_fraction or add images"
            raise UserError(f"{self._source()}: of {len(readable)} images none fell to {split}; {advice}")
        names = tuple(folder.names[row] for row in rows)
        return ImageSet(pixels, torch.tensor(rows), None, names)

    @cached_property
    def _decoded(self) -> DecodedFolder:
        """Found once: a run goes on with the pictures that it began with, whatever becomes of their files."""
        own, found = self._cache_folders()
        folder = self._folder(own, found)
        options = self.image_size, self.channels, self.max_bad_fraction, self._source(), self.max_pixels
        if found is not None and folder.is_dir():  # else it is the user's own cache that a message is to name
            decoded = FolderDecoder(folder, found, *options).open_valid()
            if decoded is not None:
                return decoded
        return FolderDecoder(folder, own, *options)()

    def _cache_folders(self) -> tuple[Path, Path | None]:
        """Where what is made goes, and another that is only looked into: one that a stranger's config names."""
        if self.cache_dir is None or "cache_dir" not in self.read_only:
            return cache_folder(self.cache_dir), None
        return cache_folder(None), cache_folder(self.cache_dir)

    def _folder(self, own: Path, found: Path | None) -> Path:
        if self.archive is not None:
            limits = self.max_archive_gb, self.max_archive_files
            return Unpacker(Path(self.archive).expanduser(), own, *limits, found)()
        assert self.root is not None  # the constructor saw to it
        return Path(self.root).expanduser()

    def _source(self) -> str:
        return f"data.root={self.root}" if self.archive is None else f"data.archive={self.archive}"

    def _check_options(self) -> None:
        if self.root is None and self.archive is None:
            raise ValueError(f"root must be a folder of images ({', '.join(EXTENSIONS)}); or give archive")
        if self.archive is not None and not self.archive.lower().endswith(ARCHIVE_EXTENSIONS):
            raise ValueError(f"archive must end in {', '.join(ARCHIVE_EXTENSIONS)}, got {self.archive}")
        if not 0 <= self.max_bad_fraction <= 1:
            raise ValueError(f"max_bad_fraction must be from 0 to 1, got {self.max_bad_fraction}")
        for name in ("val_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.val_fraction + self.test_fraction >= 1:
            both = f"{self.val_fraction} + {self.test_fraction}"
            raise ValueError(f"val_fraction and test_fraction must leave something to train on, got {both}")
        if self.max_archive_gb <= 0:
            raise ValueError(f"max_archive_gb must be positive, got {self.max_archive_gb}")
        require_at_least("max_pixels", self.max_pixels, 1)
        require_at_least("max_archive_files", self.max_archive_files, 1)


def split_of(name: str, val_fraction: float, test_fraction: float) -> str:
    """The split of the picture with this path below the root, by a hash: the same on every machine."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < test_fraction:
        return "test"
    return "val" if position < test_fraction + val_fraction else "train"
