"""Omniglot as the literature on log-likelihoods has it: Burda's file of 28 x 28 and his splits."""

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

_FILE = "chardata.mat"
_REPOSITORY = "https://raw.githubusercontent.com/yburda/iwae/{}/datasets/OMNIGLOT/chardata.mat"
_COMMIT = "78a6075484bd7dd6f47a4bb9880d2295bc7a5220"
_CHECKSUM = "git:016a3536ffe5e1d38e42563a18d7a78bfaf643ec"
_SEED = 123  # of the order in which the IWAE's code takes the training images, before it sets the last ones aside
_NUM_VAL = 1345


@final
class Omniglot(MatSet):
    """32,415 letters of 50 alphabets, 28 x 28: 23,000 / 1,345 / 8,070; the labels are the alphabets.

    The splits are those of the IWAE (Burda, Grosse and Salakhutdinov, arXiv 1509.00519): all but the last 1,345 of the
    24,345 training images, which it shuffled with a seed of its own, and its 8,070 for test. The file has grey values;
    the papers' figures are on binary images drawn from them anew each time, `binarize="dynamic"`. `root` holds
    `OMNIGLOT/chardata.mat`. The drawings: Lake, Salakhutdinov and Tenenbaum, Science 350, 2015.
    """

    title = "Omniglot"
    below = "OMNIGLOT"
    needed = (_FILE,)

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
        binarize: Binarize = "dynamic",
        fit: FitInMemory = "crop",
        augmentations: Sequence[Given] = (),
        exclude_labels: Sequence[Label] = (),
    ):
        super().__init__(
            root=root,
            num_val=num_val,
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
        self.num_val = _NUM_VAL if num_val is None else num_val

    def remote_files(self) -> list[RemoteFile]:
        """One file, by the name that Git has for its content."""
        places = tuple(_REPOSITORY.format(version) for version in (_COMMIT, "master"))
        return [RemoteFile(_FILE, places, _CHECKSUM, 50_000_000)]

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits, with labels 0 to 49."""
        path = self.raw_folder / _FILE
        try:
            found = read_mat(path, ("data", "target", "testdata", "testtarget"))
            train = self._part(found["data"], found["target"], shuffled=True)
            test = self._part(found["testdata"], found["testtarget"], shuffled=False)
        except DAMAGES as error:
            raise self.damaged(path, error) from error
        return self.in_splits(train, test)

    def _part(self, columns: np.ndarray, one_hot: np.ndarray, shuffled: bool) -> Part:
        if columns.ndim != 2 or one_hot.ndim != 2 or columns.shape[1:] != one_hot.shape[1:]:
            raise ValueError(f"images and labels do not match: {list(columns.shape)} and {list(one_hot.shape)}")
        rows, labels = columns.T, one_hot.argmax(0)
        if shuffled:
            order = np.random.RandomState(_SEED).permutation(len(labels))
            rows, labels = rows[order], labels[order]
        return self.part(rows, labels)
