"""The labels that a conditional model is told, as Python code gives them."""

from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vae_lightning.errors import ArgumentError

Labels: TypeAlias = Any  # an int, a sequence of them, or an array of them


def as_labels(labels: Labels, count: int, num_classes: int | None) -> Int64[Tensor, " N"] | None:
    """A label for each of so many images; None for a model that is not told any.

    Args:
        labels: one for all of them, or one for each.
        count: N.
        num_classes: that the model knows; None for one that is not told labels.

    Raises:
        ArgumentError: they are missing, or given where none are told; no whole numbers, another number of them than of
            images, or one that the model does not know.
    """
    if num_classes is None:
        if labels is not None:
            raise ArgumentError("labels: this run's model is not told labels; that takes model.num_classes=")
        return None
    wanted = f"give a label from 0 to {num_classes - 1}, or a sequence of {count} of them"
    if labels is None:
        raise ArgumentError(f"labels: this run's model is told labels; {wanted}")
    given = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if given.dtype.kind not in "iu" or given.shape not in ((), (count,)):
        raise ArgumentError(f"labels: {given.dtype} of shape {list(given.shape)}; {wanted}")
    if given.size and not 0 <= given.min() <= given.max() < num_classes:
        raise ArgumentError(f"labels: has {given.min()} to {given.max()}; {wanted}")
    return torch.from_numpy(np.broadcast_to(given.astype(np.int64), (count,)).copy())
