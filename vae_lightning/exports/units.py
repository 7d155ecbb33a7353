"""Which latent dimensions the model uses, as pictures and as a table."""

import csv
import logging
from dataclasses import dataclass
from pathlib import Path

from vae_lightning.exports.saving import context_of, save_drawing, save_picture
from vae_lightning.latents.units import ACTIVE, UnitStatistics
from vae_lightning.pictures.aggregated_posterior import AggregatedPosterior
from vae_lightning.pictures.latent_units import LatentUnits
from vae_lightning.pictures.picture import NothingToDrawError
from vae_lightning.runs.images import Split
from vae_lightning.runs.source import Source

log = logging.getLogger("vae_lightning")


@dataclass(frozen=True)
class WriteUnits:
    """KL, activity and aggregated posterior of the latent dimensions.

    Writes the pictures `latent_units.png` and `aggregated_posterior.png`, whose arguments it has, and `units.csv`.

    Raises:
        ValueError: what the pictures raise.
        NothingToDrawError: when called, of a model of discrete codes.
    """

    split: Split = "val"
    num_images: int = 2000
    num_dims: int = 20

    def __post_init__(self) -> None:
        self._pictures()

    def __call__(self, run: Source, folder: Path) -> None:
        bars, densities = self._pictures()
        reason = bars.why_not(run.vae)
        if run.vae.is_discrete:
            raise NothingToDrawError(f"mode=units is {reason}")
        if reason is None:
            statistics = bars.look(run)
            save_drawing(folder, "latent_units", bars.draw(statistics, context_of(run)))
        else:
            statistics = run.unit_statistics(self.num_images)
            log.info("latent_units.png is left out: it is %s", reason)
        _save_table(folder / "units.csv", statistics)
        reason = densities.why_not(run.vae)
        if reason is None:
            save_picture(densities, run, folder, "aggregated_posterior")
        else:
            log.info("aggregated_posterior.png is left out: it is %s", reason)

    def _pictures(self) -> tuple[LatentUnits, AggregatedPosterior]:
        given = {"split": self.split, "num_images": self.num_images}
        return LatentUnits(**given), AggregatedPosterior(**given, num_dims=self.num_dims)  # type: ignore[arg-type]


def _save_table(path: Path, statistics: UnitStatistics) -> None:
    active = statistics.active(ACTIVE).tolist()
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["dimension", "kl", "variance_of_means", "active"])
        for dim in statistics.by_rate:
            rate = "" if statistics.rate is None else float(statistics.rate[dim])
            writer.writerow([dim, rate, float(statistics.variance[dim]), int(active[dim])])
