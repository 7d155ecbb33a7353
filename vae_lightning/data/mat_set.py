"""Small grey images out of .mat files, where MATLAB has each in a row or column of its own, column by column."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.decode import decode_grey
from vae_lightning.data.named_set import NamedSet, Part
from vae_lightning.data.resize import grey_pixels

_SIDE = 28


class MatSet(NamedSet):
    """Grey images of 28 x 28 with labels, in a .mat file; the arguments are those of `NamedSet`."""

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture in grey, cropped and resized as this dataset's images are."""
        grey = torch.from_numpy(decode_grey(path).copy())
        return grey_pixels(grey.unsqueeze(0), self.frame, self.channels, self.fit)[0]

    def part(self, rows: np.ndarray, labels: np.ndarray) -> Part:
        """Images [N, 784] of values in [0, 1], each a column of pixels after the other, and their labels [N].

        Raises ValueError for anything else.
        """
        if rows.shape != (len(labels), _SIDE**2) or rows.dtype.kind not in "fiu" or labels.dtype.kind not in "iu":
            raise ValueError(f"it holds {rows.dtype} of shape {list(rows.shape)} and {len(labels)} labels")
        if not (rows.size and rows.min() >= 0 and rows.max() <= 1):  # NaN is neither
            raise ValueError("its pixels are not all from 0 to 1")
        self.check_room(len(rows), (_SIDE, _SIDE), 1)
        levels = (rows.astype(np.float32) * 255).round().astype(np.uint8)
        images = torch.from_numpy(levels).unflatten(1, (_SIDE, _SIDE)).transpose(1, 2).contiguous()
        pixels = grey_pixels(images, self.frame, self.channels, self.fit)
        return Part(pixels, torch.from_numpy(labels.astype(np.int64).ravel()))
