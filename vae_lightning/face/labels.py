"""The labels that a conditional model is told, as Python code gives them."""

from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vae_lightning.data.class_names import Names, choices, label_number
from vae_lightning.errors import ArgumentError, UserError

Labels: TypeAlias = Any  # an int or a name, a sequence of them, or an array of them


def as_labels(
    labels: Labels, count: int, num_classes: int | None, class_names: Names = None
) -> Int64[Tensor, " N"] | None:
    """A label for each of so many images; None for a model that is not told any.

    Args:
        labels: one for all of them, or one for each.
        count: N.
        num_classes: that the model knows; None for one that is not told labels.
        class_names: of the labels, by number, where they have names.

    Raises:
        ArgumentError: they are missing, or given where none are told; no whole numbers, another number of them than of
            images, or one that the model does not know.
    """
    if num_classes is None:
        if labels is not None:
            raise ArgumentError("labels: this run's model is not told labels; that takes model.num_classes=")
        return None
    wanted = f"give a label from 0 to {num_classes - 1}, or a sequence of {count} of them"
    if class_names is not None:
        wanted = f"give a label, or a sequence of {count} of them; {choices(class_names)}"
    if labels is None:
        raise ArgumentError(f"labels: this run's model is told labels; {wanted}")
    given = _numbers(np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels), class_names)
    if given.dtype.kind not in "iu" or given.shape not in ((), (count,)):
        raise ArgumentError(f"labels: {given.dtype} of shape {list(given.shape)}; {wanted}")
    if given.size and not 0 <= given.min() <= given.max() < num_classes:
        raise ArgumentError(f"labels: has {given.min()} to {given.max()}; {wanted}")
    return torch.from_numpy(np.broadcast_to(given.astype(np.int64), (count,)).copy())


def _numbers(given: np.ndarray, class_names: Names) -> np.ndarray:
    """The numbers of names, as they stand in a list or an array; what are no names stays."""
    if class_names is None or given.dtype.kind not in "UO" or not all(isinstance(each, str) for each in given.flat):
        return given
    try:
        numbers = [label_number(str(name), class_names, "labels") for name in given.flat]
    except UserError as error:
        raise ArgumentError(str(error)) from error
    return np.array(numbers, np.int64).reshape(given.shape)
