"""Points of a latent space on a plane: coloured where they have labels, as the images they stand for where not."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from vae_lightning.drawing.plots import label_scatter
from vae_lightning.drawing.sheets import Sheet
from vae_lightning.drawing.thumbnails import thumbnail_map


def embedding_picture(
    points: Float[np.ndarray, "N 2"],
    images: UInt8[Tensor, "N C H W"],
    labels: Int[np.ndarray, " N"] | None,
    axes: tuple[str, str] | None,
    title: str,
    context: str,
    class_names: Sequence[str] | None = None,
) -> Sheet:
    """A scatter plot with a legend, or all the images, each near its place.

    Args:
        points: where each image lies.
        images: what they are, only looked at where there are no labels.
        labels: what they are coloured by.
        axes: what the axes are; None where they mean nothing.
        title, context: above the picture.
        class_names: of the labels, by number.
    """
    if labels is None:
        return thumbnail_map(points, images, title, context, axes)
    return label_scatter(points, labels, title, context, axes, class_names)
