"""Which images a mode looks at: the user's own files, or some of a split of the run's data."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.arrays import array_member
from vae_lightning.data.class_names import Label, Names
from vae_lightning.data.decode import lost_of, stated_size
from vae_lightning.data.fitting import Fit, cropped_size
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.data.loader import ImageBatch, ImageSet, seeded_generator
from vae_lightning.data.picture_files import EXTENSIONS, find_pictures, told_others
from vae_lightning.errors import UserError, one_line
from vae_lightning.machine.hardware import num_cpus
from vae_lightning.runs.source import Source

Split = Literal["train", "val", "test"]
Files = str | Sequence[str]
log = logging.getLogger("vae_lightning")

_LOOKED_AT = 64  # pictures whose shape is looked at
_NEARLY_ALIKE = 1.02  # of the shorter side; what is cut off then is no part of anything

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Choice:
    """A few images, in one of four ways.

    Attributes:
        images: picture files, or folders of them, prepared as the run's data were.
        indices: of images in the split.
        labels: an image of each, in the split, by name or number; repeated ones get different images.
        split: of the run's data.
        num_images: so many of the split, chosen by the run's seed, where none of the first three is given.
        most: more than so many are refused.
    """

    images: Files | None = None
    indices: Sequence[int] | None = None
    labels: Sequence[Label] | None = None
    split: Split = "val"
    num_images: int = 16
    most: int = 1000

    def read(self, run: Source) -> ImageBatch:
        """The images, uint8 on the CPU, and their labels if they are of a split that has labels.

        Raises:
            UserError: more than one way to choose, or images that are not there.
        """
        given = {"images": self.images, "indices": self.indices, "labels": self.labels}
        names = [name for name, value in given.items() if value is not None]
        if len(names) > 1:
            raise UserError(f"{' and '.join(names)}: give only one of them")
        if names and not given[names[0]]:
            raise UserError(f"{names[0]}: is empty")
        if self.images is not None:
            files = picture_files(self.images, run.preprocessing)
            self._check_number("images", len(files))
            tell_of_cuts(files, run.preprocessing.frame, run.preprocessing.fit)
            tell_of_lost(files, run.preprocessing.channels)
            read = run.own(run.preprocessing.read_images(files))
            return ImageBatch(read, torch.arange(len(read)), None)
        if self.indices is not None:
            self._check_number("indices", len(self.indices))
            return run.data.images_of_indices(self.indices, self.split)
        if self.labels is not None:
            self._check_number("labels", len(self.labels))
            return run.data.images_of_labels(self.labels, self.split)
        self._check_number("num_images", self.num_images)
        return run.data.examples(self.num_images, self.split)

    def _check_number(self, name: str, number: int) -> None:
        if number > self.most:
            raise UserError(f"{name}: {number:,} images are too many for one picture; choose at most {self.most:,}")


@dataclass(frozen=True)
class NamedImages:
    """Images and what they are called.

    Attributes:
        images: uint8.
        kind: what the names are: `file` or `index`.
        names: file names, or indices in the split.
        labels: where there are labels.
        class_names: of the labels, by number, where they have names.
        factors: what else is known of each, by name: numbers, or names.
    """

    images: UInt8[Tensor, "N C H W"]
    kind: Literal["file", "index"]
    names: list[str] | list[int]
    labels: Int64[np.ndarray, " N"] | None
    class_names: Names = None
    factors: dict[str, np.ndarray] = field(default_factory=dict)

    def told(self, run: Source) -> Int64[Tensor, " N"] | None:
        """The labels of these images for a run's model that is told labels."""
        own = None if self.labels is None else torch.from_numpy(self.labels)
        return run.told(own, len(self.images))

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """What tells the images from one another, as columns of a table."""
        named: dict[str, np.ndarray] = {self.kind: np.array(self.names)}
        if self.labels is not None:
            named["label"] = self.labels
            if self.class_names is not None:
                named["class"] = np.array(self.class_names)[self.labels]
        return named | {f"factor_{name}": values for name, values in self.factors.items()}


def tell_of_cuts(pictures: Sequence[Path | Image.Image], frame: tuple[int, int], fit: Fit) -> None:
    """Log a line where pictures have other proportions than the run's images, and what becomes of them.

    Args:
        pictures: of which the first ones are looked at.
        frame: height and width of the run's images.
        fit: how they are brought to that size.
    """
    first, sizes = pictures[:_LOOKED_AT], []
    for picture in first:
        with suppress(Exception):  # one that can't be read is told by who reads it
            sizes.append(stated_size(picture))
    is_other = _is_no_tile if fit == "tile" else _has_other_proportions
    others = [(height, width) for width, height in sizes if is_other((height, width), frame)]
    if others:
        many = "a picture" if len(first) == 1 else f"{len(others)} of {len(first)} pictures, the first one"
        height, width = others[0]
        log.warning("images: %s of %d x %d pixels %s", many, width, height, _becomes(others[0], frame, fit))


def tell_of_lost(pictures: Sequence[Path | Image.Image], channels: int) -> None:
    """Log a line for each thing that is lost of picture files when they are decoded, as bits beyond the eighth.

    Args:
        pictures: of which the first ones are looked at; what is no file has been decoded by who gives it.
        channels: of the run's images.
    """
    looked_at = [picture for picture in pictures[:_LOOKED_AT] if not isinstance(picture, Image.Image)]
    files: dict[str, list[str]] = {}
    for picture in looked_at:
        with suppress(Exception):  # one that can't be read is told by who reads it
            files.setdefault(lost_of(picture, channels), []).append(str(picture))
    for lost, names in files.items():
        if lost:
            count = f"{len(names)} of {len(looked_at)} files, the first" if len(looked_at) > 1 else "the file"
            log.warning("%s", one_line(f"images: {count} {names[0]!r}: {lost}"))


def _has_other_proportions(size: tuple[int, int], frame: tuple[int, int]) -> bool:
    one, other = size[0] * frame[1], size[1] * frame[0]
    return max(one, other) > _NEARLY_ALIKE * min(one, other)


def _is_no_tile(size: tuple[int, int], frame: tuple[int, int]) -> bool:
    return size != frame


def _becomes(size: tuple[int, int], frame: tuple[int, int], fit: Fit) -> str:
    """What of a picture of that height and width is seen, in a message."""
    if fit == "tile":
        return f"is no tile of {frame[1]} x {frame[0]}: its middle is taken, not resized"
    differs = "is no square" if frame[0] == frame[1] else f"has other proportions than {frame[1]} x {frame[0]}"
    height, width = cropped_size(size, frame)
    middle = f"the middle {width} x {height} is taken"
    ends = {"crop": middle, "pad": "it is seen whole, on black", "stretch": "it is stretched"}
    return f"{differs}: {ends[fit]}"


def own_images(run: Source, images: Files, num_images: int, seed: int) -> NamedImages:
    """The user's pictures; of more than so many that number of them, drawn by the seed.

    Those of a folder that can't be read are left out, with a warning.

    Raises:
        UserError: one that was named can't be read, or none can.
    """
    files = picture_files(images, run.preprocessing)
    names = short_names(files)
    unreadable: list[str] = []
    if len(files) > num_images:
        log.info("%s of %s pictures, drawn by the seed", f"{num_images:,}", f"{len(files):,}")
        chosen = torch.randperm(len(files), generator=seeded_generator("pictures", seed))[:num_images]
        files, names = ([given[index] for index in sorted(chosen.tolist())] for given in (files, names))
    tell_of_cuts(files, run.preprocessing.frame, run.preprocessing.fit)
    batches = list(stream_files(run, files, names, set(given_paths(images)), 500, unreadable))
    if unreadable:
        log.warning(
            "%d of %d pictures can't be read and are left out; the first is %s",
            len(unreadable),
            len(files),
            unreadable[0],
        )
    if not batches:
        raise UserError("images: none can be read as a picture")
    readable = [str(name) for batch in batches for name in batch.names]
    return NamedImages(torch.cat([batch.images for batch in batches]), "file", readable, None)


def stream_split(run: Source, split: Split, batch_size: int) -> Iterator[NamedImages]:
    """All images of a split in order."""
    for batch in run.data.stream(split, batch_size):
        yield named_images(run, split, batch)


def stream_files(
    run: Source,
    files: Sequence[Path],
    names: Sequence[str],
    named: set[Path],
    batch_size: int,
    unreadable: list[str],
) -> Iterator[NamedImages]:
    """The user's pictures in order, read by several threads, those that can't be read left out.

    Args:
        run: whose data's preparation they get.
        files: the pictures.
        names: what they are called.
        named: those that were named themselves, of which an unreadable one is an error.
        batch_size: pictures at a time.
        unreadable: gets a line for each that is left out.

    Raises:
        UserError: a picture that was named can't be read.
    """
    data, first = run.preprocessing, True
    tell_of_lost(files, data.channels)
    with ThreadPoolExecutor(num_cpus()) as pool:  # threads: Pillow releases the GIL
        for start in range(0, len(files), batch_size):
            block = range(start, min(start + batch_size, len(files)))
            images = list(pool.map(lambda index: _read(data, files[index], index), block))
            for index, image in zip(block, images, strict=True):
                if isinstance(image, UserError):
                    if not named.isdisjoint((files[index], (array_member(files[index]) or (None,))[0])):
                        raise image
                    unreadable.append(str(image).removeprefix("images: "))
            readable = [index for index, image in zip(block, images, strict=True) if isinstance(image, Tensor)]
            if readable:
                stacked = torch.stack([image for image in images if isinstance(image, Tensor)])
                yield NamedImages(run.own(stacked, first=first), "file", [names[index] for index in readable], None)
                first = False


def picture_files(images: Files, data: Any = None) -> list[Path]:
    """Files as they are given, of a folder all pictures below it, in the order of their names, and of a file of arrays
    all that it holds.

    Args:
        images: what was named.
        data: the run's DataModule, which says what pictures are; None is what any takes for one.

    Raises:
        UserError: a folder without pictures, or nothing at all.
    """
    files: list[Path] = []
    for path in given_paths(images):
        try:
            alone = [path] if data is None else data.pictures_in(path)
            found = _below(path, EXTENSIONS if data is None else data.extensions) if path.is_dir() else alone
        except OSError as error:
            raise UserError(f"images: {path}: cannot be searched ({error})") from error
        if not found:
            raise UserError(f"images: {path}: has no pictures in it")
        files += found
    if not files:
        raise UserError("images: is empty")
    return files


def _below(folder: Path, extensions: tuple[str, ...]) -> list[Path]:
    others = Counter[str]()
    found = [folder / picture.name for picture in sorted(find_pictures(folder, extensions, others))]
    if found and others:
        log.info("images: %s: %s", folder, one_line(told_others(others)))
    return found


def is_there(picture: Path) -> bool:
    """Whether a picture is a file, or lies in one that is there."""
    member = array_member(picture)
    return (picture if member is None else member[0]).is_file()


def given_paths(images: Files) -> list[Path]:
    """What was named, be it a file or a folder."""
    return [Path(name).expanduser() for name in ([images] if isinstance(images, str) else images)]


def _read(data: ImageDataModule, file: Path, index: int) -> UInt8[Tensor, "C H W"] | UserError:
    try:
        return data.read_images([file], first_index=index)[0]
    except UserError as error:
        return error


def named_images(run: Source, split: Split, batch: ImageBatch) -> NamedImages:
    """Images of a split by the names of their files, or where they have none by their indices."""
    indices, names = batch.indices.tolist(), run.data.splits[split].names
    labels = None if batch.labels is None else batch.labels.numpy()
    known: dict[str, Any] = {
        "class_names": run.data.class_names,
        "factors": _factors(run.data.splits[split], batch.indices),
    }
    if names is None:
        return NamedImages(batch.images, "index", indices, labels, **known)
    return NamedImages(batch.images, "file", [names[index] for index in indices], labels, **known)


def _factors(images: ImageSet, indices: Int64[Tensor, " N"]) -> dict[str, np.ndarray]:
    values = {name: factor[indices].numpy() for name, factor in (images.factors or {}).items()}
    return values | {name: np.array(names)[values[name]] for name, names in (images.factor_names or {}).items()}


def short_names(files: Sequence[Path]) -> list[str]:
    """The files' names below the folder they share."""
    shared = os.path.commonpath([file.absolute().parent for file in files])
    return [Path(os.path.relpath(file.absolute(), shared)).as_posix() for file in files]
