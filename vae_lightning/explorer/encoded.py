"""Encoded images as a page shows them: where they lie on planes, and each as a thumbnail."""

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from vae_lightning.drawing.png import to_uint8
from vae_lightning.drawing.shown import showing
from vae_lightning.drawing.sprites import sprite_sheet
from vae_lightning.latents.embeddings import FEWEST
from vae_lightning.latents.projections import principal_axes, tsne
from vae_lightning.pictures.picture import check_finite
from vae_lightning.runs.images import SPLIT_NAMES
from vae_lightning.runs.trained import TrainedRun

Thumbnails = Literal["reconstructions", "originals"]
_MOST_BYTES = 6_000_000  # of the codes of some images, in float16
_LONGEST = 48  # pixels of a thumbnail's longer side


@dataclass(frozen=True)
class EncodedImages:
    """Images of one split, by their posterior means.

    Attributes:
        split: whose they are.
        codes: posterior means.
        labels: where the data have any.
        sheet: the thumbnails in reading order, as the bytes of a WebP.
        cell: (width, height) of one.
        columns: how many are beside each other.
    """

    split: str
    codes: Float[Tensor, "N D"]
    labels: Int64[Tensor, " N"] | None
    sheet: bytes
    cell: tuple[int, int]
    columns: int

    def facts(self) -> dict[str, Any]:
        """All but codes and thumbnails, as plain data."""
        labels = None if self.labels is None else self.labels.tolist()
        return {"kind": SPLIT_NAMES[self.split], "labels": labels, "cell": list(self.cell), "columns": self.columns}


def encoded_images(run: TrainedRun, split: str, num_images: int, thumbnails: Thumbnails) -> EncodedImages | None:
    """So many images of a split, chosen by the run's seed, or as many as there are; None for none.

    Args:
        run: whose data and model they are of.
        split: of the data.
        num_images: how many.
        thumbnails: what is shown of each: what the model makes of it, or the image itself.

    Raises:
        UserError: the images are not there, or their posteriors are not finite.
    """
    if num_images < 1:
        return None
    batch, latents = run.encoded(split, num_images)
    check_finite(latents)
    if thumbnails == "originals":
        shown = batch.images
    else:
        shown = to_uint8(run.decode_as(latents.loc, run.told(batch.labels, len(latents))))
    with showing(run.preprocessing.shown_channels):  # as the page shows the image itself
        sheet, cell = sprite_sheet(_small(shown), limit=8192)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", quality=80, method=6)
    return EncodedImages(split, latents.loc, batch.labels, buffer.getvalue(), cell, sheet.shape[1] // cell[0])


def most_images(latent_dim: int) -> int:
    """Of how many images the codes take no more than some megabytes."""
    return _MOST_BYTES // (2 * latent_dim)


def _small(images: UInt8[Tensor, "N C H W"]) -> UInt8[Tensor, "N C h w"]:
    height, width = images.shape[2:]
    shrink = _LONGEST / max(height, width)
    if shrink >= 1:
        return images
    size = [max(1, round(height * shrink)), max(1, round(width * shrink))]
    small = interpolate(images.float(), size=size, mode="bilinear", antialias=True)
    return small.round().clamp(0, 255).to(torch.uint8)


def planes_of(codes: Float[Tensor, "N D"], seed: int) -> tuple[dict[str, np.ndarray], list[float]]:
    """Where codes lie by PCA and by t-SNE, as arrays by name, and the fractions of the variance of the two components.

    `pca_mean` [D] and `pca_axes` [2, D] lead back from the plane of PCA; `tsne` [N, 2] is scaled to [-1, 1].
    """
    mean, axes, fractions = principal_axes(codes)
    arrays = {"pca_mean": mean, "pca_axes": axes.T}
    if len(codes) >= FEWEST:
        places = tsne(codes, seed)
        places = places - (places.max(0) + places.min(0)) / 2
        arrays["tsne"] = places / max(float(np.abs(places).max()), 1e-12)
    return arrays, fractions.tolist()
