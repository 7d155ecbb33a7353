"""Latents on a plane, by one of three methods."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vae_lightning.latents.projections import pca, tsne

Method = Literal["tsne", "pca", "plane"]
METHODS: tuple[Method, ...] = get_args(Method)
FEWEST = 4  # points that t-SNE can place


@dataclass(frozen=True)
class Embedded:
    """Points of the latent space on a plane.

    Attributes:
        points: their places.
        name: of the method, in a reader's words.
        axes: what the two axes are; None where they mean nothing, as t-SNE's do.
    """

    points: Float[np.ndarray, "N 2"]
    name: str
    axes: tuple[str, str] | None


def embed(points: Float[Tensor, "N D"], method: Method, seed: int) -> Embedded:
    """The points by t-SNE (`tsne`, which alone looks at the seed), by their first two principal components (`pca`), or
    as they are (`plane`).

    Raises:
        ValueError: fewer than 4 points for t-SNE; `plane` for points that have not two dimensions.
    """
    if method == "tsne":
        return Embedded(tsne(points, seed), "t-SNE", None)
    if method == "pca":
        projected, fractions = pca(points)
        first, second = (f"principal component {index}, {share:.0%}" for index, share in enumerate(fractions, start=1))
        return Embedded(projected, "PCA", (f"{first} of the variance", f"{second} of the variance"))
    if points.shape[1] != 2:
        raise ValueError(f"method must be tsne or pca for {points.shape[1]} latent dimensions; plane is for two")
    return Embedded(points.numpy(), "latent plane", ("z 0", "z 1"))
