"""Whether images are copies of training images."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vae_lightning.latents.neighbours import nearest

HELD_OUT = 200  # images are enough for a median


@dataclass(frozen=True)
class Memorizing:
    """Samples beside their nearest training images.

    Attributes:
        neighbours: the nearest training images of each sample, nearest first.
        distances: root mean squared pixel differences to them, of pixels in [0, 1].
        reference: the median over reconstructions of held-out images of the distance to their nearest training image.
            They are as soft as samples are, where an image itself is sharp and so farther from all others. Samples that
            are much nearer are copies.
    """

    neighbours: UInt8[Tensor, "N K C H W"]
    distances: Float[Tensor, "N K"]
    reference: float


def memorizing(
    samples: Float[Tensor, "N C H W"],
    reconstructions: Float[Tensor, "M C H W"],
    training_images: Iterable[UInt8[Tensor, "_ C H W"]],
    num_nearest: int,
) -> Memorizing:
    """Compare samples and reconstructions of held-out images, in [0, 1], with all training images in one pass."""
    neighbours, distances = nearest(torch.cat([samples, reconstructions]), training_images, num_nearest)
    num_samples = len(samples)
    reference = distances[num_samples:, 0].median()
    return Memorizing(neighbours[:num_samples], distances[:num_samples], float(reference))
