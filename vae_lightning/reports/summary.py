"""The figures of a set of runs as a table: summary.csv, and the one that is printed at the end of a sweep."""

import csv
import io
import os
import textwrap
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
_WIDTH = 120
_WIDTHS = ((28, 18, 18), (16, 10, 12))  # of a run's name, its tags and a setting: the second where lines are full
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and their wide forms


def summary_csv(comparison: Comparison, directory: Path) -> str:
    """One line a run, best first, with figures unrounded and empty where there are none.

    Args:
        directory: where the file will lie; the runs' paths are told from there.
    """
    stream = io.StringIO()
    tagged = ["tags"] if comparison.has_tags else []
    columns = ["rank", "run", *tagged, "status", "reason", "kind", *map(_cell, comparison.varied), *METRICS, "path"]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for record in comparison.records:
        settings = [_cell(setting_of(record, key)) for key in comparison.varied]
        figures = [_cell(record.metrics.get(name)) for name in METRICS]
        tags = [", ".join(record.tags) for _ in tagged]
        texts = [_cell(text) for text in (record.name, *tags, record.status, record.reason, record.kind)]
        rank, path = comparison.ranks.get(record.name, ""), _cell(relative(record.path, directory))
        writer.writerow([rank, *texts, *settings, *figures, path])
    return stream.getvalue()


def relative(path: Path, directory: Path) -> str:
    """The way from a directory to a path, with forward slashes: it holds when both are moved together."""
    return Path(os.path.relpath(path.resolve(), directory.resolve())).as_posix()


def terminal_table(records: list[RunRecord]) -> str:
    """The runs as plain text, best first, a table for each set that may be compared; lines of up to 120 columns.

    Why a run has failed stands beside that it has, or below the table where the line has no room for it.
    """
    comparison = Comparison(records)
    tables = [_table(comparison, ranking) for ranking in comparison.rankings]
    if len(tables) > 1:
        tables.append("Figures of different kinds, or of different images, can't be compared: each has its own table.")
    return "\n\n".join(tables)


def _table(comparison: Comparison, ranking: Ranking) -> str:
    records, keys = ranking.records, comparison.varied
    widths, *narrower = _WIDTHS
    while _width(table := _drawn(comparison, ranking, keys, widths)) > _WIDTH and (narrower or keys):
        widths, keys = (narrower.pop(), keys) if narrower else (widths, keys[:-1])
    reasons = [record for record in records if record.reason]
    beside = _drawn(comparison, ranking, keys, widths, with_reasons=True)
    notes = [f"nats per image; {ranking.kind or 'no test figures'}; best validation ELBO first"]
    if reasons and _width(beside) <= _WIDTH:
        table, reasons = beside, []
    for record in reasons:
        told = f"{shortened(record.name, widths[0])}: {_status(record, with_reason=True)}"
        notes.append(shortened(told, _WIDTH))
    if len(keys) < len(comparison.varied):
        others = shortened(", ".join(comparison.varied[len(keys) :]), 5 * _WIDTH)
        notes += textwrap.wrap(f"also varied: {others}; see summary.csv", _WIDTH, break_on_hyphens=False)
    return "\n".join([table, *notes])


def _drawn(
    comparison: Comparison, ranking: Ranking, keys: list[str], widths: tuple[int, ...], *, with_reasons: bool = False
) -> str:
    from tabulate import tabulate

    of_name, of_tags, of_setting = widths
    labels = [shortened(comparison.labels[key], of_setting) for key in keys]
    tagged = ["tags"] if comparison.has_tags else []
    numbers = [*labels, "val ELBO", "test ELBO", "rate", "distortion", "images/s", "time"]
    headers = ["#", "run", *tagged, *numbers, "status"]
    align = ["right", "left", *["left"] * len(tagged), *["right"] * len(numbers), "left"]
    rows = []
    for record in ranking.records:
        name, tags = shortened(record.name, of_name), shortened(", ".join(record.tags), of_tags)
        settings = [shortened(setting_text(setting_of(record, key)), of_setting) for key in keys]
        place = str(ranking.ranks.get(record.name) or "")
        texts = [place, name, *([tags] if tagged else []), *settings]
        rows.append([*texts, *_figures(record), _status(record, with_reason=with_reasons)])
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
