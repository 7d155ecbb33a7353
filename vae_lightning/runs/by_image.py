"""Collects what a test finds of each image, batch by batch and over all ranks."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.data.loader import ImageBatch
from vae_lightning.runs.tested_images import ImageRows, digests_of


class ByImage:
    """The rows of the images so far, on the CPU."""

    def __init__(self) -> None:
        self._parts: list[ImageRows] = []

    @torch.no_grad()
    def add(self, batch: ImageBatch, elbo: Float[Tensor, " B"]) -> None:
        """Add one batch.

        Args:
            batch: float images in [0, 1], which are whole numbers by 255, as the model was given them.
            elbo: of each.
        """
        pixels = (batch.images * 255).round().to(torch.uint8).cpu().numpy()  # exactly what they were
        self._parts.append(ImageRows(elbo.float().cpu().numpy(), batch.indices.cpu().numpy(), digests_of(pixels)))

    def together(self, collect: Callable[[ImageRows | None], list[ImageRows | None]]) -> ImageRows | None:
        """The rows of all ranks in the order of the images, on every rank; None where there are none.

        Args:
            collect: `World.collect`.
        """
        gathered = [part for part in collect(_joined(self._parts)) if part is not None]
        whole = _joined(gathered)
        if whole is None:
            return None
        order = np.argsort(whole.indices, kind="stable")
        return ImageRows(*(column[order] for column in whole))


def _joined(parts: list[ImageRows]) -> ImageRows | None:
    return ImageRows(*map(np.concatenate, zip(*parts, strict=True))) if parts else None
