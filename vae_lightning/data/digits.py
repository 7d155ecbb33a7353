"""scikit-learn's handwritten digits: 1,797 grey images that need no download."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import final

import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.augmenting import Given
from vae_lightning.data.class_names import Label
from vae_lightning.data.decode import decode_grey
from vae_lightning.data.fitting import FitInMemory, ImageSize
from vae_lightning.data.image_data import Binarize, ImageDataModule
from vae_lightning.data.loader import ImageSet, seeded_generator
from vae_lightning.data.resize import grey_pixels

_SPLIT_SIZES = {"train": 1257, "val": 180, "test": 360}  # 70, 10 and 20 %


@final
class Digits(ImageDataModule):
    """1,797 digits of 8 x 8, resized; 1,257 train, 180 validate and 360 test, dealt by the seed."""

    def __init__(
        self,
        *,
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

    def prepare_data(self) -> None:
        """Nothing to do: the images come with scikit-learn."""

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits, with labels 0 to 9."""
        grey, labels = _read()
        pixels = grey_pixels(grey, self.frame, self.channels, self.fit)
        order = torch.randperm(len(labels), generator=seeded_generator("digits", self.seed))
        shares = zip(_SPLIT_SIZES, order.split(list(_SPLIT_SIZES.values())), strict=True)
        return {split: ImageSet(pixels, rows, labels[rows]) for split, rows in shares}

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture in grey, cropped and resized as this dataset's images are."""
        grey = torch.from_numpy(decode_grey(path).copy())
        return grey_pixels(grey.unsqueeze(0), self.frame, self.channels, self.fit)[0]


@functools.cache
def _read() -> tuple[UInt8[Tensor, "N 8 8"], Int64[Tensor, " N"]]:
    """Images and labels, which nobody is to change."""
    from sklearn.datasets import load_digits  # takes a second

    digits = load_digits()
    return torch.from_numpy(digits.images * (255 / 16)).round().to(torch.uint8), torch.from_numpy(digits.target).long()
