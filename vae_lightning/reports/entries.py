"""What a row of the table and a point of a chart stand for: a run, or those of the same settings, one of each seed."""

from dataclasses import dataclass
from functools import cached_property

from vae_lightning.reports.comparison import SEED, Comparison, Ranking, is_known, setting_of
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import Setting, setting_order, setting_text
from vae_lightning.reports.spread import SeedSpread, spread_of

RUNS, SEEDS = "runs", "seeds"  # the two views of a report: each run alone, and means over seeds


@dataclass(frozen=True)
class ReportEntry:
    """A run, or the runs of the same settings.

    Attributes:
        id: unique in a report.
        view: `RUNS` or `SEEDS`.
        runs: one, or of several seeds those of the smallest seed first.
    """

    id: str
    view: str
    runs: tuple[RunRecord, ...]

    @property
    def is_mean(self) -> bool:
        """Whether its figures are means over seeds."""
        return self.view == SEEDS

    @property
    def first(self) -> RunRecord:
        """The run that is shown where there is room for one: of the smallest seed, not of the luckiest."""
        return self.runs[0]

    @cached_property
    def counted(self) -> tuple[RunRecord, ...]:
        """The runs whose figures count: of several seeds those that finished, and of a seed that is there twice one."""
        if not self.is_mean:
            return self.runs
        seeds: dict[Setting | None, RunRecord] = {}
        for run in self.runs:
            if run.status == "finished" and "val/elbo" in run.metrics:
                seeds.setdefault(setting_of(run, SEED), run)
        return tuple(seeds.values())

    def spread(self, figure: str) -> SeedSpread | None:
        """The figure's values; None where no run that counts has it."""
        return spread_of([value_of(run, figure) for run in self.counted])

    def figure(self, figure: str) -> float | None:
        """The figure, of several seeds its mean."""
        spread = self.spread(figure)
        return None if spread is None else spread.mean

    def error(self, figure: str) -> float | None:
        """Half the interval of the mean over seeds; of a single run the standard error over images."""
        if not self.is_mean:
            return self.first.metrics.get(f"{figure}_stderr")
        spread = self.spread(figure)
        return None if spread is None else spread.half_width

    def setting(self, key: str) -> Setting | None:
        """The value of a setting, which all its runs share."""
        return setting_of(self.first, key)

    @property
    def seeds(self) -> str:
        """The seeds that count, as in `0, 1, 2`."""
        return ", ".join(setting_text(setting_of(run, SEED)) for run in self.counted)

    @property
    def missing(self) -> int:
        """How many of its runs don't count because they have not finished, or not with a validation ELBO."""
        return sum(run.status != "finished" or "val/elbo" not in run.metrics for run in self.runs)


def value_of(run: RunRecord, figure: str) -> float | None:
    """A figure of a run; the validation ELBO as far as it came."""
    return run.val_elbo if figure == "val/elbo" else run.metrics.get(figure)


def views(comparison: Comparison) -> list[str]:
    """How the runs can be looked at: as means over seeds first where there are seeds."""
    return [SEEDS, RUNS] if comparison.has_seeds else [RUNS]


def entries(comparison: Comparison, ranking: Ranking, view: str) -> list[ReportEntry]:
    """The rows of a ranking, best first: a run each, or the runs of the same settings, by the mean of their seeds."""
    if view == RUNS:
        places = {run.name: place for place, run in enumerate(comparison.runs)}
        return [ReportEntry(f"r{places[run.name]}", RUNS, (run,)) for run in ranking.records]
    return sorted(_of_seeds(comparison, ranking), key=_order)


def entry_of_run(comparison: Comparison) -> dict[str, str]:
    """Name of a run -> the id of the entry of its settings; empty where there are no seeds."""
    if not comparison.has_seeds:
        return {}
    every = [entry for ranking in comparison.rankings for entry in _of_seeds(comparison, ranking)]
    return {run.name: entry.id for entry in every for run in entry.runs}


def ranks(listed: list[ReportEntry]) -> dict[str, int]:
    """Id -> place, from 1, of those that have a validation ELBO to be ranked by; of runs those that ended with one."""
    ranked = [entry for entry in listed if is_ranked(entry)]
    return {entry.id: place for place, entry in enumerate(ranked, start=1)}


def is_ranked(entry: ReportEntry) -> bool:
    """Whether its place says how good it is."""
    return any("val/elbo" in run.metrics and run.status == "finished" for run in entry.counted)


def best_entry(listed: list[ReportEntry]) -> ReportEntry | None:
    """The first that is ranked."""
    return next(filter(is_ranked, listed), None)


def _of_seeds(comparison: Comparison, ranking: Ranking) -> list[ReportEntry]:
    names = {run.name for run in ranking.records}
    members: dict[tuple[Setting | str | None, ...], list[RunRecord]] = {}
    for run in comparison.runs:
        if run.name in names:
            known = all(is_known(run, key) for key in comparison.told_apart)
            settings = tuple(setting_of(run, key) for key in comparison.varied) if known else ("unknown", run.name)
            members.setdefault(settings, []).append(run)
    set_place = comparison.rankings.index(ranking)
    by_seed = [sorted(runs, key=lambda run: setting_order(setting_of(run, SEED))) for runs in members.values()]
    return [ReportEntry(f"s{set_place}-{place}", SEEDS, tuple(runs)) for place, runs in enumerate(by_seed)]


def _order(entry: ReportEntry) -> tuple[int, float]:
    elbo = entry.figure("val/elbo")
    return (1, 0.0) if elbo is None else (0, -elbo)
