"""Public sets of small colour pictures."""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.augmenting import Given
from vae_lightning.data.class_names import Label
from vae_lightning.data.colour import decode_colour
from vae_lightning.data.fitting import FitInMemory, ImageSize
from vae_lightning.data.image_data import Binarize
from vae_lightning.data.named_set import NamedSet


class ColourSet(NamedSet):
    """Colour pictures of 32 x 32 with labels; the arguments are those of `NamedSet`."""

    def __init__(
        self,
        *,
        root: str = "data",
        num_val: int | None = None,
        image_size: ImageSize = 32,
        channels: int = 3,
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

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture, cropped and resized as this dataset's images are."""
        return decode_colour(path, self.frame, self.channels, self.fit)
