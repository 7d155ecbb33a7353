"""What each group of a hierarchy adds, to images and to samples."""

from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.drawing.captions import nats
from vae_lightning.drawing.grids import table_of
from vae_lightning.drawing.sheets import Captioned
from vae_lightning.drawing.tables import Labels
from vae_lightning.errors import require_at_least
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.pictures.picture import Drawing, PictureOfImages, PictureOfSamples
from vae_lightning.runs.source import Source

_MOST_SHOWN = 12  # groups in a picture; of more some between are left out
_WHY_NOT = "for several groups of latents"


class Levels(NamedTuple):
    """Images in a table, of which each column, or each row, has more groups given than the one before.

    Attributes:
        images: by row and column.
        names: of those columns or rows.
        title: what the picture shows.
    """

    images: Float[Tensor, "R N C H W"]
    names: list[str]
    title: str


@dataclass(frozen=True, kw_only=True)
class GroupReconstructions(PictureOfImages):
    """Images, and beside each what its top 1, 2, ... groups make at their posterior means, all others at their priors'.

    Above the columns stands the rate of the groups up to there, in nats.

    Attributes:
        num_rated: the rates are means over all validation images if the model was validated, else over so many.
    """

    every_n_epochs: int | None = 10
    num_images: int = 8
    num_rated: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("num_rated", self.num_rated, 1)

    def why_not(self, vae: LatentModel) -> str | None:
        return None if vae.num_groups > 1 else _WHY_NOT

    def look(self, source: Source) -> Levels:
        chosen = source.chosen(self.read)
        originals = chosen.images.float() / 255
        z = source.encode(originals, source.told(chosen.labels, len(originals)))
        widths = list(accumulate(source.vae.group_dims))
        shown, columns = _shown(len(widths)), [originals]
        for number in shown:
            code = z[:, : widths[number - 1]]
            columns.append(source.decode(source.completed(code, torch.arange(len(z)), source.seed, temperature=0.0)))
        rate = source.unit_statistics(self.num_rated).rate
        names = [f"{number}" for number in shown]
        if rate is not None:
            names = [f"{number}: {nats(float(rate[: widths[number - 1]].sum()))}" for number in shown]
        return Levels(
            torch.stack(columns, 1), ["input", *names], "what the top groups make: how many, and their rate in nats"
        )

    def draw(self, seen: Levels, context: str) -> Drawing:
        table = table_of(seen.images, Labels(top=seen.names), gaps_after_columns=[0])
        return Drawing(Captioned(table, seen.title, context))


@dataclass(frozen=True, kw_only=True)
class GroupSamples(PictureOfSamples):
    """One sample from the prior, of which the top 0, 1, 2, ... groups stay in a row and all others are drawn anew.

    Attributes:
        num_images: how many in each row.
    """

    most: ClassVar[int] = 100

    every_n_epochs: int | None = 10
    num_images: int = 10

    def why_not(self, vae: LatentModel) -> str | None:
        return None if vae.num_groups > 1 else _WHY_NOT

    def look(self, source: Source) -> Levels:
        widths, seed = list(accumulate(source.vae.group_dims)), self.seed_of(source)
        indices = torch.arange(self.num_images)
        z = source.draw(indices, seed)
        shown = [0, *_shown(len(widths) - 1)]
        rows = [source.decode(z)]
        for number in shown[1:]:
            code = z[:1, : widths[number - 1]].expand(len(z), -1)
            rows.append(source.decode(source.completed(code, indices, seed)))
        return Levels(
            torch.stack(rows), [f"{number}" for number in shown], f"how many of the top groups are kept, seed {seed}"
        )

    def draw(self, seen: Levels, context: str) -> Drawing:
        return Drawing(Captioned(table_of(seen.images, Labels(left=seen.names)), seen.title, context))


def _shown(count: int) -> list[int]:
    """The numbers from 1 to `count`, or so many of them as fit, evenly, with the first and the last."""
    if count <= _MOST_SHOWN:
        return list(range(1, count + 1))
    return [1 + round(place * (count - 1) / (_MOST_SHOWN - 1)) for place in range(_MOST_SHOWN)]
