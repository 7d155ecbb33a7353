"""The figures of a set of runs as a table: summary.csv, and the one that is printed at the end of a sweep."""

import csv
import io
import os
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
_WIDTH = 140
_SETTING_WIDTH = 18
_NAME_WIDTH = 28
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and their wide forms
_REASON_WIDTH = 14  # at least; what the other columns leave of the line, where that is more


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
    """The runs as plain text, best first, a table for each set that may be compared; lines of up to 140 columns."""
    comparison = Comparison(records)
    tables = [_table(comparison, ranking) for ranking in comparison.rankings]
    if len(tables) > 1:
        tables.append("Figures of different kinds, or of different images, can't be compared: each has its own table.")
    return "\n\n".join(tables)


def _table(comparison: Comparison, ranking: Ranking) -> str:
    keys = comparison.varied
    bare = _drawn(comparison, ranking, keys, 0)
    needed = _REASON_WIDTH if any(record.reason for record in ranking.records) else 0
    while keys and _width(bare) + needed > _WIDTH:
        keys = keys[:-1]
        bare = _drawn(comparison, ranking, keys, 0)
    notes = [f"nats per image; {ranking.kind or 'no test figures'}; best validation ELBO first"]
    if len(keys) < len(comparison.varied):
        notes.append(shortened(f"also varied: {', '.join(comparison.varied[len(keys) :])}; see summary.csv", _WIDTH))
    return "\n".join([_drawn(comparison, ranking, keys, _WIDTH - _width(bare)), *notes])


def _drawn(comparison: Comparison, ranking: Ranking, keys: list[str], room: int) -> str:
    from tabulate import tabulate

    labels = [shortened(comparison.labels[key], _SETTING_WIDTH) for key in keys]
    tagged = ["tags"] if comparison.has_tags else []
    numbers = [*labels, "val ELBO", "test ELBO", "rate", "distortion", "images/s", "time"]
    headers = ["#", "run", *tagged, *numbers, "status"]
    align = ["right", "left", *["left"] * len(tagged), *["right"] * len(numbers), "left"]
    rows = [_row(ranking, record, keys, room, bool(tagged)) for record in ranking.records]
    return tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)


def _width(table: str) -> int:
    return max(map(len, table.splitlines()))


def _row(ranking: Ranking, record: RunRecord, keys: list[str], room: int, has_tags: bool) -> list[str]:
    figures, place = record.metrics, ranking.ranks.get(record.name)
    return [
        str(place or ""),
        shortened(record.name, _NAME_WIDTH),
        *([shortened(", ".join(record.tags), _SETTING_WIDTH)] if has_tags else []),
        *[shortened(setting_text(setting_of(record, key)), _SETTING_WIDTH) for key in keys],
        nats(record.val_elbo),
        with_stderr(figures.get("test/elbo"), figures.get("test/elbo_stderr"), "+-"),
        nats(figures.get("test/rate")),
        nats(figures.get("test/distortion")),
        whole(figures.get("train/images_per_s")),
        duration(figures.get("seconds")),
        _status(record, room),
    ]


def _status(record: RunRecord, room: int) -> str:
    """The status and as much of the reason as there is room for, beside the longest status."""
    status = shortened(record.status, 11)
    reason = shortened(record.reason, room - len(": ")) if record.reason and room > len(": ...") else ""
    return f"{status}: {reason}" if reason else status


def _cell(value: Setting | None) -> Setting:
    """A figure as it is, and a text on one line, with a quote before what a spreadsheet would take for a formula."""
    if isinstance(value, str):
        text = visible(value)
        return f"'{text}" if text.startswith(_FORMULA) else text
    if isinstance(value, float) and value.is_integer():  # 40 epochs, not 40.0
        return int(value)
    return "" if value is None else value
