"""Where images lie in the latent space, on a plane."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vae_lightning.drawing.embeddings import embedding_picture
from vae_lightning.errors import UserError, require_at_least
from vae_lightning.latents.embeddings import FEWEST, METHODS, Method, embed
from vae_lightning.latents.encoding import encode
from vae_lightning.pictures.saving import save_picture
from vae_lightning.runs.images import SPLIT_NAMES, NamedImages, Split, own_images, split_images
from vae_lightning.runs.trained import TrainedRun


@dataclass(frozen=True)
class DrawEmbedding:
    """Posterior means on a plane, coloured by label, or as thumbnails without: `tsne.png`, ..., and `embedding.csv`.

    Attributes:
        methods: of `tsne`, `pca` and `plane`, the latents themselves where there are two; None is all that apply.
        images: picture files or folders, in place of a split of the run's data.
        split: of the run's data.
        num_images: at most so many, drawn by the seed.
        seed: of t-SNE.

    Raises:
        ValueError: `num_images` is below 4, or a seed that t-SNE can't take.
    """

    methods: Method | Sequence[Method] | None = None
    images: str | Sequence[str] | None = None
    split: Split = "val"
    num_images: int = 5000
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least("num_images", self.num_images, FEWEST)
        if not 0 <= self.seed < 2**32:  # what numpy takes
            raise ValueError(f"seed must be from 0 to {2**32 - 1}, got {self.seed}")

    def __call__(self, run: TrainedRun, folder: Path) -> None:
        methods = self._methods(run)
        if self.images is None:
            chosen = split_images(run, self.split, self.num_images)
        else:
            chosen = own_images(run, self.images, self.num_images, self.seed)
        if len(chosen.images) < FEWEST:
            raise UserError(f"an embedding needs {FEWEST} images or more, and there are {len(chosen.images)}")
        means = encode(run.vae, chosen.images, chosen.told(run)).loc
        places = {method: self._draw(run, folder, method, means, chosen) for method in methods}
        _save_table(folder / "embedding.csv", chosen, places)

    def _methods(self, run: TrainedRun) -> list[Method]:
        if self.methods is None:
            return [method for method in METHODS if method != "plane" or run.latent_dim == 2]
        methods = [self.methods] if isinstance(self.methods, str) else list(self.methods)
        if "plane" in methods and run.latent_dim != 2:
            raise UserError(f"methods: plane is for two latent dimensions, and this run has {run.latent_dim}")
        if not methods:
            raise UserError(f"methods: is empty; choose from {', '.join(METHODS)}")
        return methods

    def _draw(
        self, run: TrainedRun, folder: Path, method: Method, means: Float[Tensor, "N D"], chosen: NamedImages
    ) -> Float[np.ndarray, "N 2"]:
        embedding = embed(means, method, self.seed)
        kind = "" if self.images is not None else f"{SPLIT_NAMES[self.split]} "
        title = f"{embedding.name} of {len(means):,} {kind}images"
        picture = embedding_picture(embedding.points, chosen.images, chosen.labels, embedding.axes, title, run.context)
        save_picture(folder / f"{method}.png", picture)
        return embedding.points


def _save_table(path: Path, chosen: NamedImages, places: dict[Method, Float[np.ndarray, "N 2"]]) -> None:
    columns = chosen.columns
    for method, points in places.items():
        columns |= {f"{method}_x": points[:, 0], f"{method}_y": points[:, 1]}
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
