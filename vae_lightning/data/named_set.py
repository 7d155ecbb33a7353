"""What the public data sets have in common: a folder that holds their files, where they are found or downloaded to."""

import math
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from vae_lightning.data.augmenting import Given
from vae_lightning.data.class_names import Label
from vae_lightning.data.download import DownloadError
from vae_lightning.data.fetching import Fetching, NoSpaceError, RemoteFile
from vae_lightning.data.fitting import FitInMemory, ImageSize
from vae_lightning.data.image_data import Binarize, ImageDataModule
from vae_lightning.data.loader import ImageSet
from vae_lightning.errors import UserError, require_at_least

_MOST_BYTES = 4_000_000_000  # of images once they are resized: MNIST at 256 x 256
DAMAGES = (OSError, EOFError, ValueError, IndexError, KeyError, zlib.error)


class Part(NamedTuple):
    """The images of one of a set's files, with their labels."""

    pixels: UInt8[Tensor, "N H W C"]
    labels: Int64[Tensor, " N"]


class NamedSet(ImageDataModule):
    """A public data set with official splits, in RAM.

    Where there are no official validation images, they are the last of the training file, whatever the seed.

    Args:
        root: the folder that holds the set's own folder, or into which that is downloaded.
        num_val: how many training images are for validation; None is as many as is usual, or else a twelfth.

    Attributes:
        title: what the set is called.
        below: its folder below the root.
        needed: the files in there; each may be packed by gzip, and then ends in .gz, too.
        num_unpacked: bytes of what is made of the downloaded files.
        classes: the names of labels 0, 1, ...; None where they need none.
    """

    title: str
    below: str
    needed: tuple[str, ...]
    num_unpacked: int = 0
    classes: tuple[str, ...] | None = None

    def __init__(
        self,
        *,
        root: str = "data",
        num_val: int | None = None,
        image_size: ImageSize = 28,
        channels: int = 1,
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
        require_at_least("num_val", 1 if num_val is None else num_val, 1)
        self.root = root
        self.num_val = num_val

    @abstractmethod
    def remote_files(self) -> Sequence[RemoteFile]:
        """What is downloaded where the set is not there."""

    @property
    def raw_folder(self) -> Path:
        """Where the set's files lie."""
        return Path(self.root).expanduser().absolute() / self.below

    def prepare_data(self) -> None:
        """Downloads the files unless they are there; raises UserError naming data.root."""
        if self.is_complete():
            if "root" not in self.read_only:
                self._fetching.clear()
            return
        absent = f"data.root={self.root}: {self.title} is not in {self.raw_folder}"
        if "root" in self.read_only:
            raise UserError(
                f"{absent}, and nothing is downloaded to a place that a stored config names; type "
                f"data.root=<folder that holds {self.below}, or is to>"
            )
        try:
            self._fetch()
        except (DownloadError, NoSpaceError, *DAMAGES) as error:
            raise UserError(
                f"{absent} and cannot be downloaded ({last_line(error)}); give data.root=<folder that holds "
                f"{self.below} with {', '.join(self.needed)}>"
            ) from error

    def is_complete(self) -> bool:
        """Whether all files are there."""
        folder = self.raw_folder
        return all((folder / name).exists() or (folder / f"{name}.gz").exists() for name in self.needed)

    def unpack(self, folder: Path) -> list[Path]:
        """What stays of the downloaded files in this folder: they as they are, unless a set has others."""
        return [folder / name for name in self.needed]

    def damaged(self, path: Path, error: BaseException) -> UserError:
        """What is told of a file that can't be read."""
        return UserError(
            f"data.root={self.root}: {path} or its .gz is damaged ({last_line(error)}); give "
            f"data.root=<folder that holds {self.below} with whole files, or is to>"
        )

    def check_room(self, num_images: int, size: Sequence[int], num_planes: int) -> None:
        """Refuse images that are to be made larger than RAM can be thought to hold.

        Args:
            num_images: of a file.
            size: height and width that they have in there.
            num_planes: bytes that a pixel takes.

        Raises UserError naming data.image_size.
        """
        if tuple(size) != self.frame and num_images * num_planes * math.prod(self.frame) > _MOST_BYTES:
            raise UserError(
                f"data.image_size={self.image_size}: {num_images:,} images of this size take more than "
                f"{_MOST_BYTES // 10**9} GB; choose a smaller one"
            )

    def in_splits(self, train: Part, test: Part, val: Part | None = None) -> dict[str, ImageSet]:
        """The three splits; without an official validation part the last training images are for it.

        Raises UserError for labels that the set has not.
        """
        self._check_labels(*(part.labels for part in (train, test, val) if part is not None))
        if val is not None:
            parts = {"train": train, "val": val, "test": test}
            return {name: self._as_set(part, torch.arange(len(part.labels))) for name, part in parts.items()}
        num_images = len(train.labels)
        num_val = num_images // 12 if self.num_val is None else self.num_val
        if num_val >= num_images:
            raise UserError(f"data.num_val={num_val}: there are {num_images} training images; choose fewer")
        first, last = torch.arange(num_images).split([num_images - num_val, num_val])
        return {
            "train": self._as_set(train, first),
            "val": self._as_set(train, last),
            "test": self._as_set(test, torch.arange(len(test.labels))),
        }

    def _as_set(self, part: Part, rows: Int64[Tensor, " M"]) -> ImageSet:
        return ImageSet(part.pixels, rows, part.labels[rows], class_names=self.classes)

    def _check_labels(self, *labels: Int64[Tensor, " _"]) -> None:
        num_classes = None if self.classes is None else len(self.classes)
        for each in labels:
            if num_classes is not None and len(each) and not 0 <= int(each.min()) <= int(each.max()) < num_classes:
                raise UserError(
                    f"data.root={self.root}: the files of {self.title} have labels from {int(each.min())} to "
                    f"{int(each.max())}, where there are {num_classes} classes; give whole files"
                )

    @property
    def _fetching(self) -> Fetching:
        unpacking = self.unpack, self.num_unpacked
        return Fetching(self.title, self.raw_folder, self.is_complete, self.remote_files, *unpacking)

    def _fetch(self) -> None:
        self._fetching()


def last_line(error: BaseException) -> str:
    """What an error says in the end."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
