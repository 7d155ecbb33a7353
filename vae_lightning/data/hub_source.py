"""A data set of the Hugging Face Hub, opened by its library: which columns are pictures and labels, and their rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from vae_lightning.data.decode import decode_image
from vae_lightning.data.fitting import Fit
from vae_lightning.data.opening import picture_of
from vae_lightning.errors import UserError, first_line

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")  # as of files: others reach programs besides Pillow
_BLOCK = 100  # pictures
_SPLITS = {"train": ("train", "training"), "val": ("validation", "valid", "val", "dev"), "test": ("test", "testing")}


@dataclass(frozen=True)
class Columns:
    """Which columns to use; None for the one that there is.

    Attributes:
        image, label: their names.
    """

    image: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class HubSource:
    """The splits of one data set that are used.

    Args:
        name: as messages call it, `data.name=ylecun/mnist`.
        parts: those splits as the library opens them, by our names for them.
        image, label: the columns; no label for None.
        classes: the labels' names, if they have any.
        left_out: the names of other splits.
    """

    name: str
    parts: Mapping[str, Any]
    image: str
    label: str | None
    classes: tuple[str, ...] | None
    left_out: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """How many rows each split has."""
        return {split: len(part) for split, part in self.parts.items()}

    def labels(self) -> dict[str, Int64[np.ndarray, " N"]] | None:
        """The labels of each split; None where there are none, or where a split is not to tell its own, as -1."""
        if self.label is None:
            return None
        found = {split: np.asarray(part[self.label], np.int64) for split, part in self.parts.items()}
        return None if any(each.min(initial=0) < 0 for each in found.values()) else found

    def blocks(self, frame: tuple[int, int], channels: int, fit: Fit) -> Iterator[UInt8[np.ndarray, "n H W C"]]:
        """All pictures, split by split; raises UserError that names the first row that can't be read."""
        for split, part in self.parts.items():
            first = 0
            for rows in _undecoded(part, self.image).iter(batch_size=_BLOCK):
                pictures = []
                for number, entry in enumerate(rows[self.image], first):
                    try:
                        pictures.append(_decoded(entry, frame, channels, fit))
                    except Exception as error:  # Pillow's plugins raise anything on a damaged file
                        reason = " ".join(str(error).split()) or type(error).__name__
                        raise UserError(f"{self.name}: row {number:,} of {split} can't be read ({reason})") from error
                first += len(pictures)
                yield np.stack(pictures)


def open_hub(name: str, config_name: str | None, revision: str | None, columns: Columns) -> HubSource:
    """Opens, and downloads if need be, a data set of the Hub.

    Args:
        name: of the data set, as ylecun/mnist.
        config_name: which of its configurations.
        revision: a branch, tag or commit; None is the newest one.
        columns: which to use.

    Raises UserError where it can't be had, or has no column of pictures, or several.
    """
    datasets, source = _imported(), f"data.name={name}"
    try:
        found = datasets.load_dataset(name, config_name, revision=revision)
    except ConnectionError as error:
        raise UserError(f"{source}: there is no network, or no Hub that answers ({first_line(error)})") from error
    except Exception as error:  # its builders raise anything
        raise UserError(f"{source}: can't be had from the Hugging Face Hub ({first_line(error)})") from error
    parts = _used(found)
    if "train" not in parts:
        raise UserError(f"{source}: has no split to train on, but {', '.join(map(str, found)) or 'none'}")
    features = parts["train"].features
    image = _chosen(features, columns.image, datasets.Image, source, "image")
    if image is None:
        raise UserError(f"{source}: has no column of pictures, but {', '.join(features)}; give data.image_column=")
    label = _chosen(features, columns.label, datasets.ClassLabel, source, "label")
    names = getattr(features[label], "names", None) if label is not None else None
    used = {id(part) for part in parts.values()}
    left_out = tuple(str(split) for split, part in found.items() if id(part) not in used)
    return HubSource(source, parts, image, label, tuple(names) if names else None, left_out)


def _used(found: Mapping[Any, Any]) -> dict[str, Any]:
    """Splits by our names; a single one is to train on, whatever it is called."""
    by_name = {str(split).lower(): part for split, part in found.items()}
    if len(by_name) == 1:
        return {"train": next(iter(by_name.values()))}
    pairs = ((ours, next((name for name in theirs if name in by_name), None)) for ours, theirs in _SPLITS.items())
    return {ours: by_name[theirs] for ours, theirs in pairs if theirs is not None}


def _chosen(features: Mapping[str, Any], given: str | None, kind: type, source: str, what: str) -> str | None:
    if given is not None:
        if given not in features:
            raise UserError(f"data.{what}_column={given}: {source} has {', '.join(features)}")
        return given
    fitting = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(fitting) > 1:
        raise UserError(f"{source}: {', '.join(fitting)} may be the {what}; give data.{what}_column=")
    return fitting[0] if fitting else None


def _undecoded(part: Any, column: str) -> Any:
    # As bytes: the library would have Pillow open any format, some of which reach programs besides it.
    return part.select_columns([column]).cast_column(column, _imported().Image(decode=False))


def _decoded(entry: Mapping[str, Any], frame: tuple[int, int], channels: int, fit: Fit) -> UInt8[np.ndarray, "H W C"]:
    if entry["bytes"] is None:
        return decode_image(Path(entry["path"]), frame, channels, fit=fit)
    with picture_of(entry["bytes"], _FORMATS) as image:
        return decode_image(image, frame, channels, fit=fit)


def _imported() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UserError('data=hub: datasets is not installed: pip install "vae-lightning[hub]"') from error
    return datasets
