"""Which latent dimensions carry something."""

from dataclasses import dataclass

from vae_lightning.drawing.plots import rate_bars
from vae_lightning.errors import require_at_least
from vae_lightning.latents.code_use import WHY_NO_UNITS
from vae_lightning.latents.units import ACTIVE, UnitStatistics, unit_statistics
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.pictures.picture import Drawing, Picture, check_finite
from vae_lightning.runs.images import Split
from vae_lightning.runs.source import Source


@dataclass(frozen=True, kw_only=True)
class LatentUnits(Picture):
    """The KL of each latent dimension as sorted bars, with the threshold of active units.

    Attributes:
        split: of the run's data.
        num_images: over so many of its images, at most.

    Raises:
        ValueError: a number below 1.
    """

    every_n_epochs: int | None = 10
    split: Split = "val"
    num_images: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("num_images", self.num_images, 1)

    def why_not(self, vae: LatentModel) -> str | None:
        if vae.is_discrete:
            return f"for continuous latents: {WHY_NO_UNITS}"
        return None if vae.has_density else "for posteriors with a density"

    def look(self, source: Source) -> UnitStatistics:
        latents = source.encoded(self.split, self.num_images).latents
        check_finite(latents)
        return unit_statistics(latents)

    def draw(self, seen: UnitStatistics, context: str) -> Drawing:
        assert seen.rate is not None
        rates, variances = seen.rate.numpy(), seen.variance.numpy()
        return Drawing(rate_bars(rates, variances, ACTIVE, "KL of each latent dimension", context))
