"""Images from the prior."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from vae_lightning.drawing.captions import with_caption
from vae_lightning.drawing.grids import sample_grid
from vae_lightning.errors import require_at_least
from vae_lightning.latents.classes import labels_of_samples
from vae_lightning.pictures.saving import save_image, save_picture, to_uint8
from vae_lightning.runs.trained import TrainedRun

Format = Literal["grid", "png", "npz"]
_LARGEST_GRID = 2500


@dataclass(frozen=True)
class WriteSamples:
    """Mean images of z from the prior; image n depends on the seed and n alone.

    Of a model with labels, without `label=`, it has label n modulo their number, and the grid a row for each.

    Attributes:
        num_images: how many.
        temperature: 1 is the prior's own spread, 0 its mean, of a mixture a component's; images below 1 are more
            typical and less varied.
        seed: of z.
        save: `grid`, one picture `samples.png`; `png`, a file an image, `sample_000017.png`; `npz`, all in
            `samples.npz`: `images`, uint8 [N, H, W, C], `z`, float32 [N, D], and any `labels`.
        batch_size: how many are decoded at a time; changes no image.

    Raises:
        ValueError: a number too small, or a grid too large.
    """

    num_images: int = 64
    temperature: float = 1.0
    seed: int = 0
    save: Format | Sequence[Format] = ("grid", "png")
    batch_size: int = 100

    def __post_init__(self) -> None:
        require_at_least("num_images", self.num_images, 1)
        require_at_least("batch_size", self.batch_size, 1)
        require_at_least("seed", self.seed, 0)
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be at least 0, got {self.temperature}")
        if not self.save:
            raise ValueError("save must be one or more of grid, png, npz")
        if "grid" in self.save and self.num_images > _LARGEST_GRID:
            raise ValueError(f"num_images must be at most {_LARGEST_GRID} for a grid; save=npz or save=png takes more")

    def __call__(self, run: TrainedRun, folder: Path) -> None:
        kept: list[tuple[Tensor, Tensor]] = []
        for indices, z, images in self._batches(run):
            if "png" in self.save:
                for index, image in zip(indices.tolist(), images, strict=True):
                    save_image(folder / f"sample_{index:06d}.png", image)
            if "grid" in self.save or "npz" in self.save:  # files alone may be more than memory holds
                kept.append((z, images))
        if not kept:
            return
        z, images = map(torch.cat, zip(*kept, strict=True))
        if "grid" in self.save:
            title = f"samples from the prior, temperature {self.temperature:g}, seed {self.seed}"
            rows = None if run.label is not None else run.vae.num_classes
            title += "" if rows is None else ", a row a label"
            grid = sample_grid(images.float() / 255, rows)
            save_picture(folder / "samples.png", with_caption(grid, title, run.context))
        if "npz" in self.save:
            pixels = images.permute(0, 2, 3, 1).numpy()
            labels = run.told_to_make(labels_of_samples(run.vae, torch.arange(self.num_images)), self.num_images)
            told: dict[str, Any] = {} if labels is None else {"labels": labels.numpy()}
            np.savez(folder / "samples.npz", images=pixels, z=z.numpy(), **told)

    def _batches(
        self, run: TrainedRun
    ) -> Iterator[tuple[Int64[Tensor, " B"], Float32[Tensor, "B D"], UInt8[Tensor, "B C H W"]]]:
        for indices in torch.arange(self.num_images).split(self.batch_size):
            labels = labels_of_samples(run.vae, indices)
            z = run.draw(indices, self.seed, self.temperature, labels)
            yield indices, z, to_uint8(run.decode(z, labels, self.batch_size))
