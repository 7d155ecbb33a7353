"""Datasets that lie in one file as arrays: .npy, .npz and HDF5, of any size, for they are mapped and read in parts."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int64, Shaped

from vae_lightning.data.array_containers import KINDS, ArrayContainer, Npy, StoredArray
from vae_lightning.data.array_files import MOST_CHANNELS, check_channels, num_bytes, picture_axis
from vae_lightning.data.labelling import listed
from vae_lightning.data.values import Found, Layout, Scale, found_in, kind_of
from vae_lightning.errors import UserError, one_line

OwnSplit = Literal["val", "test"]

_IMAGES = ("images", "x_train")
_LABELS = ("labels", "y_train")
_OWN_SPLITS: tuple[tuple[OwnSplit, str, str], ...] = (("val", "x_val", "y_val"), ("test", "x_test", "y_test"))
_MOST_CLASSES = 65_536  # greater numbers are names of classes, and so are negative ones
_MOST_TOLD = 6  # arrays that a message names
_MOST_IMAGES = 50_000_000  # each of which has a name in memory
_MOST_BYTES_OF_LABELS = 1_000_000_000
_WITHOUT = "data.labels=none does without them"
_BLOCK_BYTES = 2**24  # of numbers read at a time
_MEMBER = re.compile(r"(.+\.(?:npy|npz|h5|hdf5))\[(\d{1,12})\]", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class ArrayPart:
    """Images of one array.

    Attributes:
        name: what each is called, before its number in brackets.
        split: to which all belong; None for those that are still to be dealt out.
        images: [N, ...], of which slices are read.
        axis: of the channels of one image; None for grey ones of two axes.
        labels: of the images, where there are labels.
    """

    name: str
    split: OwnSplit | None
    images: Any
    axis: int | None
    labels: Int64[np.ndarray, " N"] | None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image."""
        sizes = [length for place, length in enumerate(self.images.shape[1:]) if place != self.axis]
        return sizes[0], sizes[1]

    @property
    def channels(self) -> int:
        """Of an image."""
        return 1 if self.axis is None else self.images.shape[1 + self.axis]

    def rows(self, start: int, stop: int) -> Shaped[np.ndarray, "n H W S"]:
        """Some images, channels last."""
        block = np.asarray(self.images[start:stop])
        return block[..., None] if self.axis is None else np.moveaxis(block, 1 + self.axis, -1)

    def blocks(self) -> Iterator[tuple[int, Shaped[np.ndarray, "n H W S"]]]:
        """All images in their order, some at a time, and the number of the first of them."""
        step = max(1, _BLOCK_BYTES // max(1, num_bytes(self.images.shape[1:], self.images.dtype)))
        for start in range(0, len(self), step):
            yield start, self.rows(start, min(start + step, len(self)))


@dataclass(frozen=True)
class Arrays:
    """What a file of arrays holds.

    Attributes:
        parts: its images; first those that are not yet of a split.
        class_names: what its labels mean, where they are names; labels are their numbers then.
        note: a line to tell, if there is any.
    """

    parts: tuple[ArrayPart, ...]
    class_names: tuple[str, ...] | None
    note: str = ""

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def image(self, number: int) -> Shaped[np.ndarray, "H W S"]:
        """The image of this number in the first array; raises ValueError where there is none."""
        if number >= len(self.parts[0]):
            raise ValueError(f"it has {len(self.parts[0]):,} images, counted from 0")
        return self.parts[0].rows(number, number + 1)[0]

    @property
    def told(self) -> str:
        """A line on what was found."""
        parts = [f"{part.name} {list(part.images.shape)} of {part.images.dtype}" for part in self.parts]
        own = [f"{part.name} is the {part.split} split" for part in self.parts if part.split]
        called = f": {listed(self.class_names)}" if self.class_names else ""
        known = [] if self.labels is None else [f"labels of {len(np.unique(self.labels))} kinds{called}"]
        return "; ".join([", ".join(parts), *own, *known, *([self.note] if self.note else [])])

    @property
    def names(self) -> list[str]:
        """Of all images, in their order."""
        return [f"{part.name}[{number}]" for part in self.parts for number in range(len(part))]

    @property
    def own_splits(self) -> list[OwnSplit | None]:
        """To which each image belongs; None for those that are still to be dealt out."""
        return [part.split for part in self.parts for _ in range(len(part))]

    @property
    def labels(self) -> Int64[np.ndarray, " N"] | None:
        """Of all images, where there are labels."""
        known = [part.labels for part in self.parts if part.labels is not None]
        return np.concatenate(known) if known else None

    def found(self, scale: Scale | None) -> Found:
        """What numbers they hold; bytes are not looked through unless the scale is of bytes."""
        total = Found()
        for part in self.parts:
            kind = kind_of(part.images.dtype)
            if kind == "bytes" and (scale is None or not scale.is_of_bytes):
                total += Found(num_files=1, num_bytes=1)
                continue
            for start, block in part.blocks():
                is_finite = np.isfinite(block).all(axis=(1, 2, 3))
                name = part.name if is_finite.all() else f"{part.name}[{start + int(is_finite.argmin())}]"
                total += found_in(block, kind, scale, name, part.channels)
        return total


def array_member(path: str | os.PathLike[str]) -> tuple[Path, int] | None:
    """The file and the number of an image that is called `file.npy[17]`; None for another name, and for a file."""
    found = _MEMBER.fullmatch(os.fspath(path))
    return None if found is None or os.path.lexists(path) else (Path(found[1]), int(found[2]))


def open_arrays(
    path: Path,
    channels: int,
    layout: Layout,
    source: str,
    max_pixels: int,
    max_gb: float,
    scratch: Path | None = None,
    *,
    with_labels: bool = True,
) -> Arrays:
    """The images of a file of arrays with their labels, mapped or read on demand; nothing in it is run.

    Args:
        path: of a regular file; its suffix says of which kind.
        channels: of the dataset, which tell where they lie in an array if its shape alone does not.
        layout: says it, unless it is `auto`.
        source: how messages call the file, as `data.root=x.npz`.
        max_pixels: images of more are refused.
        max_gb: so is a compressed array that unpacks to more 10^9 bytes.
        scratch: a folder for what a compressed file unpacks to, which has no name there; None is the system's own.
        with_labels: whether its labels are read.

    Raises:
        UserError: it can't be read, or which of its arrays are meant can't be told.
    """
    try:
        file = KINDS[path.suffix.lower()](path, scratch, 1e9 * max_gb)
        return _chosen(file, channels, layout, max_pixels, source, with_labels)
    except Exception as error:  # what is damaged raises anything
        raise _told_of(source, error) from error


def _told_of(source: str, error: Exception) -> UserError:
    return UserError(one_line(f"{source}: {' '.join(str(error).split()) or type(error).__name__}"))


class _Images:
    """An array of which slices are read, opened, or unpacked, when the first one is."""

    def __init__(self, file: ArrayContainer, key: str, stored: StoredArray, source: str):
        self._file = file
        self._key = key
        self._source = source
        self.shape = stored.shape
        self.dtype = stored.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        try:
            return np.asarray(self._values[rows])
        except Exception as error:  # as in `open_arrays`
            raise _told_of(self._source, error) from error

    @cached_property
    def _values(self) -> Any:
        return self._file.take(self._key)


def _chosen(
    file: ArrayContainer, channels: int, layout: Layout, max_pixels: int, source: str, with_labels: bool
) -> Arrays:
    entries = file.entries
    main = _main(entries, file.without)
    wanted: list[tuple[OwnSplit | None, str, str | None]] = [
        (None, main, next((key for key in _LABELS if key in entries), None))
    ]
    wanted += [own for own in _OWN_SPLITS if own[1] in entries and own[1] != main]
    every = [_images(file, key, entries, source) for _, key, _ in wanted]
    labels = _labels(_labels_read(file, wanted, entries) if with_labels else {})
    parts = []
    for (split, key, label_key), images in zip(wanted, every, strict=True):
        own = None if label_key is None else labels.numbers.get(label_key)
        axis = None if len(images.shape) == 3 else picture_axis(images.shape[1:], channels, layout)
        parts.append(ArrayPart(file.path.name if isinstance(file, Npy) else key, split, images, axis, own))
        _check(parts[-1], key, channels, max_pixels)
    of_images = [entries[key].note for _, key, _ in wanted] + [_doubt(images) for images in every]
    notes = [labels.note, *of_images, _told_unused(wanted, entries)]
    return Arrays(tuple(parts), labels.names, "; ".join(filter(None, notes)))


def _labels_read(
    file: ArrayContainer, wanted: Sequence[tuple[OwnSplit | None, str, str | None]], entries: Mapping[str, StoredArray]
) -> dict[str, np.ndarray]:
    """The labels of the images; what can't be theirs is not read, for it may be of any size."""
    there = {key: label_key for _, key, label_key in wanted if label_key is not None and _is_there(label_key, entries)}
    for key, label_key in there.items():
        stored, number = entries[label_key], entries[key].shape[0]
        if len(stored.shape) not in (1, 2) or stored.shape[1:] not in ((), (1,)):
            raise ValueError(f"{label_key} has shape {list(stored.shape)}, where labels are [N]; {_WITHOUT}")
        if stored.shape[0] != number:
            raise ValueError(f"{label_key} are {stored.shape[0]:,} labels, and {key} {number:,} images; {_WITHOUT}")
        if num_bytes(stored.shape, stored.dtype) > _MOST_BYTES_OF_LABELS:
            raise ValueError(f"{label_key} are larger than {_MOST_BYTES_OF_LABELS // 10**6} MB; {_WITHOUT}")
    if there and len(there) < len(wanted):
        raise ValueError(f"only {', '.join(there)} of its {len(wanted)} arrays of images has labels; {_WITHOUT}")
    return {key: np.asarray(file.take(key)[:]) for key in there.values()}


def _told_unused(wanted: Sequence[tuple[OwnSplit | None, str, str | None]], entries: Mapping[str, StoredArray]) -> str:
    """What of the file is neither images nor labels: it may be labels by another name."""
    used = {key for each in wanted for key in each[1:]}
    others = [f"{key} {list(each.shape)}" for key, each in entries.items() if key not in used]
    more = ", ..." if len(others) > _MOST_TOLD else ""
    return f"not used: {', '.join(others[:_MOST_TOLD])}{more}" if others else ""


def _doubt(images: "_Images") -> str:
    """What is said of grey images that may lie along the last axis, as MATLAB has them."""
    if len(images.shape) != 3 or not images.shape[0] == images.shape[1] != images.shape[2]:
        return ""
    number, height, width = images.shape
    return f"taken for {number} images of {height} x {width}; if they are {width} of {number} x {height}, transpose it"


def _is_there(key: str, entries: Mapping[str, StoredArray]) -> bool:
    if key in entries and entries[key].fault:
        raise ValueError(f"{key}: {entries[key].fault}")
    return key in entries


def _main(entries: Mapping[str, StoredArray], without: str) -> str:
    """The array that is meant: by its name, or the only one of images."""
    found = [key for key in _IMAGES if key in entries]
    others = {key for own in _OWN_SPLITS for key in own[1:]} | set(_LABELS)
    for num_axes in (4, 3):
        found = found or [key for key, each in entries.items() if len(each.shape) == num_axes and key not in others]
    found = found or (list(entries) if len(entries) == 1 else [])
    if len(found) == 1 or (found and found[0] in _IMAGES):
        return found[0]
    told = ", ".join(f"{key} {list(each.shape)}" for key, each in list(entries.items())[:_MOST_TOLD])
    more = ", ..." if len(entries) > _MOST_TOLD else ""
    besides = f"; {without}" if without else ""
    raise ValueError(
        f"which of its arrays has the images? call it images or x_train; there are {told or 'none'}{more}{besides}"
    )


def _images(file: ArrayContainer, key: str, entries: Mapping[str, StoredArray], source: str) -> "_Images":
    _is_there(key, entries)
    shape = entries[key].shape
    kind_of(entries[key].dtype)
    if shape[:1] == (0,):
        raise ValueError(f"{key} of shape {list(shape)} is empty")
    if len(shape) in (3, 4) and shape[0] > _MOST_IMAGES:
        raise ValueError(f"{key} has {shape[0]:,} images, of which at most {_MOST_IMAGES:,} are read")
    if len(shape) not in (3, 4) or 0 in shape:
        raise ValueError(f"{key} has shape {list(shape)}; images are [N, H, W, C], [N, C, H, W] or, in grey, [N, H, W]")
    if len(shape) == 3 and shape[2] in (1, 3, 4) and min(shape[:2]) > shape[2]:
        raise ValueError(f"{key} of shape {list(shape)} is one picture; images are [N, H, W, C] or [N, C, H, W]")
    return _Images(file, key, entries[key], source)


def _check(part: ArrayPart, key: str, channels: int, max_pixels: int) -> None:
    height, width = part.size
    if part.channels > MOST_CHANNELS:
        raise ValueError(f"{key} has {part.channels} channels, of which at most {MOST_CHANNELS} are read")
    if height * width > max_pixels:
        raise ValueError(f"{key}: {width} x {height} pixels are more than data.max_pixels={max_pixels}")
    try:
        check_channels(part.channels, channels)
    except ValueError as error:
        raise ValueError(f"{key}: {error}; choose data.channels={part.channels}") from error


class _Labels(NamedTuple):
    numbers: dict[str, Int64[np.ndarray, " N"]]
    names: tuple[str, ...] | None
    note: str


def _labels(found: Mapping[str, np.ndarray]) -> _Labels:
    """Labels as numbers, those of several arrays by the same names where they are names."""
    flat = {key: each[:, 0] if each.ndim == 2 else each for key, each in found.items()}
    whole = {key: each for key, each in flat.items() if _are_whole(each)}
    if len(whole) == len(flat):
        if all(0 <= each.min() <= each.max() < _MOST_CLASSES for each in whole.values()):
            return _Labels({key: each.astype(np.int64) for key, each in whole.items()}, None, "")
        flat = {key: np.array([int(label) for label in each.tolist()], object) for key, each in whole.items()}
    elif any(each.dtype.kind not in "US" for each in flat.values()):
        kinds = ", ".join(f"{key} ({each.dtype})" for key, each in flat.items())
        return _Labels({}, None, f"labels are not used, for they are neither whole numbers nor text: {kinds}")
    decoded = {key: _decoded(key, each) if each.dtype.kind == "S" else each for key, each in flat.items()}
    names, numbers = np.unique(np.concatenate(list(decoded.values())), return_inverse=True)
    shares = np.split(numbers.astype(np.int64), np.cumsum([len(each) for each in decoded.values()])[:-1])
    return _Labels(dict(zip(decoded, shares, strict=True)), tuple(str(name) for name in names), "")


def _decoded(key: str, labels: np.ndarray) -> np.ndarray:
    try:
        return np.char.decode(labels, "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{key}: is no text in UTF-8; {_WITHOUT}") from error


def _are_whole(labels: np.ndarray) -> bool:
    is_float = labels.dtype.kind == "f" and bool(np.isfinite(labels).all()) and bool((labels == labels.round()).all())
    return labels.dtype.kind in "biu" or is_float
