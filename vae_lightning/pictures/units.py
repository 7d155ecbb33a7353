"""Which latent dimensions the model uses."""

import csv
import logging
from dataclasses import dataclass
from pathlib import Path

from vae_lightning.drawing.plots import density_panels, rate_bars
from vae_lightning.errors import UserError, require_at_least
from vae_lightning.latents.aggregated import marginal_densities, why_no_aggregate
from vae_lightning.latents.encoding import encode
from vae_lightning.latents.units import ACTIVE, UnitStatistics, unit_statistics
from vae_lightning.models.latent_model import Latents
from vae_lightning.pictures.saving import save_picture
from vae_lightning.runs.images import Split
from vae_lightning.runs.trained import TrainedRun

log = logging.getLogger("vae_lightning")

_NUM_IMAGES = 5000


@dataclass(frozen=True)
class DrawUnits:
    """KL, activity and aggregated posterior of the latent dimensions.

    Writes `latent_units.png`, `aggregated_posterior.png` and `units.csv`.

    Attributes:
        split: of the run's data.
        num_images: at most so many of its images.
        num_dims: so many dimensions' aggregated posteriors, at most, those with the most KL.

    Raises:
        ValueError: a number below 1.
    """

    split: Split = "val"
    num_images: int = _NUM_IMAGES
    num_dims: int = 20

    def __post_init__(self) -> None:
        require_at_least("num_images", self.num_images, 1)
        require_at_least("num_dims", self.num_dims, 1)

    def __call__(self, run: TrainedRun, folder: Path) -> None:
        latents = encoded(run, self.split, self.num_images)
        statistics = unit_statistics(latents)
        measured = statistics.rate.numpy(), statistics.variance.numpy()
        bars = rate_bars(*measured, ACTIVE, "KL of each latent dimension", run.context)
        save_picture(folder / "latent_units.png", bars)
        _save_table(folder / "units.csv", statistics)
        prior, reason = run.vae.latent_prior(), why_no_aggregate(run.vae, latents)
        if prior is None or reason is not None:
            log.info("aggregated_posterior.png is not drawn, for %s", reason)
            return
        dims = statistics.by_rate[: self.num_dims]
        densities, priors, grid = (each.numpy() for each in marginal_densities(latents, prior, dims))
        rates, title = statistics.rate[dims].tolist(), "aggregated posterior and prior"
        panels = density_panels(densities, priors, grid, dims, rates, title, run.context)
        save_picture(folder / "aggregated_posterior.png", panels)


def unit_statistics_of(run: TrainedRun) -> UnitStatistics:
    """Those that the checkpoint keeps of the validation images; else they are computed from the data.

    Raises:
        UserError: it has none, and the data are not there.
    """
    if run.units is not None:
        return run.units
    try:
        _ = run.data
    except UserError as error:
        what = f"{run.checkpoint} has no KL of the dimensions, and the images to compute it from are not there"
        raise UserError(f"{what}: {error}") from error
    return unit_statistics(encoded(run, "val", _NUM_IMAGES))


def encoded(run: TrainedRun, split: Split, num_images: int) -> Latents:
    """The posteriors of so many images of a split, at most."""
    batch = run.data.examples(num_images, split, balanced=False)
    return encode(run.vae, batch.images, run.told(batch.labels, len(batch.images)))


def _save_table(path: Path, statistics: UnitStatistics) -> None:
    active = statistics.active(ACTIVE).tolist()
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["dimension", "kl", "variance_of_means", "active"])
        for dim in statistics.by_rate:
            writer.writerow([dim, float(statistics.rate[dim]), float(statistics.variance[dim]), int(active[dim])])
