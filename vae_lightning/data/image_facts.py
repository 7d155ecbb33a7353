"""What there is to know of a set of images before anything is trained on them, each image looked at once."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from vae_lightning.data.class_names import label_name
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.waiting import watched

_CHUNK_BYTES = 16_000_000
_DIGEST = 8  # bytes of one: of a million images two share one by chance once in ten million sets


@dataclass(frozen=True)
class ImageFacts:
    """What all images of the splits together are.

    Attributes:
        lowest, highest: levels.
        mean: of all pixels, in levels.
        num_copies: images that are the same as another one that stands before them, in the order train, val, test.
        num_leaks: those of them whose first stands in another split.
    """

    lowest: int
    highest: int
    mean: float
    num_copies: int
    num_leaks: int


def facts_of(splits: Mapping[str, ImageSet]) -> ImageFacts:
    """Look at every image."""
    lowest, highest, total, digests = 255, 0, 0, list[np.ndarray]()
    image_bytes = math.prod(next(iter(splits.values())).image_shape)
    chunks = [
        (images, indices)
        for images in splits.values()
        for indices in torch.arange(len(images)).split(max(1, _CHUNK_BYTES // image_bytes))
    ]
    for images, indices in watched(chunks, "looking at the images", "block"):
        pixels = images.images(indices).permute(0, 2, 3, 1).contiguous()
        low, high = pixels.aminmax()
        lowest, highest = min(lowest, int(low)), max(highest, int(high))
        total += int(pixels.sum(dtype=torch.int64))
        content = b"".join(hashlib.blake2b(each.data, digest_size=_DIGEST).digest() for each in pixels.numpy())
        digests.append(np.frombuffer(content, np.uint64))
    lengths = [len(images) for images in splits.values()]
    copies, leaks = _copies(np.concatenate(digests), np.repeat(np.arange(len(lengths)), lengths))
    return ImageFacts(lowest, highest, total / (sum(lengths) * image_bytes), copies, leaks)


def _copies(digests: np.ndarray, split: np.ndarray) -> tuple[int, int]:
    """How many come after their first, and how many of them in another split than that."""
    _, first, of = np.unique(digests, return_index=True, return_inverse=True)
    return len(digests) - len(first), int((split[first][of] != split).sum())


def label_counts(splits: Mapping[str, ImageSet]) -> list[tuple[str, list[int]]]:
    """The name of each label, and how many images of each split have it; empty where there are no labels."""
    counts = {}
    for name, images in splits.items():
        if images.labels is None:
            return []
        numbers, found = images.labels.unique(return_counts=True)
        counts[name] = Counter(dict(zip(numbers.tolist(), found.tolist(), strict=True)))
    class_names = next(iter(splits.values())).class_names
    every = set(range(len(class_names or ()))).union(*counts.values())
    return [(label_name(label, class_names), [counts[name][label] for name in splits]) for label in sorted(every)]
