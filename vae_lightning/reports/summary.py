"""The figures of a set of runs as the table that is printed: at the end of a sweep, and by `report`."""

import textwrap
from dataclasses import dataclass, replace

from vae_lightning.reports.comparison import Comparison, Ranking
from vae_lightning.reports.differences import differences_from_best
from vae_lightning.reports.entries import ReportEntry, entries, ranks, views
from vae_lightning.reports.figures import bare, further_figures, reading, with_error
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import setting_text
from vae_lightning.reports.wording import duration, shortened, visible, whole

_FIRST, _LAST = ("val/elbo", "test/elbo", "test/rate", "test/distortion"), ("train/images_per_s", "seconds")
_WORDS = {"train/images_per_s": whole, "seconds": duration}
_WIDTH = 120
_WIDTHS = ((28, 18, 18), (16, 10, 12))  # of a run's name, its tags and a setting: the second where lines are full
# In this order, where a terminal is narrower than that, or an evaluation has left further figures.
_LEFT_OUT = ("train/images_per_s", "seconds", "test/distortion", "test/rate")


@dataclass(frozen=True)
class _Shown:
    """What a printed table has: settings, figures, and columns of a name, its tags and a setting at most."""

    keys: tuple[str, ...]
    figures: tuple[str, ...]
    widths: tuple[int, int, int]
    are_means: bool  # which only the settings tell apart, so that these go last

    def less(self, width: int) -> "_Shown | None":
        """One step narrower, for lines of so many columns; None where there is none."""
        if self.widths != _WIDTHS[-1]:
            return replace(self, widths=_WIDTHS[-1])
        further = [name for name in self.figures if name not in (*_FIRST, *_LAST)]
        spare = [name for name in _LEFT_OUT if name in self.figures] if width < _WIDTH else []
        in_the_way = [name for name in _LAST if name in self.figures] if further or self.are_means else []
        for name in (*in_the_way, *reversed(further), *spare):
            return replace(self, figures=tuple(figure for figure in self.figures if figure != name))
        return replace(self, keys=self.keys[:-1]) if self.keys else None


@dataclass(frozen=True)
class _Table:
    """The rows of one ranking: runs, or where there are seeds their means."""

    comparison: Comparison
    ranking: Ranking
    view: str

    @property
    def entries(self) -> list[ReportEntry]:
        return entries(self.comparison, self.ranking, self.view)

    @property
    def are_means(self) -> bool:
        return any(entry.is_mean for entry in self.entries)

    @property
    def figures(self) -> tuple[str, ...]:
        """All that there may be columns of."""
        return (*_FIRST, *further_figures(self.ranking.records), *_LAST)

    def drawn(self, shown: _Shown, *, with_reasons: bool = False) -> str:
        """The table as text."""
        from tabulate import tabulate

        labels = [shortened(self.comparison.labels[key], shown.widths[2]) for key in shown.keys]
        numbers = [*labels, *(_heading(name) for name in shown.figures)]
        headers = ["#", *self._names, *numbers, "seeds" if self.are_means else "status"]
        align = ["right", *["left"] * len(self._names), *["right"] * len(numbers), "left"]
        places = ranks(self.entries)
        rows = [self._row(entry, shown, str(places.get(entry.id, "")), with_reasons) for entry in self.entries]
        return tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)

    @property
    def _names(self) -> list[str]:
        if self.are_means:
            return []
        return ["run", "tags"] if self.comparison.has_tags else ["run"]

    def _row(self, entry: ReportEntry, shown: _Shown, place: str, with_reasons: bool) -> list[str]:
        of_name, of_tags, of_setting = shown.widths
        names = [shortened(entry.first.name, of_name), shortened(", ".join(entry.first.tags), of_tags)]
        settings = [shortened(setting_text(entry.setting(key)), of_setting) for key in shown.keys]
        figures = [_figure(entry, name) for name in shown.figures]
        end = _seeds(entry) if entry.is_mean else _status(entry.first, with_reason=with_reasons)
        return [place, *names[: len(self._names)], *settings, *figures, end]


def terminal_table(records: list[RunRecord], width: int = _WIDTH) -> str:
    """The runs as plain text, best first, a table for each set that may be compared.

    Runs of the same settings with several seeds are one line of means. Why a run has failed stands beside that it has,
    or below the table where the line has no room for it; and how far the second may be trusted to be behind the first.

    Args:
        records: of the runs.
        width: columns that lines have at most, and no more than 120. Below that some figures are left out where
            there is no room for them, and named.
    """
    comparison, width = Comparison(records), min(width, _WIDTH)
    tables = [_text(_Table(comparison, ranking, views(comparison)[0]), width) for ranking in comparison.rankings]
    if len(tables) > 1:
        told = "Figures of different kinds, or of different images, can't be compared: each has its own table."
        tables.append(textwrap.fill(told, width))
    return "\n\n".join(tables)


def _text(table: _Table, width: int) -> str:
    shown = _Shown(tuple(table.comparison.varied), table.figures, _WIDTHS[0], table.are_means)
    while _width(text := table.drawn(shown)) > width and (less := shown.less(width)):
        shown = less
    reasons = [record for record in table.ranking.records if record.reason]
    beside = table.drawn(shown, with_reasons=True)
    notes = textwrap.wrap(_kind(table), width)
    if reasons and not table.are_means and _width(beside) <= width:
        text, reasons = beside, []
    if table.are_means:  # whose lines don't name them
        reasons = [record for record in table.ranking.records if record.status != "finished"]
    for record in reasons:
        told = f"{shortened(record.name, shown.widths[0])}: {_status(record, with_reason=True)}"
        notes.append(shortened(told, width))
    notes += _apart(table, width)
    others = shortened(", ".join(table.comparison.varied[len(shown.keys) :]), 5 * width)
    figures = ", ".join(_heading(name) for name in table.figures if name not in shown.figures)
    file = "summary_seeds.csv" if table.are_means else "summary.csv"
    for what, names in {"also varied": others, "no room for": figures}.items():
        notes += textwrap.wrap(f"{what}: {names}; see {file}", width, break_on_hyphens=False) if names else []
    return "\n".join([text, *notes])


def _kind(table: _Table) -> str:
    kind = f"{table.ranking.unit}; {table.ranking.kind or 'no test figures'}"
    if table.are_means:
        return f"{kind}; means +- standard deviations over seeds, best mean validation ELBO first"
    return f"{kind}; best validation ELBO first"


def _apart(table: _Table, width: int) -> list[str]:
    """How far the second is behind the first, where both have a test ELBO."""
    listed = table.entries
    apart = differences_from_best(table.comparison, table.ranking, listed)
    seconds = [entry for entry in listed if ranks(listed).get(entry.id) == 2 and entry.id in apart]
    return [
        line
        for entry in seconds
        for line in textwrap.wrap(f"#2 from #1: test ELBO {apart[entry.id].in_words()}", width)
    ]


def _width(table: str) -> int:
    return max(map(len, table.splitlines()))


def _heading(figure: str) -> str:
    return "time" if figure == "seconds" else reading(figure).heading


def _figure(entry: ReportEntry, figure: str) -> str:
    if figure in _WORDS:
        return _WORDS[figure](entry.figure(figure))
    has_error = entry.is_mean or (figure != "val/elbo" and figure not in ("test/rate", "test/distortion"))
    return with_error(entry, figure, "+-") if has_error else bare(entry, figure)


def _seeds(entry: ReportEntry) -> str:
    count = len(entry.counted)
    return f"{count} of {count + entry.missing}" if entry.missing else str(count)


def _status(record: RunRecord, *, with_reason: bool) -> str:
    status = shortened(record.status, 11)
    return f"{status}: {visible(record.reason)}" if with_reason and record.reason else status
