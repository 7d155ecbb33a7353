"""Images from the prior."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from vae_lightning.drawing.grids import sample_grid
from vae_lightning.drawing.sheets import Captioned
from vae_lightning.models.codes import check_temperature
from vae_lightning.models.latent_model import Temperature, of_each_group
from vae_lightning.pictures.picture import Drawing, PictureOfSamples
from vae_lightning.runs.sampling import drawn_from
from vae_lightning.runs.source import Source


class Sampled(NamedTuple):
    """Samples to be shown.

    Attributes:
        images: in [0, 1].
        rows: the labels that have a row each; None for a model without labels, or with one for all.
        title: what they are.
    """

    images: Float[Tensor, "N C H W"]
    rows: tuple[str, ...] | None
    title: str


@dataclass(frozen=True, kw_only=True)
class Samples(PictureOfSamples):
    """The mean images of samples from the prior, of a model with labels by these, as many of each.

    Attributes:
        num_images, seed: those of `PictureOfSamples`.
        temperature: 1 is the prior's own spread, 0 its mean, of a mixture a component's; images below 1 are more
            typical and less varied. Of a hierarchy one for all groups, or one for each, the top one first.

    Raises:
        ValueError: a number too small or too large.
    """

    every_n_epochs: int | None = 1
    temperature: Temperature = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self._each or not all(0 <= each < math.inf for each in self._each):
            raise ValueError(f"temperature must be at least 0, got {self.temperature}")

    @property
    def _each(self) -> list[float]:
        """The one temperature, or those of the groups."""
        return [self.temperature] if isinstance(self.temperature, int | float) else list(self.temperature)

    def check(self, source: Source) -> None:
        temperatures = of_each_group(self.temperature, source.vae.num_groups)
        if source.vae.is_discrete:
            check_temperature(*temperatures)

    def look(self, source: Source) -> Sampled:
        return self.seen(source, self.sampled(source, self.temperature), drawn_from(source.vae))

    def seen(self, source: Source, images: Float[Tensor, "N C H W"], origin: str) -> Sampled:
        """These samples of the source as they are to be shown, of several labels as many as make whole rows."""
        num_rows = None if source.label is not None else source.vae.num_classes
        if num_rows is not None and len(images) >= num_rows:
            images = images[: len(images) - len(images) % num_rows]
        rows = None if num_rows is None else tuple(map(source.label_name, range(num_rows)))
        by = "" if rows is None else " by label"
        label = "" if source.label is None else f", label {source.label_name(source.label)}"
        shown = " ".join(f"{each:g}" for each in self._each)
        temperature = "" if self.temperature == 1 else f", temperature {shown}"
        title = f"samples from {origin}{by}{label}{temperature}, seed {self.seed_of(source)}"
        return Sampled(images, rows, title)

    def draw(self, seen: Sampled, context: str) -> Drawing:
        return Drawing(Captioned(sample_grid(seen.images, seen.rows), seen.title, context))
