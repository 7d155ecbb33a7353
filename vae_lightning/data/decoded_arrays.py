"""The images of a file of arrays, brought to the wanted size and to 256 levels, written into one file of pixels."""

import os
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vae_lightning.data.arrays import Arrays
from vae_lightning.data.decode import array_image
from vae_lightning.data.fitting import Fit, ImageSize
from vae_lightning.data.values import Scale, as_levels


def write_arrays(
    arrays: Arrays, path: Path, image_size: ImageSize, channels: int, scale: Scale | None, fit: Fit
) -> None:
    """Write all images, uint8 [N, H, W, C], to the end of a file; of the arrays a few megabytes are in RAM at a time.

    Args:
        arrays: what is to be written.
        path: of an existing file.
        image_size: height and width of what is written, one number for both or [height, width].
        channels: of what is written.
        scale: of the numbers.
        fit: how each is brought to that size.

    Raises:
        OSError: it can't be written, or the arrays not be read.
        ValueError: numbers that are not finite.
    """
    with path.open("ab") as file, tqdm(total=len(arrays), desc="reading arrays", unit="img", disable=None) as progress:
        for part in arrays.parts:
            for _, block in part.blocks():
                levels = as_levels(block, scale)
                images = np.stack([array_image(image, image_size, channels, fit) for image in levels])
                file.write(np.ascontiguousarray(images).data)
                progress.update(len(images))
        file.flush()
        os.fsync(file.fileno())  # or a power cut could leave the name without the bytes
