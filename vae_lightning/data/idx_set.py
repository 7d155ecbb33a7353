"""MNIST and its kin: four idx files of small grey images and their labels."""

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.decode import decode_grey
from vae_lightning.data.fetching import RemoteFile
from vae_lightning.data.idx import read_idx
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.named_set import DAMAGES, NamedSet, Part
from vae_lightning.data.resize import grey_pixels
from vae_lightning.errors import UserError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class IdxSet(NamedSet):
    """Grey images of 28 x 28 with labels, of a training and a test file each.

    Attributes:
        needed: training images, their labels, test images, their labels.
    """

    needed: tuple[str, ...] = FILES

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits, with labels from 0 on."""
        train_images, train_labels, test_images, test_labels = (self._read(name) for name in self.needed)
        return self.in_splits(self._part(train_images, train_labels), self._part(test_images, test_labels))

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture in grey, cropped and resized as this dataset's images are."""
        grey = torch.from_numpy(decode_grey(path).copy())
        return grey_pixels(grey.unsqueeze(0), self.frame, self.channels, self.fit)[0]

    def unpack(self, folder: Path) -> list[Path]:
        """The downloaded files without their packing."""
        for name in self.needed:
            with gzip.open(folder / f"{name}.gz") as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)
            read_idx(folder / name)
        return [folder / name for name in self.needed]

    def upright(self, images: UInt8[Tensor, "N h w"]) -> UInt8[Tensor, "N h w"]:
        """The images of a file, as one looks at them."""
        return images

    def from_zero(self, labels: UInt8[Tensor, " N"]) -> Int64[Tensor, " N"]:
        """The labels of a file, counted from 0."""
        return labels.long()

    def _read(self, name: str) -> UInt8[Tensor, "..."]:
        path = self.raw_folder / name
        try:
            return read_idx(path)
        except FileNotFoundError as error:
            raise UserError(f"data.root={self.root}: {name} is not in {self.raw_folder}") from error
        except DAMAGES as error:
            raise self.damaged(path, error) from error

    def _part(self, images: UInt8[Tensor, "..."], labels: UInt8[Tensor, "..."]) -> Part:
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            shapes = f"{list(images.shape)} and {list(labels.shape)}"
            raise UserError(f"data.root={self.root}: images and labels do not match: {shapes}")
        self.check_room(len(images), images.shape[1:], 1)
        pixels = grey_pixels(self.upright(images), self.frame, self.channels, self.fit)
        return Part(pixels, self.from_zero(labels))


def packed_files(class_name: str, sizes: Sequence[int], *mirrors: str) -> list[RemoteFile]:
    """The four packed files, where torchvision's class of that name and then these mirrors have them."""
    from torchvision import datasets  # takes seconds, and most runs need no download

    known = getattr(datasets, class_name)
    places, sums = (*known.mirrors, *mirrors), dict(known.resources)
    names = [f"{name}.gz" for name in FILES]
    return [
        RemoteFile(name, tuple(f"{place}{name}" for place in places), sums[name], size)
        for name, size in zip(names, sizes, strict=True)
    ]
