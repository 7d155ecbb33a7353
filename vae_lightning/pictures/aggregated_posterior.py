"""How far the aggregated posterior is from the prior."""

from dataclasses import dataclass
from typing import NamedTuple

from torch.distributions import Distribution

from vae_lightning.drawing.plots import density_panels
from vae_lightning.errors import require_at_least
from vae_lightning.latents.aggregated import marginal_densities, why_no_aggregate, why_no_marginals
from vae_lightning.latents.units import UnitStatistics, unit_statistics
from vae_lightning.models.latent_model import LatentModel, Latents
from vae_lightning.pictures.picture import Drawing, NothingToDrawError, Picture, check_finite
from vae_lightning.runs.images import Split
from vae_lightning.runs.source import Source


class Mixed(NamedTuple):
    """The posteriors of images, the prior, and how much each dimension tells."""

    latents: Latents
    prior: Distribution
    statistics: UnitStatistics


@dataclass(frozen=True, kw_only=True)
class AggregatedPosterior(Picture):
    """The density of q(z_d), the posteriors of all images mixed, beside the prior, for the dimensions of most KL.

    Attributes:
        split: of the run's data.
        num_images: so many of its images, at most.
        num_dims: at most so many dimensions.

    Raises:
        ValueError: a number below 1.
    """

    every_n_epochs: int | None = 10
    split: Split = "val"
    num_images: int = 2000
    num_dims: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("num_images", self.num_images, 1)
        require_at_least("num_dims", self.num_dims, 1)

    def why_not(self, vae: LatentModel) -> str | None:
        reason = why_no_marginals(vae)
        if reason is None:
            return None
        wanted = "continuous latents" if vae.is_discrete else "one group of latents with known densities"
        return f"for {wanted}: {reason}"

    def look(self, source: Source) -> Mixed:
        latents, prior = source.encoded(self.split, self.num_images).latents, source.vae.latent_prior()
        reason = why_no_marginals(source.vae) or why_no_aggregate(source.vae, latents)
        if reason is not None or prior is None:
            raise NothingToDrawError(f"nothing is drawn, for {reason}")
        check_finite(latents)
        return Mixed(latents, prior, unit_statistics(latents))

    def draw(self, seen: Mixed, context: str) -> Drawing:
        dims = seen.statistics.by_rate[: self.num_dims]
        densities, priors, grid = (each.numpy() for each in marginal_densities(seen.latents, seen.prior, dims))
        assert seen.statistics.rate is not None
        rates, title = seen.statistics.rate[dims].tolist(), "aggregated posterior and prior"
        return Drawing(density_panels(densities, priors, grid, dims, rates, title, context))
