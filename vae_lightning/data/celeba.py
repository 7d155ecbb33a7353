"""CelebA: aligned faces with forty attributes, from a folder or the archive as it comes."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import final

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.augmenting import Given
from vae_lightning.data.class_names import Label
from vae_lightning.data.cropped_faces import CROP, FaceCrop, FaceFiles
from vae_lightning.data.face_tables import FaceTable, read_table
from vae_lightning.data.fitting import FitInMemory, ImageSize
from vae_lightning.data.image_data import Binarize, ImageDataModule
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.pages import Pages
from vae_lightning.data.splits import SPLITS
from vae_lightning.data.stored_pixels import Cache, StoredPixels
from vae_lightning.data.tables import unquoted
from vae_lightning.errors import UserError, require_at_least, require_at_most

_PARTITION = "list_eval_partition"
_ATTRIBUTES = "list_attr_celeba"
_FACES = "img_align_celeba"
_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
_FORMAT = 1  # of the cache; to be raised when decoding changes


@final
class CelebA(ImageDataModule):
    """202,599 faces with 40 attributes, 162,770 / 19,867 / 19,962 by the official partition, in which nobody is twice.

    Of each aligned picture of 178 x 218 the middle 148 x 148 is kept and resized, as is usual. `root` holds `celeba` as
    torchvision has it: `img_align_celeba` with the pictures, or that as a .zip, list_eval_partition.txt, and
    list_attr_celeba.txt (or .csv, as on Kaggle). Liu, Luo, Wang and Tang, arXiv 1411.7766.

    Args:
        root: the folder that holds `celeba`, or that is it.
        label: an attribute that becomes the labels, 0 without and 1 with it, as Smiling; None for no labels.
        cache_dir: holds the decoded pictures; None is `vae_lightning` in the user's cache folder.
        crop: how many pixels of the aligned picture's width and height are kept, 1 to 178.
    """

    def __init__(
        self,
        *,
        root: str = "data",
        label: str | None = None,
        cache_dir: str | None = None,
        crop: int = CROP,
        image_size: ImageSize = 64,
        channels: int = 3,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        seed: int = 0,
        shuffle: bool = True,
        horizontal_flip: bool = False,
        binarize: Binarize = "none",
        fit: FitInMemory = "crop",
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
        require_at_least("crop", crop, 1)
        require_at_most("crop", crop, 178)
        self.root = root
        self.label = label
        self.cache_dir = cache_dir
        self.crop = crop

    def prepare_data(self) -> None:
        """Decodes the pictures unless the cache has them; raises UserError naming data.root."""
        self._check_label()
        _ = self._pixels

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits, memory-mapped, with names, the attributes as factors, and labels if one is chosen."""
        self._check_label()
        pixels, pages = self._pixels
        names, attributes = self._files.names, self._attributes
        factors = None if attributes is None else attributes.of(names)
        splits = {}
        for number, split in enumerate(SPLITS):  # as the file counts them
            rows = (self._partition.of(names)["partition"] == number).nonzero()[:, 0]
            if not len(rows):
                raise UserError(f"{self._source}: of {len(names):,} pictures none is of {split}, by {_PARTITION}")
            own = None if factors is None else {name: values[rows] for name, values in factors.items()}
            labels = None if own is None or self.label is None else own[self.label]
            classes = None if labels is None else (f"not {self.label}", str(self.label))
            called = tuple(names[row] for row in rows.tolist())
            splits[split] = ImageSet(pixels, rows, labels, called, pages, factors=own, class_names=classes)
        return splits

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture: the same share of its middle, resized as this dataset's images are."""
        return torch.from_numpy(self._crop(path).copy())

    @property
    def _crop(self) -> FaceCrop:
        return FaceCrop(self.crop, self.frame, self.channels, self.fit)

    @property
    def _source(self) -> str:
        return f"data.root={self.root}"

    @cached_property
    def _folder(self) -> Path:
        root = Path(self.root).expanduser().absolute()
        folder = root if (root / _FACES).is_dir() or (root / f"{_FACES}.zip").is_file() else root / "celeba"
        has_faces = (folder / _FACES).is_dir() or (folder / f"{_FACES}.zip").is_file()
        if not has_faces or _table_in(folder, _PARTITION) is None:
            raise UserError(
                f"{self._source}: CelebA is not in {folder}, and is not downloaded, for it lies on Google Drive; get "
                f"{_FACES}.zip, {_PARTITION}.txt and {_ATTRIBUTES}.txt from {_PAGE} and put them there"
            )
        return folder

    @cached_property
    def _files(self) -> FaceFiles:
        folder = self._folder / _FACES
        files = FaceFiles(folder if folder.is_dir() else folder.with_suffix(".zip"), self._source)
        self._partition.check_covers(files.names)
        missing = len(self._partition.names - set(files.names))
        if missing:
            self._partition.tell_missing(missing)
        return files

    @cached_property
    def _partition(self) -> FaceTable:
        path = _table_in(self._folder, _PARTITION)
        assert path is not None  # the folder was found by it
        with unquoted("root", self.read_only):
            return read_table(path, self._source, {"0": 0, "1": 1, "2": 2}, ["partition"])

    @cached_property
    def _attributes(self) -> FaceTable | None:
        path = _table_in(self._folder, _ATTRIBUTES)
        if path is None:
            return None
        with unquoted("root", self.read_only):
            table = read_table(path, self._source, {"-1": 0, "1": 1})
        table.check_covers(self._files.names)
        return table

    def _check_label(self) -> None:
        if self.label is None:
            return
        if self._attributes is None:
            raise UserError(
                f"data.label={self.label}: {_ATTRIBUTES}.txt is not in {self._folder}; get it from {_PAGE}, or leave "
                "out data.label"
            )
        if self.label not in self._attributes.columns:
            raise UserError(f"data.label={self.label}: valid here: {', '.join(self._attributes.columns)}")

    @cached_property
    def _pixels(self) -> tuple[UInt8[Tensor, "N H W C"], Pages]:
        files = self._files
        shape = (len(files.names), *self.frame, self.channels)
        cache = Cache(self.cache_dir, "cache_dir" in self.read_only)
        key = (_FORMAT, self.crop, self.fit, *files.key)
        stored = StoredPixels(cache, "celeba", "the faces", key, shape)
        return stored(lambda: files.decoded(self._crop))


def _table_in(folder: Path, name: str) -> Path | None:
    return next((path for suffix in (".txt", ".csv") if (path := folder / f"{name}{suffix}").is_file()), None)
