"""Caltech 101 Silhouettes: outlines of things, filled."""

from collections.abc import Sequence
from typing import final

import numpy as np

from vae_lightning.data.augmenting import Given
from vae_lightning.data.class_names import Label
from vae_lightning.data.fetching import RemoteFile
from vae_lightning.data.fitting import FitInMemory, ImageSize
from vae_lightning.data.image_data import Binarize
from vae_lightning.data.loader import ImageSet
from vae_lightning.data.mat import read_mat
from vae_lightning.data.mat_set import MatSet
from vae_lightning.data.named_set import DAMAGES, Part
from vae_lightning.data.splits import SPLITS

_FILE = "caltech101_silhouettes_28_split1.mat"
_ADDRESS = f"https://people.cs.umass.edu/~marlin/data/{_FILE}"


@final
class Caltech101(MatSet):
    """8,671 silhouettes of 101 kinds of things, 28 x 28: 4,100 / 2,264 / 2,307, all three official.

    The pixels are 0 or 1 already. A draw from them is themselves: `binarize="fixed"` changes nothing, but tells that
    what a Bernoulli likelihood gives is a log-likelihood of binary images. `root` holds
    `Caltech101Silhouettes/caltech101_silhouettes_28_split1.mat`. Marlin, Swersky, Chen and de Freitas, Inductive
    principles for restricted Boltzmann machine learning, 2010.

    Args:
        image_size: others than 28 are made by resizing, and binarized anew.
    """

    title = "Caltech 101 Silhouettes"
    below = "Caltech101Silhouettes"
    needed = (_FILE,)

    def __init__(
        self,
        *,
        root: str = "data",
        image_size: ImageSize = 28,
        channels: int = 1,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        seed: int = 0,
        shuffle: bool = True,
        horizontal_flip: bool = False,
        binarize: Binarize = "fixed",
        fit: FitInMemory = "crop",
        augmentations: Sequence[Given] = (),
        exclude_labels: Sequence[Label] = (),
    ):
        super().__init__(
            root=root,
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

    def remote_files(self) -> list[RemoteFile]:
        """One file."""
        return [RemoteFile(_FILE, (_ADDRESS,), "4483e9c14b188fd09937f9ea6f9ea777", 10_000_000)]

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits, with labels 0 to 100."""
        path = self.raw_folder / _FILE
        names = [f"{split}_{kind}" for split in SPLITS for kind in ("data", "labels")]
        try:
            found = read_mat(path, [*names, "classnames"])
            train, val, test = (self._part(found[f"{split}_data"], found[f"{split}_labels"]) for split in SPLITS)
            self.classes = tuple(str(np.asarray(name).item()) for name in found["classnames"].ravel())
        except DAMAGES as error:
            raise self.damaged(path, error) from error
        return self.in_splits(train, test, val)

    def _part(self, rows: np.ndarray, labels: np.ndarray) -> Part:
        return self.part(rows, labels.ravel().astype(np.int64) - 1)  # MATLAB counts from 1
