"""Where each run's pictures stand: in the sweep's own grid where it has one, else one card after another."""

from dataclasses import dataclass

from vae_lightning.reports.comparison import Comparison, is_known, setting_of
from vae_lightning.reports.entries import entries, views
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import Setting, setting_order, setting_text

_MOST_CELLS = 3  # a run
_MOST_ACROSS = 4  # on paper, where there is no grid


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


@dataclass(frozen=True)
class Arrangement:
    """Where the runs of a comparison stand beside each other on paper, one of each setting.

    Attributes:
        rows: the runs of each row, None where there is none.
        columns: what each column has in common, as in `beta = 4`; or what the run above which it stands is.
        names: what each row has in common; empty texts where that is nothing.
    """

    rows: list[list[RunRecord | None]]
    columns: list[str]
    names: list[str]


def arranged(comparison: Comparison) -> list[Arrangement]:
    """The finished runs in the sweep's own grid where it has one, else those of one row after another.

    Of several seeds that is the run of the smallest. Rows that are no grid's have their own texts above them, and are
    an arrangement each.
    """
    view = views(comparison)[0]
    listed = [entry for ranking in comparison.rankings for entry in entries(comparison, ranking, view)]
    shown = {entry.counted[0].name for entry in listed if entry.counted and entry.counted[0].status == "finished"}
    of_grid = grid(comparison)
    if of_grid is not None:
        rows = [[next((run for run in cell if run.name in shown), None) for cell in cells] for _, cells in of_grid.rows]
        columns = [f"{of_grid.across} = {column}" for column in of_grid.columns]
        return [Arrangement(rows, columns, [f"{of_grid.down} = {name}" for name, _ in of_grid.rows])]
    runs: list[RunRecord | None] = [run for run in cards(comparison) if run.name in shown]
    across = min(len(runs), _MOST_ACROSS)
    runs += [None] * (-len(runs) % max(across, 1))
    parts = [runs[start : start + across] for start in range(0, len(runs), across or 1)]
    return [Arrangement([part], [_told(comparison, run) for run in part], [""]) for part in parts]


def _told(comparison: Comparison, run: RunRecord | None) -> str:
    if run is None:
        return ""
    settings = comparison.settings_text(run, with_seed=not comparison.has_seeds)
    return settings.replace("=", " = ") if settings else run.name


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
