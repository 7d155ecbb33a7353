"""MNIST: found where torchvision keeps it, or downloaded to there."""

import gzip
import math
import os
import shutil
import zlib
from pathlib import Path
from typing import final

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.cache import locked
from vae_lightning.data.decode import decode_grey
from vae_lightning.data.download import DownloadError, Limits, download
from vae_lightning.data.fitting import FitInMemory, ImageSize
from vae_lightning.data.idx import read_idx
from vae_lightning.data.image_data import Binarize, ImageDataModule
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.resize import grey_pixels
from vae_lightning.errors import UserError, require_at_least

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_LIMITS = Limits()  # of a download
_MOST_BYTES = 4_000_000_000  # of images once they are resized: MNIST at 256 x 256


@final
class MNIST(ImageDataModule):
    """70,000 digits of 28 x 28, resized if so configured: 55,000 / 5,000 / 10,000.

    Validation is the last of the training file, whatever the seed; test is the official one.

    Args:
        root: the folder that holds `MNIST/raw` with the four idx files (`.gz` or not), or into which they are
            downloaded.
        num_val: how many images are for validation; None is a twelfth of the file, 5,000.
    """

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
        )
        require_at_least("num_val", 1 if num_val is None else num_val, 1)
        self.root = root
        self.num_val = num_val
        self.raw_folder = Path(root).expanduser().absolute() / "MNIST" / "raw"

    def prepare_data(self) -> None:
        """Downloads the files unless they are there; raises UserError naming data.root."""
        if _is_complete(self.raw_folder):
            return
        if "root" in self.read_only:
            raise UserError(
                f"data.root={self.root}: MNIST is not in {self.raw_folder}, and nothing is downloaded to a place that "
                "a stored config names; type data.root=<folder that holds MNIST/raw, or is to>"
            )
        try:
            _download(self.raw_folder)
        except (DownloadError, OSError, ValueError, EOFError, zlib.error) as error:
            raise UserError(
                f"data.root={self.root}: MNIST is not in {self.raw_folder} and cannot be downloaded "
                f"({_last_line(error)}); give data.root=<folder that holds MNIST/raw with {', '.join(FILES)}>"
            ) from error

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits, with labels 0 to 9."""
        train_images, train_labels, test_images, test_labels = (self._read(name) for name in FILES)
        pixels = self._pixels(train_images, train_labels)
        num_val = len(pixels) // 12 if self.num_val is None else self.num_val
        if num_val >= len(pixels):
            raise UserError(f"data.num_val={num_val}: there are {len(pixels)} training images; choose fewer")
        train, val = torch.arange(len(pixels)).split([len(pixels) - num_val, num_val])
        return {
            "train": ImageSet(pixels, train, train_labels[train].long()),
            "val": ImageSet(pixels, val, train_labels[val].long()),
            "test": ImageSet(
                self._pixels(test_images, test_labels), torch.arange(len(test_images)), test_labels.long()
            ),
        }

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture in grey, cropped and resized as this dataset's images are."""
        grey = torch.from_numpy(decode_grey(path).copy())
        return grey_pixels(grey.unsqueeze(0), self.frame, self.channels, self.fit)[0]

    def _read(self, name: str) -> UInt8[Tensor, "..."]:
        path = self.raw_folder / name
        try:
            return read_idx(path)
        except FileNotFoundError as error:
            raise UserError(f"data.root={self.root}: {name} is not in {self.raw_folder}") from error
        except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
            raise UserError(
                f"data.root={self.root}: {path} or its .gz is damaged ({_last_line(error)}); give "
                "data.root=<folder that holds MNIST/raw with whole files, or is to>"
            ) from error

    def _pixels(self, images: Tensor, labels: Tensor) -> UInt8[Tensor, "N H W C"]:
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            shapes = f"{list(images.shape)} and {list(labels.shape)}"
            raise UserError(f"data.root={self.root}: images and labels do not match: {shapes}")
        if images.shape[1:] != self.frame and len(images) * math.prod(self.frame) > _MOST_BYTES:
            raise UserError(
                f"data.image_size={self.image_size}: {len(images):,} images of this size take more than "
                f"{_MOST_BYTES // 10**9} GB; choose a smaller one"
            )
        return grey_pixels(images, self.frame, self.channels, self.fit)


def _is_complete(folder: Path) -> bool:
    return all((folder / name).exists() or (folder / f"{name}.gz").exists() for name in FILES)


def _download(folder: Path) -> None:
    temporary = folder / ".download"
    with locked(folder):
        if _is_complete(folder):  # another process was faster
            return
        temporary.mkdir(exist_ok=True)  # what a process that was killed left there is gone on with
        for path in _downloaded(temporary):
            os.replace(path, folder / path.name)
        shutil.rmtree(temporary, ignore_errors=True)


def _downloaded(folder: Path) -> list[Path]:
    from torchvision import datasets  # takes seconds, and most runs need no download

    sums = dict(datasets.MNIST.resources)
    for name in FILES:
        packed = folder / f"{name}.gz"
        download([f"{mirror}{packed.name}" for mirror in datasets.MNIST.mirrors], packed, sums[packed.name], _LIMITS)
        with gzip.open(packed) as source, (folder / name).open("wb") as target:
            shutil.copyfileobj(source, target)
        read_idx(folder / name)
    return [folder / name for name in FILES]


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
