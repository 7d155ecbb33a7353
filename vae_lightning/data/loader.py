"""Whole batches sliced from one uint8 tensor: no work per image, no collate, no worker processes."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from vae_lightning.data.packed_bits import PER_BYTE, unpacked
from vae_lightning.data.pages import Pages


class ImageBatch(NamedTuple):
    """What evaluation receives: `images [B, C, H, W]`, their `indices [B]`, and any `labels [B]`.

    `images` are uint8 from the loader and float32 in [0, 1] after the DataModule's `on_after_batch_transfer`.
    `indices` (int64) count within the split, 0 to its length - 1, and drive the evaluation noise.
    """

    images: Tensor
    indices: Tensor
    labels: Tensor | None


class TrainingBatches(NamedTuple):
    """What training receives: S batches at once, `images [S, B, C, H, W]` in uint8 with `indices` and `labels [S, B]`.

    They become float32 one batch at a time, by the DataModule's `training_images`. Data without labels have None.
    """

    images: Tensor
    indices: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True)
class ImageSet:
    """One split: the `rows` of the pixels that belong to it, with what there is of labels, file names and factors."""

    pixels: UInt8[Tensor, "N H W C"]  # in RAM, memory-mapped or on a GPU, shared by the splits
    rows: Int64[Tensor, " M"]
    labels: Int64[Tensor, " M"] | None
    names: tuple[str, ...] | None = None
    pages: Pages | None = None  # of memory-mapped pixels
    pinned: bool = False  # what `images` copies lies in pinned memory, from where a GPU fetches it while computing
    factors: Mapping[str, Tensor] | None = None  # [M] each: further facts by name, for nobody to train on
    class_names: tuple[str, ...] | None = None  # of labels 0, 1, ...
    factor_names: Mapping[str, tuple[str, ...]] | None = None  # of those factors that count names
    packed_channels: int | None = None  # of images whose pixels are `packed` bits; None where each has its byte

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image."""
        height, width, channels = self.pixels.shape[1:]
        if self.packed_channels is None:
            return height, width, channels
        return height, PER_BYTE * width, self.packed_channels

    def images(self, indices: Int64[Tensor, " B"]) -> UInt8[Tensor, "B C H W"]:
        """The images of this split with these indices, copied once, channels last in memory."""
        if self.pages is not None:
            self.pages.must_be_there()
        chosen = self.pixels.index_select(0, self.rows[indices])
        if self.pages is not None:
            self.pages.have_been_read(chosen.nbytes)
        if self.packed_channels is not None:
            chosen = unpacked(chosen, self.packed_channels)
        return (chosen.pin_memory() if self.pinned else chosen).permute(0, 3, 1, 2)

    def labels_of(self, indices: Int64[Tensor, "*B"]) -> Int64[Tensor, "*B"] | None:
        """The labels of the images of this split with these indices, where there are labels."""
        return None if self.labels is None else self.labels[indices]

    def for_training_on(self, device: torch.device) -> "ImageSet":
        """These images where the device gets at them fastest: its own memory, if they take up less than half of it."""
        if device.type != "cuda":
            return self
        free, _ = torch.cuda.mem_get_info(device)
        if 2 * self.pixels.nbytes > free:
            return replace(self, pinned=True)
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, pixels=self.pixels.to(device), rows=self.rows.to(device), labels=labels, pages=None)


def seeded_generator(*key: object) -> torch.Generator:
    """A CPU generator whose stream is a function of `key` alone; the global one is neither read nor moved."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class BatchLoader:
    """Iterates one rank's share of an `ImageSet` as `ImageBatch`es; every rank yields equally many.

    The order is a function of `(seed, epoch)` alone. With `drop_last` (training) all batches have exactly
    `batch_size` images, the ranks' shares are disjoint, and at most `batch_size` images a rank are left out.
    Without it (evaluation) each rank takes one contiguous share, split evenly into batches of at most
    `batch_size`, so that each image is seen exactly once and none is padded. (At `batch_size` 1 a share that
    is longer by one image has one batch of two.) Raises ValueError if a rank would have no batch.
    """

    def __init__(
        self,
        images: ImageSet,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int,
        drop_last: bool,
        rank: int = 0,
        world_size: int = 1,
        max_batches: int | None = None,
    ):
        self.images = images
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size
        self.max_batches = max_batches
        self.epoch = 0
        # Lightning calls set_epoch on `loader.sampler` or `loader.batch_sampler.sampler`. With the first it
        # would take this for a DataLoader, ask for more of its attributes and warn about shuffling.
        self.batch_sampler = SimpleNamespace(sampler=self)
        if len(self) == 0:
            raise ValueError(f"{len(images)} images make no batch of {batch_size} on {world_size} ranks")

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        smallest_share, remainder = divmod(len(self.images), self.world_size)
        if self.drop_last:
            num_batches = smallest_share // self.batch_size
            return num_batches if self.max_batches is None else min(num_batches, self.max_batches)
        largest_share = smallest_share + (remainder > 0)
        return min(-(-largest_share // self.batch_size), smallest_share)

    def __iter__(self) -> Iterator[ImageBatch]:
        # A generator draws the order at its first batch: Lightning makes the iterator before set_epoch.
        for indices in self.indices():
            yield ImageBatch(self.images.images(indices), indices, self.images.labels_of(indices))

    def indices(self) -> tuple[Int64[Tensor, " B"], ...]:
        """The indices of each batch of this rank's share in this epoch."""
        if self.drop_last:
            return self.equal_batches().unbind()
        order = self._order().to(self.images.rows.device)
        return order.tensor_split(self.world_size)[self.rank].tensor_split(len(self))

    def equal_batches(self) -> Int64[Tensor, "S B"]:
        """The indices of all batches that have `batch_size` images, with `drop_last`."""
        share = self._order()[self.rank :: self.world_size][: len(self) * self.batch_size]
        return share.to(self.images.rows.device).unflatten(0, (-1, self.batch_size))

    def _order(self) -> Int64[Tensor, " M"]:
        if not self.shuffle:
            return torch.arange(len(self.images))
        return torch.randperm(len(self.images), generator=seeded_generator("order", self.seed, self.epoch))


class TrainingLoader:
    """Joins the batches of a `BatchLoader` to `TrainingBatches` of `steps_per_execution`, the last one of what is left.

    However many are joined, the batches and their order stay the same. An iteration leaves out as many of the epoch's
    batches as `first_batch` says when it begins, on which a run that is gone on with has trained before; the length is
    that of a whole epoch.
    """

    def __init__(self, batches: BatchLoader, steps_per_execution: int = 1, first_batch: Callable[[], int] = lambda: 0):
        self.batches = batches
        self.steps_per_execution = steps_per_execution
        self.first_batch = first_batch
        self.batch_sampler = batches.batch_sampler  # where Lightning looks for set_epoch

    def __len__(self) -> int:
        return -(-len(self.batches) // self.steps_per_execution)

    def __iter__(self) -> Iterator[TrainingBatches]:
        every, first = self.batches.equal_batches(), self.first_batch()
        for indices in every[first:].split(self.steps_per_execution) if first < len(every) else ():
            images = self.batches.images.images(indices.flatten())
            yield TrainingBatches(images.unflatten(0, indices.shape), indices, self.batches.images.labels_of(indices))
