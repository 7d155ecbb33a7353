"""Any folder or archive of pictures."""

import re
import warnings
from contextlib import suppress
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
from vae_lightning.data.decode import EXTENSIONS, MAX_PIXELS, decode_image, stated_size
from vae_lightning.data.decoded_folder import DecodedFolder, FolderDecoder
from vae_lightning.data.fitting import Fit, ImageSize
from vae_lightning.data.image_data import Binarize, ImageDataModule
from vae_lightning.data.labelling import NONE, Labelling
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.pages import Pages
from vae_lightning.data.splitting import SPLITS, Splitting
from vae_lightning.errors import require_at_least


@final
class ImageFolder(ImageDataModule):
    """The pictures below a folder or in an archive, brought to one size and split by their names, or as somebody says.

    A picture's split is a function of its path below the root and the two fractions alone: adding files moves
    no other, and neither does the seed. Folders, a file and groups that say otherwise are those of `Splitting`, labels
    those of `Labelling`; without the arguments that name them there are none. With `fit="tile"` each picture is cut
    into as many whole images as fit into it side by side, at its own resolution, all of them in one split; their names
    are as `a.png#0,1`, by row and column.

    Args:
        root: the folder; not needed with `archive`.
        archive: a .zip, .tar, .tar.gz or .tgz file, used in place of `root`.
        cache_dir: holds what is unpacked and decoded; None is `vae_lightning` in the user's cache folder.
        max_bad_fraction: unreadable files are left out; more than this fraction of them is an error.
        max_pixels: a picture that says it has more (height x width) is not decoded, and counts as unreadable.
        val_fraction, test_fraction: the expected shares of these splits.
        max_archive_gb: an archive that unpacks to more than so many 10^9 bytes is refused.
        max_archive_files: so is one of more members, or that unpacks to more files and folders.
        own_splits: whether folders that are called train, val and test are the splits.
        split_file: a table, or JSON, that has the split of each picture; goes before such folders.
        group_by: `folder` or a regular expression for pictures that stay in one split; None for each by itself.
        keep_duplicates_together: whether files of the same bytes stay in one split.
        labels: `none`, `auto`, `folders` or a table.
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
        image_size: ImageSize = 64,
        channels: int = 3,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        seed: int = 0,
        shuffle: bool = True,
        horizontal_flip: bool = False,
        binarize: Binarize = "none",
        own_splits: bool = False,
        split_file: str | None = None,
        group_by: str | None = None,
        keep_duplicates_together: bool = False,
        labels: str | None = NONE,
        fit: Fit = "crop",
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
            fit=fit,
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
        self.own_splits = own_splits
        self.split_file = split_file
        self.group_by = group_by
        self.keep_duplicates_together = keep_duplicates_together
        self.labels = NONE if labels is None else labels
        self._check_options()

    def prepare_data(self) -> None:
        """Unpacks and decodes what the cache does not hold yet; raises UserError naming the config key."""
        _ = self._decoded

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits of the readable pictures, memory-mapped, with their names and any labels."""
        folder = self._decoded
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            pixels = torch.from_numpy(folder.pixels)
        readable = np.flatnonzero(folder.readable).tolist()
        files = [folder.files[row] for row in readable]  # all tiles of a picture go where it goes
        unreadable = [folder.files[row] for row in np.flatnonzero(~folder.readable).tolist()]
        splits = self._splitting()(files, self._pictures, unreadable)
        labelled = Labelling(self._source(), self.labels)(files, self._pictures, unreadable)
        pages, rows = Pages(folder.pixels), torch.tensor(readable)

        def split(wanted: str) -> ImageSet:
            chosen = torch.tensor([index for index, file in enumerate(files) if splits[file] == wanted])
            known = labelled.of(chosen)
            return ImageSet(
                pixels,
                rows[chosen],
                known.labels,
                tuple(folder.names[readable[index]] for index in chosen.tolist()),
                pages,
                factors=known.factors,
                class_names=known.class_names,
                factor_names=known.factor_names,
            )

        return {wanted: split(wanted) for wanted in SPLITS}

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture, cropped and resized as this dataset's images are."""
        return torch.from_numpy(decode_image(path, self.frame, self.channels, self.max_pixels, fit=self.fit).copy())

    def original_sizes(self, most: int = 200) -> list[tuple[int, int]]:
        """Height and width that the files of pictures spread over the folder state, as far as they can be read."""
        files, sizes = dict.fromkeys(self._decoded.files), []
        for name in list(files)[:: -(-len(files) // most)]:
            with suppress(Exception):  # Pillow's plugins raise anything
                sizes.append(stated_size(self._decoded.root / name, self.max_pixels)[::-1])
        return sizes

    @property
    def left_out(self) -> dict[str, int]:
        """Pictures of the folder that are in no split, by the reason."""
        return self._decoded.left_out

    def _splitting(self) -> Splitting:
        return Splitting(
            self._source(),
            self.val_fraction,
            self.test_fraction,
            self.own_splits,
            self.split_file,
            self.group_by,
            self.keep_duplicates_together,
        )

    @cached_property
    def _decoded(self) -> DecodedFolder:
        """Found once: a run goes on with the pictures that it began with, whatever becomes of their files."""
        folder, (own, found) = self._pictures, self._cache_folders()
        options = self.frame, self.channels, self.max_bad_fraction, self._source(), self.max_pixels, self.fit
        if found is not None and folder.is_dir():  # else it is the user's own cache that a message is to name
            decoded = FolderDecoder(folder, found, *options).open_valid()
            if decoded is not None:
                return decoded
        return FolderDecoder(folder, own, *options)()

    @cached_property
    def _pictures(self) -> Path:
        """Where their files lie."""
        return self._folder(*self._cache_folders())

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
        for name in ("group_by", "split_file", "labels"):
            if getattr(self, name) == "":
                raise ValueError(f"{name} must not be empty")
        try:
            re.compile(self.group_by or "")
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(
                f"group_by must be folder or a regular expression, got {self.group_by} ({error})"
            ) from error
