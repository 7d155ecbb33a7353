"""The whole of a 2-D latent space at a glance."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from vae_lightning.drawing.walks import manifold_picture
from vae_lightning.errors import require_at_least, require_at_most
from vae_lightning.latents.classes import first_label
from vae_lightning.latents.paths import manifold, why_no_manifold
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.pictures.picture import Drawing, Picture
from vae_lightning.runs.source import Source

_MOST = 100


class Plane(NamedTuple):
    """Images over a plane, the values along its axes, and what they are."""

    images: Float[Tensor, "n n C H W"]
    values: list[float]
    title: str


@dataclass(frozen=True, kw_only=True)
class Manifold(Picture):
    """The images at the quantiles of a 2-D prior N(0, I): Kingma & Welling, arXiv 1312.6114, figure 4.

    Attributes:
        num_points: the picture is of num_points x num_points images.

    Raises:
        ValueError: a number below 1, or `num_points` above 100.
    """

    every_n_epochs: int | None = 10
    num_points: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("num_points", self.num_points, 1)
        require_at_most("num_points", self.num_points, _MOST)

    def why_not(self, vae: LatentModel) -> str | None:
        return why_no_manifold(vae)

    def look(self, source: Source) -> Plane:
        z, values = manifold(self.num_points)
        labels = source.told_to_make(first_label(z.shape[:2].numel()), z.shape[:2].numel())
        of = "" if labels is None else f", label {source.label_name(int(labels[0]))}"
        images = source.decode(z.flatten(0, 1), labels).unflatten(0, z.shape[:2])
        return Plane(images, values.tolist(), f"images over the latent plane{of}")

    def draw(self, seen: Plane, context: str) -> Drawing:
        return Drawing(manifold_picture(*seen, context))
