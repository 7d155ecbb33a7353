"""Where each run's pictures stand: in the sweep's own grid where it has one, else one card after another."""

from dataclasses import dataclass

from vae_lightning.reports.comparison import Comparison, is_known, setting_of
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import Setting, setting_order, setting_text

_MOST_CELLS = 3  # a run


@dataclass(frozen=True)
class Grid:
    """Runs by two settings: `rows[i]` is a value going down and the runs of each of the `columns`' values.

    Attributes:
        across: the name of the setting whose values are the columns.
        down: the name of the setting whose values are the rows.
        rest: runs so damaged that they don't tell where they belong.
    """

    across: str
    down: str
    columns: list[str]
    rows: list[tuple[str, list[list[RunRecord]]]]
    rest: list[RunRecord]


def grid(comparison: Comparison) -> Grid | None:
    """The grid of a sweep over two settings, the objective's across; None for other sweeps.

    A random search over two settings is no grid either: most of its cells would be empty.
    """
    if len(comparison.varied) != 2:
        return None
    down, across = sorted(comparison.varied, key=lambda key: key.startswith("objective"))
    columns, rows = comparison.values(across), comparison.values(down)
    if len(rows) * len(columns) > _MOST_CELLS * len(comparison.runs):
        return None
    cells = {(row, column): _runs(comparison, {down: row, across: column}) for row in rows for column in columns}
    return Grid(
        across=comparison.labels[across],
        down=comparison.labels[down],
        columns=[setting_text(column) for column in columns],
        rows=[(setting_text(row), [cells[row, column] for column in columns]) for row in rows],
        rest=[run for run in comparison.records if not all(is_known(run, key) for key in (down, across))],
    )


def cards(comparison: Comparison) -> list[RunRecord]:
    """All runs in the order of the one setting that varies, else best first."""
    if len(comparison.varied) != 1:
        return comparison.records
    (key,) = comparison.varied
    return sorted(comparison.records, key=lambda run: setting_order(setting_of(run, key)))


def _runs(comparison: Comparison, settings: dict[str, Setting | None]) -> list[RunRecord]:
    return [
        run
        for run in comparison.records
        if all(is_known(run, key) and setting_of(run, key) == value for key, value in settings.items())
    ]
