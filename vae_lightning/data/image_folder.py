"""Any folder or archive of pictures."""

import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, final, get_args

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.archive import ARCHIVE_EXTENSIONS, Unpacker
from vae_lightning.data.array_files import MOST_CHANNELS, is_one_picture
from vae_lightning.data.array_splits import dealt_arrays, labels_of_arrays
from vae_lightning.data.arrays import Arrays, array_member, open_arrays
from vae_lightning.data.augmenting import Given
from vae_lightning.data.cache import cache_folder
from vae_lightning.data.class_names import Label
from vae_lightning.data.decode import array_image, decode_image, stated_size
from vae_lightning.data.decoded_folder import DecodedFolder, FolderDecoder
from vae_lightning.data.fitting import Fit, ImageSize
from vae_lightning.data.image_data import Binarize, ImageDataModule
from vae_lightning.data.labelling import NONE, Labelled, Labelling
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.opening import MAX_PIXELS
from vae_lightning.data.pages import Pages
from vae_lightning.data.picture_files import ALL_EXTENSIONS, ARRAY_EXTENSIONS, EXTENSIONS, NO_ROOT
from vae_lightning.data.range_finding import tell_of_few_levels
from vae_lightning.data.splits import SPLITS, check_fractions
from vae_lightning.data.splitting import Splitting
from vae_lightning.data.tables import unquoted
from vae_lightning.data.values import Layout, Reading, Scale, as_levels, given_scale
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
        max_archive_gb: an archive, or a compressed array, that unpacks to more than so many 10^9 bytes is refused.
        max_archive_files: so is one of more members, or that unpacks to more files and folders.
        own_splits: whether folders that are called train, val and test are the splits.
        split_file: a table, or JSON, that has the split of each picture; goes before such folders.
        group_by: `folder` or a regular expression for pictures that stay in one split; None for each by itself.
        keep_duplicates_together: whether files of the same bytes stay in one split.
        labels: `none`, `auto`, `folders` or a table.
        value_range: how numbers become the 256 levels that images have: `auto`, by one scale for all files, found in
            them; [low, high], which is such a scale; None, as an earlier version did it: each file by its own, and of
            the formats of then alone. Pictures of 8 bits keep their levels, unless the scale is of bytes.
        layout: of arrays; `auto` goes by their shape.
        shown_channels: those that pictures show as red, green and blue where there are neither 1 nor 3; None is the
            first three, and of two the first.

    The root may be a file of arrays as well, .npy, .npz or HDF5, with labels if there are any: then a picture's name is
    that of the array and its number in it.
    """

    accepted_channels = range(1, MOST_CHANNELS + 1)

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
        value_range: Literal["auto"] | Sequence[float] | None = None,
        layout: Layout = "auto",
        shown_channels: Sequence[int] | None = None,
        augmentations: Sequence[Given] = (),
        exclude_labels: Sequence[Label] = (),
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
            augmentations=augmentations,
            exclude_labels=exclude_labels,
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
        self.value_range = value_range
        self.layout: Layout = layout
        self.shown_channels = None if shown_channels is None else tuple(shown_channels)
        self._check_options()
        self._check_values()

    def prepare_data(self) -> None:
        """Unpacks and decodes what the cache does not hold yet; raises UserError naming the config key."""
        _ = self._decoded

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits of the readable pictures, memory-mapped, with their names and any labels."""
        folder = self._decoded
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            pixels = torch.from_numpy(folder.pixels)
        tell_of_few_levels(folder.pixels, folder.readable, self._source(), self.value_range)
        readable = np.flatnonzero(folder.readable).tolist()
        files = [folder.files[row] for row in readable]  # all tiles of a picture go where it goes
        unreadable = [folder.files[row] for row in np.flatnonzero(~folder.readable).tolist()]
        splits, labelled = self._dealt(folder, files, unreadable)
        pages, rows = Pages(folder.pixels, folder.folder), torch.tensor(readable)

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

    def _dealt(self, folder: DecodedFolder, files: list[str], unreadable: list[str]) -> tuple[dict[str, str], Labelled]:
        """The split of each picture, and the labels of them all; a picture stands there once for each of its tiles."""
        if folder.arrays is not None:
            given = {"split_file": self.split_file, "group_by": self.group_by}
            dealt = dealt_arrays(folder.arrays, self._source(), self.val_fraction, self.test_fraction, given)
            return dealt, labels_of_arrays(folder.arrays, self.labels, self._source())
        pictures, left_out = (files, unreadable) if self.fit != "tile" else map(_each_once, (files, unreadable))
        splitting = Splitting(
            self._source(),
            self.val_fraction,
            self.test_fraction,
            self.own_splits,
            self.split_file,
            self.group_by,
            self.keep_duplicates_together,
        )
        with unquoted("split_file", self.read_only):
            splits = splitting(pictures, self._pictures, left_out)
        with unquoted("labels", self.read_only):
            labelled = Labelling(self._source(), self.labels)(pictures, self._pictures, left_out)
        if len(pictures) == len(files):
            return splits, labelled
        numbers = {name: number for number, name in enumerate(pictures)}
        return splits, labelled.of(torch.tensor([numbers[name] for name in files]))

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture, fitted and brought to levels as this dataset's images are."""
        member = None if isinstance(path, Image.Image) else array_member(path)
        if member is not None:
            file, number = member
            facts = file.stat()
            numbers = _opened(file, (facts.st_size, facts.st_mtime_ns), *self._array_options()).image(number)
            levels = as_levels(numbers, self._reading().scale)
            return torch.from_numpy(array_image(levels, self.frame, self.channels, self.fit).copy())
        reading = None if self.value_range is None else self._reading()
        options = self.frame, self.channels, self.max_pixels, None, self.fit, reading
        return torch.from_numpy(decode_image(path, *options).copy())

    @property
    def extensions(self) -> tuple[str, ...]:
        """What names of pictures end in."""
        return EXTENSIONS if self.value_range is None else ALL_EXTENSIONS

    def pictures_in(self, path: Path) -> list[Path]:
        """Those of a file of arrays are called `file.npy[17]`; any other file is one picture."""
        if not path.name.lower().endswith(ARRAY_EXTENSIONS) or not path.is_file():
            return [path]
        if path.suffix.lower() == ".npy" and is_one_picture(path, self.channels, self.layout):
            return [path]
        arrays = open_arrays(path, *self._array_options(f"images: {path}"), with_labels=False)
        return [Path(f"{path}[{number}]") for number in range(len(arrays.parts[0]))]

    @property
    def found(self) -> dict[str, Any]:
        """The range that `auto` has found, where there are files deeper than 8 bits."""
        scale = None if self._decoded.reading is None else self._decoded.reading.scale
        return {} if scale is None or given_scale(self.value_range) is not None else {"value_range": scale.pair}

    def scale(self) -> Scale | None:
        """The one scale of numbers deeper than 8 bits; None where none is known."""
        return self._reading().scale

    def _reading(self) -> Reading:
        """As the data were read, if they are known here; else by what is given."""
        decoded = self.__dict__.get("_decoded")
        known = None if decoded is None else decoded.reading
        return known or Reading(given_scale(self.value_range), self.layout)

    def _array_options(self, source: str = "images") -> tuple[int, Layout, str, int, float]:
        return self.channels, self.layout, source, self.max_pixels, self.max_archive_gb

    def original_sizes(self, most: int = 200) -> list[tuple[int, int]]:
        """Height and width that the files of pictures spread over the folder state, as far as they can be read."""
        if self._decoded.arrays is not None:
            return [part.size for part in self._decoded.arrays.parts]
        files, sizes = dict.fromkeys(self._decoded.files), []
        for name in list(files)[:: -(-len(files) // most)]:
            with suppress(Exception):  # Pillow's plugins raise anything
                sizes.append(stated_size(self._decoded.root / name, self.max_pixels)[::-1])
        return sizes

    @property
    def left_out(self) -> dict[str, int]:
        """Pictures of the folder that are in no split, by the reason."""
        return self._decoded.left_out

    @property
    def unpacked(self) -> Path | None:
        """The folder of the cache that the archive's files lie in."""
        return None if self.archive is None else self._pictures

    @cached_property
    def _decoded(self) -> DecodedFolder:
        """Found once: a run goes on with the pictures that it began with, whatever becomes of their files."""
        folder, (own, found) = self._pictures, self._cache_folders()
        options = self.frame, self.channels, self.max_bad_fraction, self._source(), self.max_pixels, self.fit
        values: dict[str, Any] = {"value_range": self.value_range, "layout": self.layout}
        values |= {"max_archive_gb": self.max_archive_gb, "scratch": own, "with_labels": self.labels != NONE}
        if found is not None and folder.exists():  # else it is the user's own cache that a message is to name
            decoded = FolderDecoder(folder, found, *options, **values).open_valid()
            if decoded is not None:
                return decoded
        return FolderDecoder(folder, own, *options, **values)()

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

    def _check_values(self) -> None:
        given_scale(self.value_range)
        if self.layout not in get_args(Layout):
            raise ValueError(f"layout must be one of {', '.join(get_args(Layout))}, got {self.layout}")
        shown, last = self.shown_channels, self.channels - 1
        if shown is not None and (len(shown) != 3 or not all(0 <= channel <= last for channel in shown)):
            raise ValueError(f"shown_channels must be three from 0 to {last}, as data.channels says, got {list(shown)}")

    def _check_options(self) -> None:
        if self.root is None and self.archive is None:
            raise ValueError(NO_ROOT)
        if self.archive is not None and not self.archive.lower().endswith(ARCHIVE_EXTENSIONS):
            raise ValueError(f"archive must end in {', '.join(ARCHIVE_EXTENSIONS)}, got {self.archive}")
        if not 0 <= self.max_bad_fraction <= 1:
            raise ValueError(f"max_bad_fraction must be from 0 to 1, got {self.max_bad_fraction}")
        check_fractions(self.val_fraction, self.test_fraction)
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


def _each_once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


@lru_cache(maxsize=2)
def _opened(path: Path, facts: tuple[int, int], *options: Any) -> Arrays:
    """A file of arrays, kept open for its next image as long as its facts stay the same."""
    return open_arrays(path, *options, with_labels=False)
