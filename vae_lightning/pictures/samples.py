"""Images from the prior."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from vae_lightning.drawing.captions import with_caption
from vae_lightning.drawing.grids import sample_grid
from vae_lightning.pictures.picture import Drawing, PictureOfSamples
from vae_lightning.runs.source import Source

_ROOM = 60  # letters of names in a title


class Sampled(NamedTuple):
    """Samples to be shown.

    Attributes:
        images: in [0, 1].
        num_rows: a row for each label; None for a model without labels, or with one for all.
        title: what they are.
    """

    images: Float[Tensor, "N C H W"]
    num_rows: int | None
    title: str


@dataclass(frozen=True, kw_only=True)
class Samples(PictureOfSamples):
    """The mean images of samples from the prior, of a model with labels a row for each, as many as make whole rows.

    Attributes:
        num_images, seed: those of `PictureOfSamples`.
        temperature: 1 is the prior's own spread, 0 its mean, of a mixture a component's; images below 1 are more
            typical and less varied.

    Raises:
        ValueError: a number too small or too large.
    """

    every_n_epochs: int | None = 1
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be at least 0, got {self.temperature}")

    def look(self, source: Source) -> Sampled:
        return self.seen(source, self.sampled(source, self.temperature))

    def seen(self, source: Source, images: Float[Tensor, "N C H W"]) -> Sampled:
        """These samples of the source as they are to be shown, of several labels as many as make whole rows."""
        num_rows = None if source.label is not None else source.vae.num_classes
        if num_rows is not None and len(images) >= num_rows:
            images = images[: len(images) - len(images) % num_rows]
        rows = "" if num_rows is None else f", a row a label{_listed(source, num_rows)}"
        label = "" if source.label is None else f", label {source.label_name(source.label)}"
        temperature = "" if self.temperature == 1 else f", temperature {self.temperature:g}"
        title = f"samples from the prior{rows}{label}{temperature}, seed {self.seed_of(source)}"
        return Sampled(images, num_rows, title)

    def draw(self, seen: Sampled, context: str) -> Drawing:
        return Drawing(with_caption(sample_grid(seen.images, seen.num_rows), seen.title, context))


def _listed(source: Source, num_rows: int) -> str:
    """The names of the rows' labels, if they have names and there is room for these."""
    if source.class_names is None or len(source.class_names) < num_rows:
        return ""
    names = ", ".join(source.label_name(label) for label in range(num_rows))
    return f" ({names})" if len(names) <= _ROOM else ""
