"""Where images lie in the latent space, on a plane by several methods, and as a table."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vae_lightning.errors import UserError
from vae_lightning.exports.saving import context_of, save_drawing
from vae_lightning.latents.embeddings import METHODS, Method
from vae_lightning.pictures.embedding import Embedding
from vae_lightning.runs.images import Files, NamedImages, Split
from vae_lightning.runs.source import Source


@dataclass(frozen=True)
class WriteEmbedding:
    """The picture `Embedding` by each of several methods, `tsne.png`, ..., and `embedding.csv`.

    Attributes:
        methods: of `tsne`, `pca` and `plane`; None is all that apply.
        images, split, num_images, seed: those of the picture.

    Raises:
        ValueError: what the picture raises.
    """

    methods: Method | Sequence[Method] | None = None
    images: Files | None = None
    split: Split = "val"
    num_images: int = 2000
    seed: int | None = None

    def __post_init__(self) -> None:
        self._picture("tsne")

    def __call__(self, run: Source, folder: Path) -> None:
        pictures = {method: self._picture(method) for method in self._methods(run)}
        seen = next(iter(pictures.values())).look(run)
        embedded = {method: picture.embedded(seen) for method, picture in pictures.items()}
        for method, picture in pictures.items():
            save_drawing(folder, method, picture.draw_at(embedded[method], seen, context_of(run)))
        _save_table(folder / "embedding.csv", seen.chosen, {name: found.points for name, found in embedded.items()})

    def _picture(self, method: Method) -> Embedding:
        return Embedding(
            method=method, images=self.images, split=self.split, num_images=self.num_images, seed=self.seed
        )

    def _methods(self, run: Source) -> list[Method]:
        if self.methods is None:
            return [method for method in METHODS if self._picture(method).why_not(run.vae) is None]
        methods = [self.methods] if isinstance(self.methods, str) else list(self.methods)
        for method in methods:
            reason = self._picture(method).why_not(run.vae)
            if reason is not None:
                raise UserError(f"methods: {method} is {reason}")
        if not methods:
            raise UserError(f"methods: is empty; choose from {', '.join(METHODS)}")
        return methods


def _save_table(path: Path, chosen: NamedImages, places: dict[Method, Float[np.ndarray, "N 2"]]) -> None:
    columns = chosen.columns
    for method, points in places.items():
        columns |= {f"{method}_x": points[:, 0], f"{method}_y": points[:, 1]}
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
