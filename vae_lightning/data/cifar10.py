"""CIFAR-10, in its binary version: no pickle is opened."""

import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch

from vae_lightning.data.colour import colour_pixels
from vae_lightning.data.colour_set import ColourSet
from vae_lightning.data.fetching import RemoteFile
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.named_set import DAMAGES, Part
from vae_lightning.disk.files import read_bytes

_TRAINING = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_TEST = "test_batch.bin"
_RECORD = 1 + 3 * 32 * 32  # bytes: the label, then all red, green and blue values
_MOST_BYTES = 100_000_000  # of one file; the original ones have 31 MB


@final
class CIFAR10(ColourSet):
    """60,000 photographs of ten kinds of things, 32 x 32: 45,834 / 4,166 (the last for training) / 10,000.

    `root` holds `cifar-10-batches-bin` with the six .bin files. Krizhevsky, Learning multiple layers of features from
    tiny images, 2009.
    """

    title = "CIFAR-10"
    below = "cifar-10-batches-bin"
    needed = (*_TRAINING, _TEST)
    num_unpacked = 185_000_000
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def remote_files(self) -> list[RemoteFile]:
        """One archive, 170 MB."""
        address = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
        return [RemoteFile("binary.tar.gz", (address,), "c32a1d4ab5d03f1284b67883e8d87530", 170_052_171)]

    def unpack(self, folder: Path) -> list[Path]:
        """The six files of the archive."""
        with tarfile.open(folder / "binary.tar.gz") as archive:
            for name in self.needed:
                source = archive.extractfile(f"cifar-10-batches-bin/{name}")
                assert source is not None  # the archive has its checksum
                with (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
        return [folder / name for name in self.needed]

    def is_complete(self) -> bool:
        """Whether all files are there."""
        return all((self.raw_folder / name).exists() for name in self.needed)

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits, with labels 0 to 9."""
        return self.in_splits(self._part(_TRAINING), self._part([_TEST]))

    def _part(self, names: Sequence[str]) -> Part:
        records = np.concatenate([self._records(self.raw_folder / name) for name in names])
        planes = torch.from_numpy(records[:, 1:]).unflatten(1, (3, 32, 32))
        images = planes.permute(0, 2, 3, 1).contiguous()
        self.check_room(len(images), (32, 32), self.channels)
        labels = torch.from_numpy(records[:, 0].astype(np.int64))
        return Part(colour_pixels(images, self.frame, self.channels, self.fit), labels)

    def _records(self, path: Path) -> np.ndarray:
        try:
            content = read_bytes(path, _MOST_BYTES)
            if not content or len(content) % _RECORD:
                raise ValueError(f"{len(content):,} bytes are no whole number of images")
        except DAMAGES as error:
            raise self.damaged(path, error) from error
        return np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
