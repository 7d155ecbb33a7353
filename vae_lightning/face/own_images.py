"""The images of a run's own data, as Python code asks for them."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64

from vae_lightning.errors import ArgumentError
from vae_lightning.face.checks import whole_number
from vae_lightning.runs.images import SPLIT_NAMES
from vae_lightning.runs.trained import TrainedRun

_BYTES = 255  # a scale as wide has floats in [0, 1] for pixels, see `as_batch`


def own_images(
    run: TrainedRun, split: Any, num_images: Any
) -> tuple[Float32[np.ndarray, "N C H W"], Int64[np.ndarray, " N"] | None]:
    """Images of a split and their labels, as `as_batch` takes them.

    Raises:
        ArgumentError: no such split, or a number below 1.
        UserError: the images are not there.
    """
    if not isinstance(split, str) or split not in SPLIT_NAMES:
        raise ArgumentError(f"split: expected one of {', '.join(SPLIT_NAMES)}, got {split!r}")
    count = None if num_images is None else whole_number("num_images", num_images, 1)
    data = run.data
    indices = torch.arange(len(data.splits[split]))
    batch = data.images_at(indices, split) if count is None else data.examples(count, split)
    pixels = (batch.images.float() / 255).numpy()
    scale = data.scale()
    if scale is not None and scale.high - scale.low < _BYTES:  # by which `as_batch` takes any floats
        pixels = (scale.low + pixels * (scale.high - scale.low)).astype(np.float32)
    return pixels, None if batch.labels is None else batch.labels.numpy()
