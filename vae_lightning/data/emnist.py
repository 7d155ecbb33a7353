"""EMNIST: found where torchvision keeps it, or downloaded to there."""

import shutil
import string
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final, get_args

from jaxtyping import Int64, UInt8
from torch import Tensor

from vae_lightning.data.augmenting import Given
from vae_lightning.data.class_names import Label
from vae_lightning.data.fetching import RemoteFile
from vae_lightning.data.fitting import FitInMemory, ImageSize
from vae_lightning.data.idx_set import IdxSet
from vae_lightning.data.image_data import Binarize

Name = Literal["balanced", "byclass", "bymerge", "digits", "letters", "mnist"]

_DIGITS = tuple(string.digits)
_BOTH_CASES = (*_DIGITS, *string.ascii_uppercase, *string.ascii_lowercase)
_MERGED = (*_DIGITS, *string.ascii_uppercase, *"abdefghnqrt")  # other small letters look like their capitals
_CLASSES: dict[str, tuple[str, ...]] = {
    "balanced": _MERGED,
    "byclass": _BOTH_CASES,
    "bymerge": _MERGED,
    "digits": _DIGITS,
    "letters": tuple(string.ascii_lowercase),
    "mnist": _DIGITS,
}


@final
class EMNIST(IdxSet):
    """Handwritten digits and letters of 28 x 28, one of six choices; validation is a twelfth, the last for training.

    `root` holds `EMNIST/raw` with the idx files (`.gz` or not). Cohen, Afshar, Tapson and van Schaik, arXiv 1702.05373.

    Args:
        name: "balanced" has 112,800 for training and 18,800 for test, of 47 classes; "letters" 124,800 and 20,800 of
            26; "digits" 240,000 and 40,000; "mnist" 60,000 and 10,000; "byclass" 697,932 and 116,323 of 62; "bymerge"
            as many of 47.
    """

    title = "EMNIST"
    below = "EMNIST/raw"
    num_unpacked = 562_000_000

    def __init__(
        self,
        *,
        root: str = "data",
        name: Name = "balanced",
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
        if name not in get_args(Name):
            raise ValueError(f"name must be one of {', '.join(get_args(Name))}, got {name}")
        self.dataset_name = name
        kinds = ("images-idx3", "labels-idx1")
        self.needed = tuple(f"emnist-{name}-{split}-{kind}-ubyte" for split in ("train", "test") for kind in kinds)
        self.classes = _CLASSES[name]

    def remote_files(self) -> list[RemoteFile]:
        """One archive of all six choices, 562 MB."""
        from torchvision import datasets  # takes seconds, and most runs need no download

        return [RemoteFile("gzip.zip", (datasets.EMNIST.url,), datasets.EMNIST.md5, 561_753_746)]

    def unpack(self, folder: Path) -> list[Path]:
        """The packed idx files of all choices, so that another one needs no download."""
        paths = []
        with zipfile.ZipFile(folder / "gzip.zip") as archive:
            for member in archive.namelist():
                if member.endswith("-ubyte.gz"):
                    paths.append(folder / Path(member).name)
                    with archive.open(member) as source, paths[-1].open("wb") as target:
                        shutil.copyfileobj(source, target)
        return paths

    def upright(self, images: UInt8[Tensor, "N h w"]) -> UInt8[Tensor, "N h w"]:
        """The files hold each image with its rows and columns exchanged."""
        return images.transpose(1, 2).contiguous()

    def from_zero(self, labels: UInt8[Tensor, " N"]) -> Int64[Tensor, " N"]:
        """Of "letters" the first one has the label 1 in the files."""
        return labels.long() - (1 if self.dataset_name == "letters" else 0)
