"""MedMNIST: medical pictures in NumPy's .npz files, downloaded from Zenodo by the checksums that its package knows."""

import importlib.util
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, final, get_args

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.augmenting import Given
from vae_lightning.data.class_names import Label
from vae_lightning.data.colour import colour_pixels, decode_colour
from vae_lightning.data.fetching import RemoteFile
from vae_lightning.data.fitting import FitInMemory, ImageSize
from vae_lightning.data.image_data import Binarize
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.named_set import DAMAGES, NamedSet
from vae_lightning.data.npz import NpzFile
from vae_lightning.data.pages import Pages
from vae_lightning.data.resize import grey_pixels
from vae_lightning.data.splits import SPLITS
from vae_lightning.data.stored_pixels import Cache, StoredPixels
from vae_lightning.errors import UserError

logger = logging.getLogger(__name__)

Size = Literal[28, 64, 128, 224]

_MOST_IN_RAM = 500_000_000  # bytes of pixels; more are kept in the cache
_FORMAT = 1  # of that; to be raised when resizing changes


@final
class MedMNIST(NamedSet):
    """One of MedMNIST's twelve sets of medical pictures, with official splits; labels, or several findings as factors.

    Large ones are made once in the cache, others are read into RAM. Yang et al., Scientific Data 10, 2023.

    Args:
        root: the folder that holds `medmnist` with the .npz file, or into which it is downloaded; or such a file.
        name: of the set, as pathmnist.
        size: of the pictures in the file, in pixels.
        cache_dir: holds what is too large for RAM; None is `vae_lightning` in the user's cache folder.
    """

    title = "MedMNIST"
    below = "medmnist"

    def __init__(
        self,
        *,
        root: str = "data",
        name: str = "pathmnist",
        size: Size = 28,
        cache_dir: str | None = None,
        image_size: ImageSize = 28,
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
            root=root,
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
        if size not in get_args(Size):
            raise ValueError(f"size must be one of {', '.join(map(str, get_args(Size)))}, got {size}")
        if not name.isidentifier():
            raise ValueError(f"name must be that of a set, as pathmnist, got {name}")
        self.dataset_name = name
        self.size = size
        self.cache_dir = cache_dir
        self.title = f"MedMNIST's {name}"
        self.needed = (f"{name}.npz" if size == 28 else f"{name}_{size}.npz",)

    @property
    def path(self) -> Path:
        """The .npz file."""
        given = Path(self.root).expanduser().absolute()
        return given if given.suffix == ".npz" else self.raw_folder / self.needed[0]

    def is_complete(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    def prepare_data(self) -> None:
        """Downloads the file unless it is there; raises UserError naming data.root or data.name."""
        if self.path.suffix == ".npz" and self.root.endswith(".npz") and not self.path.exists():
            raise UserError(f"data.root={self.root}: there is no such file")
        super().prepare_data()
        _ = self._pixels

    def remote_files(self) -> list[RemoteFile]:
        """One file, where the package says that it lies."""
        known = _known_sets()
        if known is None:
            raise UserError(
                f"data.root={self.root}: {self.needed[0]} is not in {self.raw_folder}, and where it lies the package "
                "medmnist knows: pip install 'vae-lightning[medmnist]', or put the file there"
            )
        if self.dataset_name not in known or self.dataset_name.endswith("3d"):
            flat = ", ".join(name for name in known if not name.endswith("3d"))
            raise UserError(f"data.name={self.dataset_name}: is no set of pictures of MedMNIST; valid here: {flat}")
        facts, ending = known[self.dataset_name], "" if self.size == 28 else f"_{self.size}"
        pixels = sum(facts["n_samples"].values()) * facts["n_channels"] * self.size**2
        return [RemoteFile(self.needed[0], (facts[f"url{ending}"],), facts[f"MD5{ending}"], pixels)]

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits, with labels, or with factors where a picture may have several findings."""
        pixels, pages = self._pixels
        names, counts = self._names(), [len(self._labels[split]) for split in SPLITS]
        parts = torch.arange(sum(counts)).split(counts)
        return {
            split: _as_set(ImageSet(pixels, rows, None, pages=pages), self._labels[split], names)
            for split, rows in zip(SPLITS, parts, strict=True)
        }

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture, cropped and resized as this dataset's images are."""
        return decode_colour(path, self.frame, self.channels, self.fit)

    @cached_property
    def _labels(self) -> dict[str, np.ndarray]:
        """What stands beside the images of each split, [N, number of facts]."""
        try:
            with NpzFile(self.path) as file:
                found = {split: file.array(f"{split}_labels") for split in SPLITS}
                for split, labels in found.items():
                    self._check_images(file, split, labels)
        except DAMAGES as error:
            raise self._no_set(error) from error
        return found

    def _check_images(self, file: NpzFile, split: str, labels: np.ndarray) -> None:
        header = file.headers.get(f"{split}_images")
        if header is None or labels.ndim != 2 or labels.dtype.kind not in "iu" or not labels.size or labels.min() < 0:
            raise ValueError(f"it has no {split}_images, or no numbers as {split}_labels")
        shape, is_flat = header.shape, len(header.shape) == 3 or header.shape[3:] == (3,)
        if header.dtype != np.uint8 or shape[0] != len(labels) or not is_flat or shape[1] != shape[2]:
            raise ValueError(f"{split}_images are {header.dtype} of shape {list(shape)}, for {len(labels)} labels")
        if len(shape) == 3 and split == "train" and self.channels == 3:
            logger.warning("data.channels=3: the images of %s are grey; data.channels=1 takes a third", self.path.name)

    @cached_property
    def _pixels(self) -> tuple[UInt8[Tensor, "N H W C"], Pages | None]:
        shape = (sum(map(len, self._labels.values())), *self.frame, self.channels)
        try:
            if np.prod(shape, dtype=np.int64) <= _MOST_IN_RAM:
                return torch.cat(list(self._blocks())), None
            facts, cache = self.path.stat(), Cache(self.cache_dir, "cache_dir" in self.read_only)
            key = (_FORMAT, self.fit, str(self.path.resolve()), facts.st_size, facts.st_mtime_ns)
            stored = StoredPixels(cache, "medmnist", f"the images of {self.path.name}", key, shape)
            return stored(lambda: (block.numpy() for block in self._blocks()))
        except DAMAGES as error:
            raise self._no_set(error) from error

    def _blocks(self) -> Iterator[UInt8[Tensor, "n H W C"]]:
        with NpzFile(self.path) as file:
            for split in SPLITS:
                for block in file.blocks(f"{split}_images"):
                    images = torch.from_numpy(block.copy())
                    brought = grey_pixels if images.ndim == 3 else colour_pixels
                    yield brought(images, self.frame, self.channels, self.fit)

    def _names(self) -> tuple[str, ...] | None:
        facts = (_known_sets() or {}).get(self.dataset_name)
        return None if facts is None else tuple(facts["label"][str(each)] for each in range(len(facts["label"])))

    def _no_set(self, error: BaseException) -> UserError:
        return UserError(f"data.root={self.root}: {self.path} is no file of MedMNIST that can be read ({error})")


def _as_set(images: ImageSet, facts: np.ndarray, names: tuple[str, ...] | None) -> ImageSet:
    values = torch.from_numpy(facts.astype(np.int64))
    if values.shape[1] == 1:
        known = names if names is not None and int(values.max()) < len(names) else None
        return replace(images, labels=values[:, 0].contiguous(), class_names=known)
    known = names if names is not None and len(names) == values.shape[1] else None
    called = known or tuple(map(str, range(values.shape[1])))
    return replace(images, factors=dict(zip(called, values.T.contiguous(), strict=True)))


def _known_sets() -> dict[str, Any] | None:
    """What the package says of each set; None where it is not installed."""
    found = importlib.util.find_spec("medmnist")
    if found is None or not found.submodule_search_locations:
        return None
    # This file alone: the package would import pandas and scikit-image, which takes seconds.
    place = Path(found.submodule_search_locations[0]) / "info.py"
    spec = importlib.util.spec_from_file_location("medmnist_info", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    known: dict[str, Any] = module.INFO
    return known
