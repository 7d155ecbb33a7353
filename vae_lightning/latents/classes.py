"""The labels of what a conditional model makes, where nobody has said which."""

import torch
from jaxtyping import Int64
from torch import Tensor

from vae_lightning.models.latent_model import LatentModel


def labels_of_samples(vae: LatentModel, indices: Int64[Tensor, " N"]) -> Int64[Tensor, " N"] | None:
    """Label n modulo the number of classes for sample n, whatever is made with it; None for a model without labels."""
    return None if vae.num_classes is None else indices % vae.num_classes


def first_label(count: int) -> Int64[Tensor, " N"]:
    """Label 0, so many times: what a picture of one label has."""
    return torch.zeros(count, dtype=torch.int64)


def labels_along(ends: Int64[Tensor, " M"] | None, num_ways: int, num_points: int) -> Int64[Tensor, "P L N"] | None:
    """The labels of the points on P = M - 1 ways from each of M images to the next: that of the nearer end.

    Args:
        ends: the images' own; None for a model without labels.
        num_ways: L, by which one comes from an image to the next.
        num_points: N, of a way; of an odd number the middle has the label of the start.
    """
    if ends is None:
        return None
    is_late = torch.arange(num_points, device=ends.device) > (num_points - 1) / 2
    return torch.where(is_late, ends[1:, None, None], ends[:-1, None, None]).expand(-1, num_ways, -1)
