"""The figures of a set of runs as a table: summary.csv, and the one that is printed at the end of a sweep."""

import csv
import io
import os
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

from vae_lightning.reports.comparison import Comparison, Ranking, setting_of
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import Setting, setting_text
from vae_lightning.reports.wording import duration, nats, shortened, visible, whole, with_stderr

METRICS = (
    "val/elbo",
    "test/elbo",
    "test/elbo_stderr",
    "test/rate",
    "test/distortion",
    "test/num_images",
    "epochs",
    "steps",
    "seconds",
    "train/images_per_s",
)
FURTHER_FIGURES = {  # which have columns where any run has them, with the heading of each on the page
    "test/codebook_use": "codebook use",
    "test/perplexity": "perplexity",
    "test/beta_vae_score": "beta-VAE score",
    "test/factor_vae_score": "FactorVAE score",
    "test/mig": "MIG",
    "test/dci_disentanglement": "DCI disentanglement",
    "test/dci_completeness": "DCI completeness",
    "test/dci_informativeness": "DCI informativeness",
    "test/sap": "SAP",
    "test/modularity": "modularity",
    "test/explicitness": "explicitness",
}
_FIGURES = ("val ELBO", "test ELBO", "rate", "distortion", "images/s", "time")  # of the printed table
_WIDTH = 120
_WIDTHS = ((28, 18, 18), (16, 10, 12))  # of a run's name, its tags and a setting: the second where lines are full
_LEFT_OUT = ("images/s", "time", "distortion", "rate")  # in this order, where a terminal is narrower than that
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and their wide forms


@dataclass(frozen=True)
class _Shown:
    """What a printed table has: settings, figures, and columns of a name, its tags and a setting at most."""

    keys: tuple[str, ...]
    figures: tuple[str, ...]
    widths: tuple[int, int, int]

    def less(self, width: int) -> "_Shown | None":
        """One step narrower, for lines of so many columns; None where there is none."""
        if self.widths != _WIDTHS[-1]:
            return replace(self, widths=_WIDTHS[-1])
        spare = [name for name in _LEFT_OUT if name in self.figures] if width < _WIDTH else []
        if spare:
            return replace(self, figures=tuple(name for name in self.figures if name != spare[0]))
        return replace(self, keys=self.keys[:-1]) if self.keys else None


def summary_csv(comparison: Comparison, directory: Path) -> str:
    """One line a run, best first, with figures unrounded and empty where there are none.

    Args:
        directory: where the file will lie; the runs' paths are told from there.
    """
    stream = io.StringIO()
    tagged = ["tags"] if comparison.has_tags else []
    further = [name for figure in further_figures(comparison) for name in (figure, f"{figure}_stderr")]
    metrics = [*METRICS, *(name for name in further if _has(comparison, name))]
    columns = ["rank", "run", *tagged, "status", "reason", "kind", *map(_cell, comparison.varied), *metrics, "path"]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for record in comparison.records:
        settings = [_cell(setting_of(record, key)) for key in comparison.varied]
        figures = [_cell(record.metrics.get(name)) for name in metrics]
        tags = [", ".join(record.tags) for _ in tagged]
        texts = [_cell(text) for text in (record.name, *tags, record.status, record.reason, record.kind)]
        rank, path = comparison.ranks.get(record.name, ""), _cell(relative(record.path, directory))
        writer.writerow([rank, *texts, *settings, *figures, path])
    return stream.getvalue()


def further_figures(comparison: Comparison) -> list[str]:
    """Those of discrete codes and of disentanglement that any of the runs has."""
    return [name for name in FURTHER_FIGURES if _has(comparison, name)]


def _has(comparison: Comparison, name: str) -> bool:
    return any(name in record.metrics for record in comparison.records)


def relative(path: Path, directory: Path) -> str:
    """The way from a directory to a path, with forward slashes: it holds when both are moved together."""
    return Path(os.path.relpath(path.resolve(), directory.resolve())).as_posix()


def terminal_table(records: list[RunRecord], width: int = _WIDTH) -> str:
    """The runs as plain text, best first, a table for each set that may be compared.

    Why a run has failed stands beside that it has, or below the table where the line has no room for it.

    Args:
        records: of the runs.
        width: columns that lines have at most, and no more than 120. Below that some figures are left out where
            there is no room for them, and named.
    """
    comparison, width = Comparison(records), min(width, _WIDTH)
    tables = [_table(comparison, ranking, width) for ranking in comparison.rankings]
    if len(tables) > 1:
        told = "Figures of different kinds, or of different images, can't be compared: each has its own table."
        tables.append(textwrap.fill(told, width))
    return "\n\n".join(tables)


def _table(comparison: Comparison, ranking: Ranking, width: int) -> str:
    records, shown = ranking.records, _Shown(tuple(comparison.varied), _FIGURES, _WIDTHS[0])
    while _width(table := _drawn(comparison, ranking, shown)) > width and (less := shown.less(width)):
        shown = less
    reasons = [record for record in records if record.reason]
    beside = _drawn(comparison, ranking, shown, with_reasons=True)
    kind = f"{ranking.unit}; {ranking.kind or 'no test figures'}; best validation ELBO first"
    notes = textwrap.wrap(kind, width)
    if reasons and _width(beside) <= width:
        table, reasons = beside, []
    for record in reasons:
        told = f"{shortened(record.name, shown.widths[0])}: {_status(record, with_reason=True)}"
        notes.append(shortened(told, width))
    others = shortened(", ".join(comparison.varied[len(shown.keys) :]), 5 * width)
    figures = ", ".join(name for name in _FIGURES if name not in shown.figures)
    for what, names in {"also varied": others, "no room for": figures}.items():
        notes += textwrap.wrap(f"{what}: {names}; see summary.csv", width, break_on_hyphens=False) if names else []
    return "\n".join([table, *notes])


def _drawn(comparison: Comparison, ranking: Ranking, shown: _Shown, *, with_reasons: bool = False) -> str:
    from tabulate import tabulate

    of_name, of_tags, of_setting = shown.widths
    labels = [shortened(comparison.labels[key], of_setting) for key in shown.keys]
    tagged = ["tags"] if comparison.has_tags else []
    numbers = [*labels, *shown.figures]
    headers = ["#", "run", *tagged, *numbers, "status"]
    align = ["right", "left", *["left"] * len(tagged), *["right"] * len(numbers), "left"]
    rows = []
    for record in ranking.records:
        name, tags = shortened(record.name, of_name), shortened(", ".join(record.tags), of_tags)
        settings = [shortened(setting_text(setting_of(record, key)), of_setting) for key in shown.keys]
        place = str(ranking.ranks.get(record.name) or "")
        texts = [place, name, *([tags] if tagged else []), *settings]
        figures = dict(zip(_FIGURES, _figures(record), strict=True))
        rows.append([*texts, *(figures[each] for each in shown.figures), _status(record, with_reason=with_reasons)])
    return tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)


def _width(table: str) -> int:
    return max(map(len, table.splitlines()))


def _figures(record: RunRecord) -> list[str]:
    figures = record.metrics
    return [
        nats(record.val_elbo),
        with_stderr(figures.get("test/elbo"), figures.get("test/elbo_stderr"), "+-"),
        nats(figures.get("test/rate")),
        nats(figures.get("test/distortion")),
        whole(figures.get("train/images_per_s")),
        duration(figures.get("seconds")),
    ]


def _status(record: RunRecord, *, with_reason: bool) -> str:
    status = shortened(record.status, 11)
    return f"{status}: {visible(record.reason)}" if with_reason and record.reason else status


def _cell(value: Setting | None) -> Setting:
    """A figure as it is, and a text on one line, with a quote before what a spreadsheet would take for a formula."""
    if isinstance(value, str):
        text = visible(value)
        return f"'{text}" if text.startswith(_FORMULA) else text
    if isinstance(value, float) and value.is_integer():  # 40 epochs, not 40.0
        return int(value)
    return "" if value is None else value
