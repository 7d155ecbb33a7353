"""Street View House Numbers: the cropped digits."""

from pathlib import Path
from typing import final

import numpy as np
import torch

from vae_lightning.data.colour import colour_pixels
from vae_lightning.data.colour_set import ColourSet
from vae_lightning.data.fetching import RemoteFile
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.mat import read_mat
from vae_lightning.data.named_set import DAMAGES, Part

_SIZES = {"train": 182_040_794, "test": 64_275_384}


@final
class SVHN(ColourSet):
    """99,289 digits of house numbers, 32 x 32: 67,153 / 6,104 (the last for training) / 26,032.

    `root` holds `SVHN` with train_32x32.mat and test_32x32.mat, or holds them itself, as torchvision has it. The
    531,131 easier ones of extra_32x32.mat are not used. Netzer et al., Reading digits in natural images with
    unsupervised feature learning, 2011.
    """

    title = "SVHN"
    below = "SVHN"
    needed = ("train_32x32.mat", "test_32x32.mat")
    classes = tuple("0123456789")

    @property
    def raw_folder(self) -> Path:
        """Where the files lie: the root itself if they are there."""
        root = Path(self.root).expanduser().absolute()
        return root if all((root / name).exists() for name in self.needed) else root / self.below

    def remote_files(self) -> list[RemoteFile]:
        """Two files, 246 MB."""
        from torchvision import datasets  # takes seconds, and most runs need no download

        found = (datasets.SVHN.split_list[split] for split in _SIZES)
        sizes = _SIZES.values()
        return [RemoteFile(name, (url,), md5, size) for (url, name, md5), size in zip(found, sizes, strict=True)]

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits, with labels 0 to 9."""
        train, test = (self._part(self.raw_folder / name) for name in self.needed)
        return self.in_splits(train, test)

    def _part(self, path: Path) -> Part:
        try:
            found = read_mat(path, ("X", "y"))
            images, labels = found["X"], found["y"].ravel()
            if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)) or labels.dtype.kind not in "iu":
                raise ValueError(f"it holds {images.dtype} of shape {list(images.shape)} and {len(labels)} labels")
        except DAMAGES as error:
            raise self.damaged(path, error) from error
        self.check_room(len(labels), (32, 32), self.channels)
        pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(3, 0, 1, 2)))
        digits = torch.from_numpy(labels.astype(np.int64))
        digits = digits.where(digits != 10, 0)  # as the file calls a zero
        return Part(colour_pixels(pixels, self.frame, self.channels, self.fit), digits)
