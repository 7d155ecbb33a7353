"""Which latent dimensions carry something, and how far the aggregated posterior is from the prior."""

import logging
from typing import NamedTuple

from lightning.pytorch import LightningModule, Trainer
from torch.distributions import Distribution

from vae_lightning.callbacks.examples import example_latents
from vae_lightning.callbacks.pictures import Drawing, PictureCallback
from vae_lightning.drawing.plots import density_panels, rate_bars
from vae_lightning.errors import require_at_least
from vae_lightning.latents.aggregated import marginal_densities, why_no_aggregate
from vae_lightning.latents.units import ACTIVE, UnitStatistics, unit_statistics
from vae_lightning.models.latent_model import Latents

log = logging.getLogger("vae_lightning")


class LatentUnits(PictureCallback):
    """Draws the KL of each latent dimension as sorted bars, with the threshold of active units.

    `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last; None: after the last only.
        num_images: over how many validation images, at most.

    Raises:
        ValueError: `every_n_epochs` or `num_images` is below 1.
    """

    def __init__(self, every_n_epochs: int | None = 10, num_images: int = 2000):
        super().__init__("latent_units", every_n_epochs)
        require_at_least("num_images", num_images, 1)
        self.num_images = num_images

    def look(self, trainer: Trainer, pl_module: LightningModule) -> UnitStatistics | None:
        latents = example_latents(trainer, pl_module, self.num_images)
        return None if latents is None else unit_statistics(latents)

    def draw(self, seen: UnitStatistics, context: str) -> Drawing:
        rates, variances = seen.rate.numpy(), seen.variance.numpy()
        return Drawing(rate_bars(rates, variances, ACTIVE, "KL of each latent dimension", context))


class _Aggregate(NamedTuple):
    latents: Latents
    prior: Distribution
    statistics: UnitStatistics


class AggregatedPosterior(PictureCallback):
    """Draws the density of q(z_d), the posteriors of all images mixed, beside the prior, for the dimensions of most KL.

    `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last; None: after the last only.
        num_dims: at most so many dimensions.
        num_images: of how many validation images, at most.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, every_n_epochs: int | None = 10, num_dims: int = 20, num_images: int = 2000):
        super().__init__("aggregated_posterior", every_n_epochs)
        require_at_least("num_dims", num_dims, 1)
        require_at_least("num_images", num_images, 1)
        self.num_dims = num_dims
        self.num_images = num_images

    def look(self, trainer: Trainer, pl_module: LightningModule) -> _Aggregate | None:
        latents = example_latents(trainer, pl_module, self.num_images)
        if latents is None:
            return None
        reason = why_no_aggregate(pl_module.vae, latents)
        if reason is not None:
            log.info("callbacks.%s: nothing is drawn, for %s", self.name, reason)
            return None
        return _Aggregate(latents, pl_module.vae.latent_prior(), unit_statistics(latents))

    def draw(self, seen: _Aggregate, context: str) -> Drawing:
        dims = seen.statistics.by_rate[: self.num_dims]
        densities, priors, grid = (each.numpy() for each in marginal_densities(seen.latents, seen.prior, dims))
        rates, title = seen.statistics.rate[dims].tolist(), "aggregated posterior and prior"
        return Drawing(density_panels(densities, priors, grid, dims, rates, title, context))
