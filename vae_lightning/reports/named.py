"""Runs as a command names them: a sweep, or a list."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.runs import given_runs, read_runs, runs_of_sweep
from vae_lightning.runs.latest import named_sweep


@dataclass(frozen=True)
class NamedRuns:
    """Several runs.

    Attributes:
        directories: at least one.
        place: where what is made of all of them goes.
        title: what they are called together.
    """

    directories: list[Path]
    place: Path
    title: str

    @cached_property
    def comparison(self) -> Comparison:
        """The runs laid side by side."""
        return Comparison(read_runs(self.directories))


def named_runs(sweep: str | None, runs: Any) -> NamedRuns:
    """The runs of a sweep, or those of a list, in which * and ? stand for parts of a name.

    Raises:
        UserError: no such directory, or none with a run.
    """
    if sweep is not None:
        place = Path(named_sweep(sweep))
        return NamedRuns(runs_of_sweep(place), place, f"sweep {place.resolve().name}")
    patterns = [str(run) for run in (runs if isinstance(runs, list) else [runs])]
    found = given_runs(patterns)
    return NamedRuns(found, Path("outputs/report"), f"{len(found)} runs")
