"""Data sets of the Hugging Face Hub, by name, decoded once into the cache."""

import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.augmenting import Given
from vae_lightning.data.cache import build_once, cache_key
from vae_lightning.data.class_names import Label
from vae_lightning.data.decode import decode_image
from vae_lightning.data.fitting import FitInMemory, ImageSize
from vae_lightning.data.hub_source import Columns, HubSource, open_hub
from vae_lightning.data.image_data import Binarize, ImageDataModule
from vae_lightning.data.loader import ImageSet, seeded_generator
from vae_lightning.data.npz import NpzFile
from vae_lightning.data.pages import Pages
from vae_lightning.data.provenance import note_use
from vae_lightning.data.splits import SPLITS, check_fractions
from vae_lightning.data.stored_pixels import Cache, StoredPixels
from vae_lightning.disk.files import write_atomically
from vae_lightning.errors import UserError

logger = logging.getLogger(__name__)

_FORMAT = 1  # of the cache; to be raised when decoding changes
_FACTS = "facts.npz"


@dataclass(frozen=True)
class HubFacts:
    """What is remembered of a data set beside its pixels.

    Attributes:
        counts: of the images of each official split, 0 for one that there is not.
        labels: of all images, if they have any.
        classes: their names.
    """

    counts: tuple[int, ...]
    labels: Int64[np.ndarray, " N"] | None
    classes: tuple[str, ...] | None


@final
class HubImages(ImageDataModule):
    """The pictures of a data set of the Hugging Face Hub, cropped to squares, with its labels and splits.

    A split that it has not is dealt from its training images, once and for all. What was decoded stays as it is: a
    newer version is another `revision`.

    Args:
        name: as ylecun/mnist.
        config_name: which of its configurations, where it has several.
        revision: a branch, tag or commit; None is what was the newest one when it was first used.
        image_column, label_column: None for the only one that fits.
        cache_dir: holds the decoded pictures; None is `vae_lightning` in the user's cache folder.
        val_fraction, test_fraction: the shares of splits that are dealt.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        config_name: str | None = None,
        revision: str | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        cache_dir: str | None = None,
        val_fraction: float = 0.05,
        test_fraction: float = 0.05,
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
        if name is None:
            raise ValueError("name must be that of a data set of the Hugging Face Hub, as ylecun/mnist")
        self.dataset_name = name
        self.config_name = config_name
        self.revision = revision
        self.columns = Columns(image_column, label_column)
        self.cache_dir = cache_dir
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        check_fractions(val_fraction, test_fraction)

    def prepare_data(self) -> None:
        """Downloads and decodes what the cache does not hold yet; raises UserError naming data.name."""
        _ = self._pixels

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits, memory-mapped, with labels where there are any."""
        (pixels, pages), facts = self._pixels, self._facts
        official = torch.arange(sum(facts.counts)).split(list(facts.counts))
        rows = self._dealt(dict(zip(SPLITS, official, strict=True)))
        labels = None if facts.labels is None else torch.from_numpy(facts.labels)
        whole = ImageSet(pixels, torch.arange(len(pixels)), None, pages=pages, class_names=facts.classes)
        splits = {split: replace(whole, rows=own) for split, own in rows.items()}
        if labels is None:
            return splits
        return {split: replace(images, labels=labels[images.rows]) for split, images in splits.items()}

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture, cropped and resized as this dataset's images are."""
        return torch.from_numpy(decode_image(path, self.frame, self.channels, fit=self.fit).copy())

    def _dealt(self, official: dict[str, Int64[Tensor, " _"]]) -> dict[str, Int64[Tensor, " _"]]:
        shares = {"val": self.val_fraction, "test": self.test_fraction}
        absent = [split for split in shares if not len(official[split])]
        train = official["train"]
        order = train[torch.randperm(len(train), generator=seeded_generator("hub", len(train)))]
        for split in absent:
            count = round(shares[split] * len(train))
            official[split], order = order[:count].sort().values, order[count:]
        official["train"] = order.sort().values
        empty = [split for split in SPLITS if not len(official[split])]
        if empty:
            raise UserError(f"{self._source}: of {len(train)} images none fell to {empty[0]}; raise its fraction")
        return official

    @property
    def _source(self) -> str:
        return f"data.name={self.dataset_name}"

    @property
    def _cache(self) -> Cache:
        return Cache(self.cache_dir, "cache_dir" in self.read_only)

    @property
    def _key(self) -> tuple[object, ...]:
        return _FORMAT, self.dataset_name, self.config_name, self.revision, self.columns.image, self.columns.label

    @cached_property
    def _facts_file(self) -> Path:
        return self._cache.folder(f"hub-{cache_key(*self._key)}") / _FACTS

    @cached_property
    def _facts(self) -> HubFacts:
        """Found once: a run goes on with what it began with."""
        if not self._facts_file.is_file():
            build_once(self._facts_file.parent, lambda folder: _write_facts(folder / _FACTS, self._hub))
        if "cache_dir" not in self.read_only:
            note_use(self._facts_file.parent, self.dataset_name, "its labels")
        try:
            return _read_facts(self._facts_file)
        except (OSError, ValueError) as error:
            raise UserError(
                f"data.cache_dir: {self._facts_file} can't be read ({error}); remove {self._facts_file.parent}"
            ) from error

    @cached_property
    def _hub(self) -> HubSource:
        if "cache_dir" in self.read_only:
            raise UserError(
                f"{self._source}: is not in the cache as this run had it, and nothing is fetched for a stored config; "
                "type data.cache_dir=null, or another folder, to have it fetched"
            )
        opened = open_hub(self.dataset_name, self.config_name, self.revision, self.columns)
        if opened.left_out:
            logger.warning("%s: its splits %s are not used", self._source, ", ".join(opened.left_out))
        if opened.label is not None and opened.labels() is None:
            logger.warning("%s: a split does not tell its labels (-1): none are used", self._source)
        return opened

    @cached_property
    def _pixels(self) -> tuple[UInt8[Tensor, "N H W C"], Pages]:
        shape = (sum(self._facts.counts), *self.frame, self.channels)
        key = (*self._key, self.fit)
        stored = StoredPixels(self._cache, "hub", f"the pictures of {self.dataset_name}", key, shape)
        return stored(self._blocks)

    def _blocks(self) -> Iterator[UInt8[np.ndarray, "n H W C"]]:
        now = _facts_of(self._hub)
        with NpzFile(self._facts_file) as file:
            then = {name: file.array(name) for name in file.headers}
        if now.keys() != then.keys() or any(not np.array_equal(now[name], then[name]) for name in now):
            raise UserError(
                f"{self._source}: is another data set by now than when it was first used; give data.revision= for the "
                f"one of then, or remove {self._facts_file.parent}"
            )
        yield from self._hub.blocks(self.frame, self.channels, self.fit)


def _facts_of(hub: HubSource) -> dict[str, np.ndarray]:
    counts, labels = hub.counts(), hub.labels()
    arrays = {"counts": np.array([counts.get(split, 0) for split in SPLITS])}
    if labels is not None:
        arrays["labels"] = np.concatenate([labels[split] for split in SPLITS if split in labels])
    if labels is not None and hub.classes is not None:
        arrays["classes"] = np.array(hub.classes)
    return arrays


def _write_facts(path: Path, hub: HubSource) -> None:
    content = io.BytesIO()
    np.savez(content, **_facts_of(hub))  # type: ignore[arg-type]
    write_atomically(path, content.getvalue(), durable=True)


def _read_facts(path: Path) -> HubFacts:
    with NpzFile(path) as file:
        counts = file.array("counts")
        labels = file.array("labels").astype(np.int64) if "labels" in file.headers else None
        classes = file.array("classes") if "classes" in file.headers else None
    if counts.shape != (len(SPLITS),) or counts.dtype.kind not in "iu" or counts.min() < 0 or counts[0] < 1:
        raise ValueError("it counts no images")
    if labels is not None and labels.shape != (counts.sum(),):
        raise ValueError("its labels are not one for each image")
    if classes is not None and (classes.dtype.kind != "U" or labels is None or labels.max() >= len(classes)):
        raise ValueError("its labels have no names")
    names = None if classes is None else tuple(map(str, classes))
    return HubFacts(tuple(counts.tolist()), labels, names)
