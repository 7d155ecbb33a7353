"""Where images lie in the latent space, on a plane."""

from dataclasses import dataclass
from typing import NamedTuple

from vae_lightning.data.class_names import label_name
from vae_lightning.drawing.embeddings import embedding_picture
from vae_lightning.errors import UserError, require_at_least
from vae_lightning.latents.embeddings import FEWEST, METHODS, Embedded, Method, embed
from vae_lightning.models.latent_model import LatentModel, Latents
from vae_lightning.pictures.picture import Drawing, NothingToDrawError, Picture, check_finite
from vae_lightning.runs.images import (
    SPLIT_NAMES,
    Files,
    NamedImages,
    Split,
    is_there,
    named_images,
    own_images,
    picture_files,
)
from vae_lightning.runs.source import Source

_PLANE = 2
_MANY = 500  # points: t-SNE of fewer takes no longer than to import it


class Placed(NamedTuple):
    """Images, where their posteriors lie, what they are, and the seed of t-SNE."""

    chosen: NamedImages
    latents: Latents
    kind: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Embedding(Picture):
    """Posterior means on a plane, marked by label, or without labels all as thumbnails.

    Attributes:
        method: `tsne`; `pca`, the first two principal components; or `plane`, the latents themselves where there are
            two.
        images: picture files or folders, in place of a split of the run's data.
        split: of the run's data.
        num_images: at most so many, drawn by the seed.
        seed: of t-SNE; None is the run's.

    Raises:
        ValueError: an unknown method, a number too small, or a seed that t-SNE can't take.
    """

    method: Method = "tsne"
    images: Files | None = None
    split: Split = "val"
    num_images: int = 2000
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method}")
        require_at_least("num_images", self.num_images, FEWEST)
        if self.seed is not None and not 0 <= self.seed < 2**32:  # what numpy takes
            raise ValueError(f"seed must be from 0 to {2**32 - 1}, got {self.seed}")

    def why_not(self, vae: LatentModel) -> str | None:
        if self.method == "plane" and vae.latent_dim != _PLANE:
            return f"for two latent dimensions, and this run has {vae.latent_dim}"
        return None

    def check(self, source: Source) -> None:
        if self.images is not None:
            files = picture_files(self.images, source.preprocessing)
            missing = next((file for file in files if not is_there(file)), None)
            if missing is not None:
                raise UserError(f"images: {missing}: no such file")
            source.told(None, 0)  # labels, which own images have not

    def look(self, source: Source) -> Placed:
        seed = source.seed if self.seed is None else self.seed
        if self.images is None:
            batch, latents = source.encoded(self.split, self.num_images)
            chosen, kind = named_images(source, self.split, batch), f"{SPLIT_NAMES[self.split]} "
        else:
            chosen, kind = own_images(source, self.images, self.num_images, seed), ""
            latents = source.posteriors(chosen.images, None)
        if len(latents) < FEWEST:
            raise NothingToDrawError(f"an embedding needs {FEWEST} images or more, and there are {len(latents)}")
        check_finite(latents)
        return Placed(chosen, latents, kind, seed)

    def takes_long(self, seen: Placed) -> bool:
        return self.method == "tsne" and len(seen.latents) >= _MANY

    def embedded(self, seen: Placed) -> Embedded:
        """Where the images are on the plane."""
        return embed(seen.latents.loc, self.method, seen.seed)

    def draw(self, seen: Placed, context: str) -> Drawing:
        return self.draw_at(self.embedded(seen), seen, context)

    def draw_at(self, embedded: Embedded, seen: Placed, context: str) -> Drawing:
        """The picture of images whose places are known."""
        title = f"posterior means of {len(seen.latents):,} {seen.kind}images: {embedded.name}"
        images, labels, names = seen.chosen.images, seen.chosen.labels, seen.chosen.class_names
        shown = None if names is None else [label_name(number, names) for number in range(len(names))]
        return Drawing(embedding_picture(embedded.points, images, labels, embedded.axes, title, context, shown))
