"""What each latent dimension does to an image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vae_lightning.data.loader import ImageBatch
from vae_lightning.drawing.films import Film
from vae_lightning.drawing.walks import traversal_frames, traversal_picture
from vae_lightning.errors import UserError, require_at_least, require_at_most, require_frame_duration
from vae_lightning.latents.classes import first_label
from vae_lightning.latents.paths import Spread, of_groups, prior_spread, traversals, why_no_path
from vae_lightning.latents.units import UnitStatistics
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.pictures.picture import Drawing, NothingToDrawError, PictureOfImages
from vae_lightning.runs.sampling import mean_of_prior
from vae_lightning.runs.source import Source

_MOST_COLUMNS = 100
Centre = Literal["prior", "image"]


class Walk(NamedTuple):
    """What is seen when one dimension at a time is varied.

    Attributes:
        images: a row a dimension, a column a value.
        dims: the dimensions by number.
        rates: their KL in nats; None where they have none.
        in_deviations: whether the values are in deviations of the prior, which is not N(0, I).
        title: where all other dimensions stay.
    """

    images: Float[Tensor, "R N C H W"]
    dims: list[int]
    rates: list[float] | None
    in_deviations: bool
    title: str


@dataclass(frozen=True, kw_only=True)
class Traversals(PictureOfImages):
    """A row a latent dimension, those with the most KL first, in which it alone is varied: a grid, and a looping GIF.

    Attributes:
        images, indices, labels, split: one image at whose posterior mean all other dimensions stay; any of the first
            three implies the centre `image`. See `runs.images.Choice`.
        dims: these dimensions instead of those with the most KL, counted from 0.
        num_dims: at most so many, where `dims` is not given.
        groups: of a hierarchy those whose dimensions they are, counted from 1 at the top; None for all.
        num_columns: how many values of each.
        limit: the values run from -limit to limit, in standard deviations of the prior from its mean.
        centre: where all other dimensions stay: `prior`, at the prior's mean; or `image`, at the posterior mean of an
            image, of the validation images if none is chosen.
        num_images: the KL of a dimension is its mean over all validation images if the model was validated, else over
            so many of them.
        frame_ms: how long a frame of the GIF stays.

    Raises:
        ValueError: an unknown centre, a `limit` that is not positive, or a number too small or too large.
    """

    every_n_epochs: int | None = 10
    dims: Sequence[int] | None = None
    num_dims: int = 10
    groups: Sequence[int] | None = None
    num_columns: int = 11
    limit: float = 3.0
    centre: Centre = "prior"
    num_images: int = 2000
    frame_ms: int = 120

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.centre not in get_args(Centre):
            raise ValueError(f"centre must be one of {', '.join(get_args(Centre))}, got {self.centre}")
        if not 0 < self.limit < math.inf:
            raise ValueError(f"limit must be positive and finite, got {self.limit}")
        require_at_least("num_dims", self.num_dims, 1)
        require_at_least("num_columns", self.num_columns, 2)
        require_at_most("num_columns", self.num_columns, _MOST_COLUMNS)
        require_frame_duration("frame_ms", self.frame_ms)

    @property
    def _names_an_image(self) -> bool:
        return not (self.images is None and self.indices is None and self.labels is None)

    @property
    def chosen_by(self) -> dict[str, Any]:
        of_the_number = super().chosen_by  # which chooses nothing here
        return {name: value for name, value in of_the_number.items() if name != "num_images"} | {"centre": self.centre}

    def why_not(self, vae: LatentModel) -> str | None:
        return why_no_path(vae)

    def check(self, source: Source) -> None:
        if self.groups is not None:
            of_groups(source.vae, self.groups)
            if self.dims is not None:
                raise UserError(f"groups={list(self.groups)}: without effect beside dims; give one of them")
        if self.dims is not None:
            wrong = [dim for dim in self.dims if not 0 <= dim < source.latent_dim]
            if wrong or not self.dims:
                raise UserError(f"dims={list(self.dims)}: choose from 0 to {source.latent_dim - 1}")

    def choose(self, source: Source) -> ImageBatch | None:
        return self.read(source) if self.centre == "image" or self._names_an_image else None

    def read(self, source: Source) -> ImageBatch:
        if not self._names_an_image:
            return source.data.examples(1, self.split)
        chosen = super().read(source)
        if len(chosen.images) != 1:
            raise UserError(f"a traversal starts from one image, and {len(chosen.images)} were given")
        return chosen

    def look(self, source: Source) -> Walk:
        spread = prior_spread(source.vae, source.device)
        spread = Spread(spread.mean.cpu(), spread.stddev.cpu(), spread.is_unit)
        centre, label, title = self._centre(source, spread)
        statistics = source.unit_statistics(self.num_images)
        rate = statistics.rate
        if rate is not None and not rate.isfinite().all():
            raise NothingToDrawError("the KL of the dimensions is not finite: nothing is drawn of it")
        dims = self._of_most_rate(source.vae, statistics) if self.dims is None else list(self.dims)
        z = traversals(centre, dims, self._values, spread)
        labels = None if label is None else label.expand(z.shape[:2].numel())
        images = source.decode(z.flatten(0, 1), labels).unflatten(0, z.shape[:2])
        if len(dims) < source.latent_dim:
            title += f", {len(dims)} of {source.latent_dim} dimensions"
        return Walk(images, dims, None if rate is None else rate[dims].tolist(), not spread.is_unit, title)

    def _of_most_rate(self, vae: LatentModel, statistics: UnitStatistics) -> list[int]:
        dims = statistics.by_rate
        if self.groups is not None:
            is_chosen = of_groups(vae, self.groups)
            dims = [dim for dim in dims if is_chosen[dim]]
        return dims[: self.num_dims]

    def draw(self, seen: Walk, context: str) -> Drawing:
        shown = seen.images, seen.dims, seen.rates, self._values.tolist(), seen.title, context, seen.in_deviations
        return Drawing(traversal_picture(*shown), Film(partial(traversal_frames, *shown), self.frame_ms))

    @property
    def _values(self) -> Float[Tensor, " N"]:
        return torch.linspace(-self.limit, self.limit, self.num_columns)

    def _centre(self, source: Source, spread: Spread) -> tuple[Float[Tensor, " D"], Int64[Tensor, " 1"] | None, str]:
        """Where all other dimensions stay, with which label, and what the picture is called."""
        if self.centre == "prior" and not self._names_an_image:
            label = source.told_to_make(first_label(1), 1)
            of = "" if label is None else f", label {source.label_name(int(label))}"
            return spread.mean, label, f"traversals around {mean_of_prior(source.vae)}{of}"
        chosen = source.chosen(self.read)
        label = source.told(chosen.labels, 1)
        return (
            source.encode(chosen.images.float() / 255, label)[0],
            label,
            "traversals around an image's posterior mean",
        )
