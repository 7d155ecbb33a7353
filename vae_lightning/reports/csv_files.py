"""The figures of a set of runs for other programs: summary.csv, and where there are seeds summary_seeds.csv."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from vae_lightning.reports.comparison import Comparison, Ranking, setting_of
from vae_lightning.reports.differences import Difference, differences_from_best
from vae_lightning.reports.entries import SEEDS, ReportEntry, entries, ranks
from vae_lightning.reports.figures import ALWAYS, further_figures
from vae_lightning.reports.settings import Setting
from vae_lightning.reports.wording import visible

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and their wide forms
_OF_NO_SEED = ("test/elbo_stderr", "test/num_images")  # which all seeds share, or which is another kind of error
_OF_A_FIGURE = ("mean", "sd", "n", "low", "high")


def summary_csv(comparison: Comparison, directory: Path) -> str:
    """One line a run, best first, with figures unrounded and empty where there are none.

    Args:
        directory: where the file will lie; the runs' paths are told from there.
    """
    tagged = ["tags"] if comparison.has_tags else []
    further = [name for figure in further_figures(comparison.records) for name in (figure, f"{figure}_stderr")]
    metrics = [*ALWAYS, *(name for name in further if any(name in record.metrics for record in comparison.records))]
    keys = comparison.told_apart
    columns = ["rank", "run", *tagged, "status", "reason", "kind", *map(_cell, keys), *metrics, "path"]
    rows = []
    for record in comparison.records:
        tags = [", ".join(record.tags) for _ in tagged]
        texts = [record.name, *tags, record.status, record.reason, record.kind]
        settings = [setting_of(record, key) for key in keys]
        figures = [record.metrics.get(name) for name in metrics]
        path = relative(record.path, directory)
        rows.append([comparison.ranks.get(record.name), *texts, *settings, *figures, path])
    return _written(columns, rows)


def seeds_csv(comparison: Comparison) -> str:
    """One line for each set of settings, best first: of every figure mean, standard deviation, n and 95% interval.

    The last columns tell how far the test ELBO lies from that of the best, with its interval: see `differences`.
    """
    figures = [name for name in (*ALWAYS, *further_figures(comparison.records)) if name not in _OF_NO_SEED]
    of_figures = [f"{name}_{part}" for name in figures for part in _OF_A_FIGURE]
    compared = ["to_best", "to_best_low", "to_best_high", "to_best_by"]
    columns = ["rank", *map(_cell, comparison.varied), "n", "seeds", "missing", "kind", *of_figures, *compared]
    rows = [row for ranking in comparison.rankings for row in _seed_rows(comparison, ranking, figures)]
    return _written(columns, rows)


def relative(path: Path, directory: Path) -> str:
    """The way from a directory to a path, with forward slashes: it holds when both are moved together."""
    return Path(os.path.relpath(path.resolve(), directory.resolve())).as_posix()


def _seed_rows(comparison: Comparison, ranking: Ranking, figures: list[str]) -> list[list[Setting | None]]:
    listed = entries(comparison, ranking, SEEDS)
    places, apart = ranks(listed), differences_from_best(comparison, ranking, listed)
    return [
        [
            places.get(entry.id),
            *(entry.setting(key) for key in comparison.varied),
            *(len(entry.counted), entry.seeds, entry.missing, ranking.kind),
            *(part for figure in figures for part in _parts(entry, figure)),
            *_told(apart.get(entry.id)),
        ]
        for entry in listed
    ]


def _parts(entry: ReportEntry, figure: str) -> tuple[Setting | None, ...]:
    spread = entry.spread(figure)
    if spread is None:
        return (None, None, 0, None, None)
    return (spread.mean, spread.sd, spread.num, *(spread.interval or (None, None)))


def _told(difference: Difference | None) -> tuple[Setting | None, ...]:
    if difference is None:
        return (None, None, None, None)
    return (difference.value, *(difference.interval or (None, None)), difference.over)


def _written(columns: Sequence[Setting | None], rows: Iterable[Iterable[Setting | None]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def _cell(value: Setting | None) -> Setting:
    """A figure as it is, and a text on one line, with a quote before what a spreadsheet would take for a formula."""
    if isinstance(value, str):
        text = visible(value)
        return f"'{text}" if text.startswith(_FORMULA) else text
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:  # 40 epochs, not 40.0
        return int(value)
    return "" if value is None else value
