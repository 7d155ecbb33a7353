"""Images from the prior or another sampler, for other programs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from vae_lightning.drawing.png import to_uint8
from vae_lightning.errors import require_at_least
from vae_lightning.exports.saving import context_of, save_drawing, save_image
from vae_lightning.latents.classes import labels_of_samples
from vae_lightning.latents.samplers.sampler import Sampler
from vae_lightning.models.latent_model import Temperature
from vae_lightning.pictures.picture import MOST_SAMPLES
from vae_lightning.pictures.samples import Samples
from vae_lightning.runs.sampling import drawing_by, drawn_from
from vae_lightning.runs.source import Source

_LARGEST_GRID = 2500
Format = Literal["grid", "png", "npz"]


@dataclass(frozen=True)
class WriteSamples:
    """Mean images of z from the prior or another sampler; image n depends on the seed and n alone.

    Of a model with labels, without `label=`, it has label n modulo their number, and the grid a row for each.

    Attributes:
        num_images: how many.
        temperature, seed: those of the picture `Samples`.
        save: `grid`, that picture as `samples.png`; `png`, a file an image, `sample_000017.png`; `npz`, all in
            `samples.npz`: `images`, uint8 [N, H, W, C], `z`, float32 [N, D], and any `labels`.
        batch_size: how many are decoded at a time; changes no image.
        sampler: what draws z, fitted to the run's training images before; None is the model's prior.

    Raises:
        ValueError: a number too small, or a grid too large.
    """

    num_images: int = 64
    temperature: Temperature = 1.0
    seed: int | None = None
    save: Format | Sequence[Format] = ("grid", "png")
    batch_size: int = 100
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        require_at_least("num_images", self.num_images, 1)
        require_at_least("batch_size", self.batch_size, 1)
        if not self.save:
            raise ValueError("save must be one or more of grid, png, npz")
        if "grid" in self.save and self.num_images > _LARGEST_GRID:
            raise ValueError(f"num_images must be at most {_LARGEST_GRID} for a grid; save=npz or save=png takes more")
        self._picture()

    def __call__(self, run: Source, folder: Path) -> None:
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
            picture = self._picture()
            seen = picture.seen(run, images.float() / 255, drawn_from(run.vae, self.sampler))
            save_drawing(folder, "samples", picture.draw(seen, context_of(run)))
        if "npz" in self.save:
            pixels = images.permute(0, 2, 3, 1).numpy()
            labels = run.told_to_make(labels_of_samples(run.vae, torch.arange(self.num_images)), self.num_images)
            told: dict[str, Any] = {} if labels is None else {"labels": labels.numpy()}
            np.savez(folder / "samples.npz", images=pixels, z=z.numpy(), **told)

    def _picture(self) -> Samples:
        shown = min(self.num_images, MOST_SAMPLES)
        return Samples(num_images=shown, temperature=self.temperature, seed=self.seed)

    def _batches(
        self, run: Source
    ) -> Iterator[tuple[Int64[Tensor, " B"], Float32[Tensor, "B D"], UInt8[Tensor, "B C H W"]]]:
        picture = self._picture()
        picture.check(run)
        seed, draw = picture.seed_of(run), drawing_by(run, self.sampler)
        for indices in torch.arange(self.num_images).split(self.batch_size):
            labels = labels_of_samples(run.vae, indices)
            z = draw(indices, seed, self.temperature, labels)
            yield indices, z, to_uint8(run.decode(z, labels, self.batch_size))
