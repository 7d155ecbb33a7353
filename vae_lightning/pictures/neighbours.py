"""Whether the model has learned its training images by heart: samples beside the nearest of them."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.drawing.walks import neighbours_picture
from vae_lightning.errors import require_at_least, require_at_most
from vae_lightning.latents.memorizing import HELD_OUT, memorizing
from vae_lightning.pictures.picture import Drawing, NothingToDrawError, PictureOfSamples
from vae_lightning.runs.sampling import PRIOR, drawn_from
from vae_lightning.runs.source import Source

_MOST_IMAGES, _MOST_NEAREST = 1_000, 100


class Compared(NamedTuple):
    """Samples, reconstructions of validation images, and the data whose training images they are held against."""

    samples: Float[Tensor, "N C H W"]
    reconstructions: Float[Tensor, "M C H W"]
    data: ImageDataModule
    title: str


@dataclass(frozen=True, kw_only=True)
class Neighbours(PictureOfSamples):
    """Samples beside their nearest training images, by root mean squared pixel difference.

    For comparison it tells how far reconstructions of validation images, as soft as the samples are, lie from their
    nearest training image: samples that are much nearer are copies.

    Attributes:
        num_images, seed: those of `PictureOfSamples`; the samples are the first ones of `Samples` with that seed.
        num_nearest: how many training images beside each.

    Raises:
        ValueError: a number too small or too large.
    """

    num_images: int = 12
    num_nearest: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("num_nearest", self.num_nearest, 1)
        require_at_most("num_images", self.num_images, _MOST_IMAGES)
        require_at_most("num_nearest", self.num_nearest, _MOST_NEAREST)

    def look(self, source: Source) -> Compared:
        samples = self.sampled(source)
        held_out = source.data.examples(HELD_OUT)
        told = source.told(held_out.labels, len(held_out.images))
        means = source.encode(held_out.images.float() / 255, told)
        reconstructions = source.decode_as(means, told)
        if not (samples.isfinite().all() and reconstructions.isfinite().all()):
            raise NothingToDrawError("what the model makes is not finite: nothing is drawn of it")
        of = "" if source.label is None else f" of label {source.label_name(source.label)}"
        origin = drawn_from(source.vae)
        told_origin = "" if origin == PRIOR else f" from {origin},"
        title = f"samples{of}{told_origin} and their nearest training images"
        return Compared(samples, reconstructions, source.data, title)

    def draw(self, seen: Compared, context: str) -> Drawing:
        training_images = (batch.images for batch in seen.data.stream("train"))
        found = memorizing(seen.samples, seen.reconstructions, training_images, self.num_nearest)
        neighbours = found.neighbours.float() / 255
        picture = neighbours_picture(seen.samples, neighbours, found.distances, found.reference, seen.title, context)
        return Drawing(picture)
