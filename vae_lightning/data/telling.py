"""What is said of a dataset in a terminal."""

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vae_lightning.data.cleaning import num_bytes_of, told_bytes
from vae_lightning.data.image_facts import ImageFacts, facts_of, label_counts
from vae_lightning.data.loader import ImageSet
from vae_lightning.errors import one_line

if TYPE_CHECKING:
    from vae_lightning.data.image_data import ImageDataModule

_WIDTH = 80  # columns
_NAMES = 12  # of what stands before a fact
_MOST_LABELS = 20  # that are listed
_COUNT = 12  # columns of a number


def told_format(data: "ImageDataModule") -> str:
    """How a dataset's images are made: their size, and what is done to them."""
    height, width = data.frame
    kind = {1: "grey", 3: "RGB"}.get(data.channels, f"of {data.channels} channels")
    others = [f"binarize={data.binarize}"] * (data.binarize != "none") + ["flipped at random"] * data.horizontal_flip
    others += [f"augmented: {', '.join(each.name for each in data.augmentations)}"] * bool(data.augmentations)
    return ", ".join([f"{width} x {height} {kind}", f"fit={data.fit}", *others])


def told_sizes(data: "ImageDataModule") -> list[tuple[str, str]]:
    """Of what size the pictures are that they were made of, where that is known."""
    sizes = data.original_sizes()
    if not sizes:
        return []
    ends = [f"{width} x {height}" for height, width in (min(sizes, key=math.prod), max(sizes, key=math.prod))]
    return [("originals", f"{' to '.join(dict.fromkeys(ends))} pixels, of {len(sizes):,} looked at")]


def info_lines(data: "ImageDataModule") -> list[str]:
    """All that is known of a dataset, in lines for a terminal of 80 columns; each image is looked at once."""
    splits = data.load_splits()
    facts, total = facts_of(splits), sum(map(len, splits.values()))
    rows = [("images", f"{total:,} of {told_format(data)}"), *told_sizes(data), *_values(data, facts)]
    rows += [("duplicates", _copies(facts)), *_factors(splits)]
    rows += [("left out", f"{count:,} {reason}") for reason, count in data.left_out.items()]
    rows += [("cache", told) for told in _cached(data, splits)]
    lines = [line for name, text in rows for line in _wrapped(name, one_line(text))]
    return [*lines, "", *_counts(splits)]


def _wrapped(name: str, text: str) -> list[str]:
    wrapper = textwrap.TextWrapper(_WIDTH - _NAMES, break_long_words=False, break_on_hyphens=False)
    lines = wrapper.wrap(text)
    return [f"{'' if number else name:<{_NAMES}}{line}" for number, line in enumerate(lines)]


def _values(data: "ImageDataModule", facts: ImageFacts) -> list[tuple[str, str]]:
    scale = data.scale()
    deep = "" if scale is None else f"; deeper files by data.value_range=[{scale.pair[0]},{scale.pair[1]}]"
    return [("values", f"{facts.lowest} to {facts.highest} of 255, mean {facts.mean:.1f}{deep}")]


def _copies(facts: ImageFacts) -> str:
    if not facts.num_copies:
        return "none: no two images are the same"
    are = "image is" if facts.num_copies == 1 else "images are"
    leaks = f"{facts.num_leaks:,}" if facts.num_leaks else "none"
    return f"{facts.num_copies:,} {are} the same as another, {leaks} of them as one in another split"


def _factors(splits: Mapping[str, ImageSet]) -> list[tuple[str, str]]:
    first = next(iter(splits.values()))
    names, told = first.factor_names or {}, []
    for name in first.factors or {}:
        values = torch.cat([images.factors[name] for images in splits.values() if images.factors is not None])
        told.append(f"{name} ({len(values.unique()):,} {'names' if name in names else 'numbers'})")
    return [("factors", ", ".join(told))] if told else []


def _cached(data: "ImageDataModule", splits: Mapping[str, ImageSet]) -> list[str]:
    mapped = {images.pages.folder: None for images in splits.values() if images.pages is not None}
    folders: list[Path] = [each for each in (data.unpacked, *mapped) if each is not None]
    return [f"{folder}, {told_bytes(num_bytes_of(folder))}" for folder in folders] or ["none: the images are in memory"]


def _counts(splits: Mapping[str, ImageSet]) -> list[str]:
    """A table of how many images there are in each split, of each label."""
    labels, splits_of = label_counts(splits), list(splits)
    rows = [("all images", [len(images) for images in splits.values()])]
    rows += sorted(labels, key=lambda row: -sum(row[1]))[:_MOST_LABELS] if len(labels) > _MOST_LABELS else labels
    head = f"{len(labels):,} labels" if labels else "no labels"
    lines = [f"{head:<26}" + "".join(f"{name:>{_COUNT}}" for name in (*splits_of, "all"))]
    for name, counts in rows:
        lines.append(f"{one_line(name):<26}" + "".join(f"{count:>{_COUNT},}" for count in (*counts, sum(counts))))
    rest = len(labels) - _MOST_LABELS
    return [*lines, f"and {rest:,} labels with fewer images"] if rest > 0 else lines
