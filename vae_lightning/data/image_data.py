"""The DataModule all datasets share: loaders of uint8 batches, and what becomes of a batch on the device."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float32, Int64, UInt8
from lightning.pytorch import LightningDataModule
from PIL import Image
from torch import Tensor

from vae_lightning.data.augmenting import Given, augmentations_of
from vae_lightning.data.binarize import binarized, fixed_draw
from vae_lightning.data.class_names import Label, label_name, label_number
from vae_lightning.data.excluding import excluding
from vae_lightning.data.fitting import Fit, ImageSize, frame_of
from vae_lightning.data.loader import (
    BatchLoader,
    ImageBatch,
    ImageSet,
    TrainingBatches,
    TrainingLoader,
    seeded_generator,
)
from vae_lightning.data.picture_files import EXTENSIONS
from vae_lightning.data.values import Scale
from vae_lightning.errors import UserError, require_at_least, require_image_size

Binarize = Literal["none", "dynamic", "fixed"]


class ImageDataModule(LightningDataModule, ABC):
    """Images in three splits; a dataset adds `prepare_data` (rank zero only) and `load_splits`.

    Args:
        image_size: height and width in pixels, one number for both or [height, width].
        channels: 1 (grey), 3 (RGB), or another number that the dataset accepts.
        batch_size: training images per step and rank; a last smaller batch is dropped.
        eval_batch_size: at most so many images per validation or test batch and rank.
        seed: of the training order, the example images and the fixed binarization.
        shuffle: a new training order each epoch.
        horizontal_flip: flip each training image with probability 1/2.
        binarize: "none"; "dynamic", a fresh Bernoulli draw each time in training and one fixed draw in
            evaluation; "fixed", one fixed draw everywhere.
        fit: how a picture of other proportions becomes an image: "crop", resized to cover it, the middle kept; "pad",
            whole, on black; "stretch"; "tile", cut at its own resolution, see `ImageFolder`.
        augmentations: of training images, in this order, see `augmenting`: names, or names with settings.
        exclude_labels: by number or name: their images are left out of training and validation, and stay in the test
            images, so that it can be measured how strange they are to a model that has never seen them.

    Raises ValueError, starting with the parameter's name, for a value that cannot be.

    Attributes:
        frame: height and width of an image.
        read_only: those of its arguments that name places, as `cache_dir`, which come from a file that may be a
            stranger's: they are read and not written.
        steps_per_execution: so many training batches are handed out at once.
        max_train_batches: no more of them in an epoch; None for all there are.
        first_batch: of the epoch that is trained first, or is being trained; above 0 where a run goes on within one.
        accepted_channels: the numbers of channels that its images can have.
        shown_channels: those that pictures show as red, green and blue where there are neither 1 nor 3; None leaves it
            to them.
    """

    read_only: frozenset[str] = frozenset()
    steps_per_execution: int = 1
    max_train_batches: int | None = None
    first_batch: int = 0
    accepted_channels: Container[int] = (1, 3)
    shown_channels: tuple[int, ...] | None = None

    def __init__(
        self,
        *,
        image_size: ImageSize,
        channels: int,
        batch_size: int,
        eval_batch_size: int = 500,
        seed: int,
        shuffle: bool = True,
        horizontal_flip: bool = False,
        binarize: Binarize = "none",
        fit: Fit = "crop",
        augmentations: Sequence[Given] = (),
        exclude_labels: Sequence[Label] = (),
    ):
        super().__init__()
        require_image_size("image_size", image_size)
        require_at_least("batch_size", batch_size, 1)
        require_at_least("eval_batch_size", eval_batch_size, 1)
        if channels not in self.accepted_channels:
            raise ValueError(f"channels must be {_told_channels(self.accepted_channels)}, got {channels}")
        if binarize not in get_args(Binarize):
            raise ValueError(f"binarize must be one of {', '.join(get_args(Binarize))}, got {binarize}")
        if fit not in get_args(Fit):
            raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}, got {fit}")
        self.image_size = image_size
        self.frame = frame_of(image_size)
        self.fit = fit
        self.channels = channels
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.horizontal_flip = horizontal_flip
        self.binarize = binarize
        self.exclude_labels = [exclude_labels] if isinstance(exclude_labels, str) else exclude_labels
        binary = binarize == "fixed"
        self.augmentations = augmentations_of(augmentations, channels, self.frame, binary=binary)

    @abstractmethod
    def prepare_data(self) -> None:
        """Downloads or decodes what is not on disk yet; raises UserError naming the config key."""

    @abstractmethod
    def load_splits(self) -> dict[str, ImageSet]:
        """The splits "train", "val" and "test", opened from disk; raises UserError naming the config key."""

    @abstractmethod
    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture, a file or opened by Pillow, brought to the size of this dataset's images.

        Raises what Pillow raises.
        """

    @property
    def extensions(self) -> tuple[str, ...]:
        """What names of pictures end in."""
        return EXTENSIONS

    def pictures_in(self, path: Path) -> list[Path]:
        """The pictures that a file of the user's own holds, each by a name that `read_image` knows."""
        return [path]

    @property
    def found(self) -> dict[str, Any]:
        """Arguments in whose place a run keeps what was found in the data, for whoever opens it without them."""
        return {}

    def scale(self) -> Scale | None:
        """The scale by which numbers deeper than 8 bits become levels; None where each file has its own."""
        return None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.channels, *self.frame

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of labels 0, 1, ...; None where they have none, or there are no labels."""
        return self.splits["train"].class_names

    @property
    def num_classes(self) -> int | None:
        """How many labels there are; None for data without labels."""
        labels = [images.labels for images in self.splits.values()]
        known = [int(each.max()) + 1 for each in labels if each is not None]
        if len(known) < len(labels):
            return None
        return max(*known, len(self.class_names or ()))

    def setup(self, stage: str | None = None) -> None:
        """Loads the splits once; raises UserError if they are too small for the batch size and the ranks."""
        self._check(self.splits)

    @cached_property
    def splits(self) -> dict[str, ImageSet]:
        """The splits "train", "val" and "test" as the loaders slice them, fixed binarization included."""
        kept = excluding(self.load_splits(), self.exclude_labels)
        return {split: self._as_trained_on(images, split) for split, images in kept.items()}

    @cached_property
    def identity(self) -> dict[str, dict[str, Any]]:
        """What tells these images from others, of each split: their number, and a digest of their names.

        Images without names have one of their labels, if they have labels. Where they lie is no part of it, nor are
        pixels, which another version of a library may decode a little differently.
        """
        return {split: _identity(images) for split, images in self.splits.items()}

    def train_dataloader(self) -> TrainingLoader:
        """Training batches with their labels if there are any, shuffled if so configured."""
        self.setup()
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        images = self.splits["train"].for_training_on(device)
        return TrainingLoader(self._train_batches(images), self.steps_per_execution, lambda: self.first_batch)

    @property
    def num_train_batches(self) -> int:
        """Batches in a training epoch, on each rank."""
        return len(self._train_batches())

    def val_dataloader(self) -> BatchLoader:
        """All validation images once, in order, with their labels if there are any."""
        return self._loader("val", self.eval_batch_size, shuffle=False, drop_last=False)

    def test_dataloader(self) -> BatchLoader:
        """All test images once, in order, with their labels if there are any."""
        return self._loader("test", self.eval_batch_size, shuffle=False, drop_last=False)

    def on_after_batch_transfer(
        self, batch: ImageBatch | TrainingBatches, dataloader_idx: int = 0
    ) -> ImageBatch | TrainingBatches:
        """An evaluation batch with float32 images in [0, 1]; training batches as they are."""
        if isinstance(batch, TrainingBatches):
            return batch
        return batch._replace(images=batch.images.float().div_(255))

    def training_images(self, images: UInt8[Tensor, "B C H W"]) -> Float32[Tensor, "B C H W"]:
        """One training batch in [0, 1], flipped, augmented and dynamically binarized as configured, on its device."""
        if self.horizontal_flip:
            images = randomly_flipped(images)
        for augmentation in self.augmentations:
            images = augmentation(images)
        scaled = images.float().div_(255)
        if self.binarize == "dynamic":
            return torch.empty_like(scaled).bernoulli_(scaled)  # torch.bernoulli would lose channels_last
        return scaled

    def original_sizes(self, most: int = 200) -> list[tuple[int, int]]:
        """Height and width of so many of the pictures that the images were made of; none where they are not known."""
        return []

    @property
    def left_out(self) -> dict[str, int]:
        """Of what was found, how much is in no split, by the reason."""
        return {}

    @property
    def unpacked(self) -> Path | None:
        """A folder of the cache that the pictures' files lie in; None where they lie elsewhere."""
        return None

    def mean_image(self, split: str = "train") -> Float32[Tensor, "C H W"]:
        """The mean of a split's images in [0, 1], computed in one pass over them."""
        total = torch.zeros(self.image_shape, dtype=torch.int64)
        for batch in self.stream(split):
            total += batch.images.sum(0, dtype=torch.int64)
        return (total / (255 * len(self.splits[split]))).float()

    def examples(self, num_images: int, split: str = "val", balanced: bool = True) -> ImageBatch:
        """Images as evaluation sees them, uint8 on the CPU; fewer if the split has not so many.

        They are chosen by the seed, and spread evenly over the labels where there are labels, unless not `balanced`.
        """
        order, labels = self._shuffled(split), self.splits[split].labels
        if labels is not None and balanced:
            order = round_robin(order, labels)
        return self.images_at(order[:num_images], split)

    def example_images(self, num_images: int, split: str = "val", balanced: bool = True) -> Float32[Tensor, "n C H W"]:
        """The images of `examples` in [0, 1]."""
        return self.examples(num_images, split, balanced).images.float().div_(255)

    def images_at(self, indices: Int64[Tensor, " n"], split: str = "val") -> ImageBatch:
        """The images of a split with these indices as evaluation sees them, uint8 on the CPU."""
        images = self.splits[split]
        chosen = images.images(indices)
        if self.binarize == "dynamic" and split == "train":
            chosen = self._drawn(chosen, indices, split)
        return ImageBatch(chosen, indices, images.labels_of(indices))

    def stream(self, split: str, batch_size: int = 1000) -> Iterator[ImageBatch]:
        """All images of a split in order, as evaluation sees them, uint8 on the CPU."""
        for indices in torch.arange(len(self.splits[split])).split(batch_size):
            yield self.images_at(indices, split)

    def images_of_labels(self, labels: Sequence[Label], split: str = "val") -> ImageBatch:
        """An image of each of these labels, by name or number, chosen by the seed; a repeated one gets another image.

        Raises UserError where there are no labels, or none of that name, or not so many images of one.
        """
        known = self.splits[split].labels
        if known is None:
            raise UserError(f"labels={list(labels)}: these data have no labels; choose by indices or images")
        left = self._shuffled(split).tolist()
        chosen = []
        for given in labels:
            label = label_number(given, self.class_names, f"labels={list(labels)}")
            found = next((index for index in left if known[index] == label), None)
            if found is None:
                valid = ", ".join(label_name(each, self.class_names) for each in known.unique().tolist())
                raise UserError(f"labels: the {split} images have no more of label {given}; valid here: {valid}")
            left.remove(found)
            chosen.append(found)
        return self.images_at(torch.tensor(chosen, dtype=torch.int64), split)

    def images_of_indices(self, indices: Sequence[int], split: str = "val") -> ImageBatch:
        """The images of a split with these indices; raises UserError for one that it has not."""
        last = len(self.splits[split]) - 1
        wrong = [index for index in indices if not 0 <= index <= last]
        if wrong:
            raise UserError(f"indices: {wrong[0]} is none of the {last + 1} {split} images; choose 0 to {last}")
        return self.images_at(torch.tensor(indices, dtype=torch.int64), split)

    def read_images(self, files: Sequence[str | Path], first_index: int = 0) -> UInt8[Tensor, "N C H W"]:
        """Picture files by `read_image`; raises UserError that names the first one that can't be read."""
        return torch.stack([self._readable(Path(file), index) for index, file in enumerate(files, first_index)])

    def read_image(self, path: Path | Image.Image, index: int = 0) -> UInt8[Tensor, "C H W"]:
        """A picture as if it were one of this dataset's: its crop, size and channels, and binarized as they are.

        Needs none of the dataset's own images. The index is that of the file among those that are read, which the
        binarization's draw depends on. Raises what Pillow raises for a file it cannot read.
        """
        image = self.decode(path).permute(2, 0, 1).unsqueeze(0)
        return (image if self.binarize == "none" else self._drawn(image, torch.tensor([index]), "given"))[0]

    def _readable(self, path: Path, index: int) -> UInt8[Tensor, "C H W"]:
        try:
            return self.read_image(path, index)
        except FileNotFoundError as error:
            raise UserError(f"images: {path}: no such file") from error
        except Exception as error:  # Pillow's plugins raise anything on a damaged file
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"images: {path}: can't be read as a picture ({reason})") from error

    def _shuffled(self, split: str) -> Int64[Tensor, " M"]:
        generator = seeded_generator("examples", self.seed, split)
        return torch.randperm(len(self.splits[split]), generator=generator)

    def _drawn(
        self, images: UInt8[Tensor, "n C H W"], indices: Int64[Tensor, " n"], split: str
    ) -> UInt8[Tensor, "n C H W"]:
        return fixed_draw(images.permute(0, 2, 3, 1), indices, self.seed, split).permute(0, 3, 1, 2)

    def _train_batches(self, images: ImageSet | None = None) -> BatchLoader:
        order = {"shuffle": self.shuffle, "drop_last": True}
        return self._loader("train", self.batch_size, images, max_batches=self.max_train_batches, **order)

    def _loader(self, split: str, batch_size: int, images: ImageSet | None = None, **options: Any) -> BatchLoader:
        self.setup()
        return BatchLoader(
            images or self.splits[split],
            batch_size,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self._world_size(),
            **options,
        )

    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    def _as_trained_on(self, images: ImageSet, split: str) -> ImageSet:
        # Draws that never change are drawn once, here: evaluation then costs no noise, and a shuffled
        # training batch need not gather its noise from all over the index range.
        fixed = self.binarize == "fixed" or (self.binarize == "dynamic" and split != "train")
        return binarized(images, self.seed, split) if fixed else images

    def _check(self, splits: dict[str, ImageSet]) -> None:
        ranks = self._world_size()
        for split, images in splits.items():
            if len(images) < ranks:
                raise UserError(f"data: {ranks} ranks cannot share the {len(images)} {split} images")
        largest = len(splits["train"]) // ranks
        if self.batch_size > largest:
            on_ranks = f" on {ranks} ranks" if ranks > 1 else ""
            raise UserError(
                f"data.batch_size={self.batch_size}{on_ranks} is larger than the training split of "
                f"{len(splits['train'])} images; choose 1 to {largest}"
            )


def _told_channels(accepted: Container[int]) -> str:
    return f"from {accepted[0]} to {accepted[-1]}" if isinstance(accepted, range) else "1 (grey) or 3 (RGB)"


def _identity(images: ImageSet) -> dict[str, Any]:
    content = None
    if images.names is not None:
        content = "\0".join(sorted(images.names)).encode(errors="surrogateescape")
    elif images.labels is not None:
        content = images.labels.numpy().tobytes()
    digest = None if content is None else hashlib.sha256(content).hexdigest()
    return {"num_images": len(images), "digest": digest}


def randomly_flipped(images: UInt8[Tensor, "B C H W"]) -> UInt8[Tensor, "B C H W"]:
    """Each image mirrored left to right with probability 1/2, drawn on the images' device."""
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(3), images)


def round_robin(order: Int64[Tensor, " M"], labels: Int64[Tensor, " M"]) -> Int64[Tensor, " M"]:
    """`order` rearranged: first each label's first index, then each label's second, and so on."""
    by_label = labels[order].argsort(stable=True)
    counts = labels[order].unique(return_counts=True)[1]
    turn = torch.empty_like(by_label)
    turn[by_label] = torch.arange(len(order)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    return order[turn.argsort(stable=True)]
