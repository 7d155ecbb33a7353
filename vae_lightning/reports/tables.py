"""The figures of a set of runs as a table for a paper, in LaTeX with booktabs, or in Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vae_lightning.errors import UserError
from vae_lightning.reports.comparison import SEED, Comparison, Ranking
from vae_lightning.reports.differences import difference
from vae_lightning.reports.entries import ReportEntry, entries, views
from vae_lightning.reports.figures import further_figures, reading, with_error
from vae_lightning.reports.settings import setting_text
from vae_lightning.reports.wording import visible

FORMATS = ("latex", "markdown")
_USUAL = ("test/elbo", "test/rate", "test/distortion")
_OTHERS = ("val/elbo", "epochs", "steps", "seconds", "train/images_per_s", "peak_memory_mb")
_SEEDS, _RUN = "seeds", "run"
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{letter: f"{{{letter}}}" for letter in "[]*"},  # which the end of a line would take for its own
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\u00b1": r"$\pm$",
}
_MARKDOWN = {letter: f"\\{letter}" for letter in "\\|*_<>`[]!&"}
_LATIN = 0x17F  # the last letter that LaTeX knows without further packages


@dataclass(frozen=True)
class _Column:
    """One column: a heading, and what stands in it of an entry; `figure` where it is one."""

    heading: str
    text: Callable[[ReportEntry], str]
    figure: str = ""


def paper_table(comparison: Comparison, form: str, fields: Sequence[str] | None = None) -> str:
    """The table as text, a block for each set of runs that may be compared, settings first, in their order.

    Figures of several seeds are mean and standard deviation, of a single run value and standard error. The best of a
    column whose figure has a better end is bold, and so is all whose difference to it may be noise.

    Args:
        comparison: of the runs.
        form: `latex` or `markdown`.
        fields: its columns: the names of figures, as in summary.csv or without `test/`, of settings, `seeds` and `run`;
            None for the settings that vary, the number of seeds, the test ELBO, its rate and distortion, and what was
            evaluated.

    Raises:
        UserError: no such form, or a field that these runs don't have.
    """
    if form not in FORMATS:
        raise UserError(f"table={form}: choose {' or '.join(FORMATS)}")
    if not any(run.status == "finished" for run in comparison.runs):
        raise UserError(f"table={form}: none of these {len(comparison.runs)} runs has finished")
    chosen = [_column(comparison, name) for name in (_default(comparison) if fields is None else fields)]
    write = _latex if form == "latex" else _markdown
    return "\n\n".join(write(comparison, ranking, chosen) for ranking in comparison.rankings)


def _default(comparison: Comparison) -> list[str]:
    known = [name for name in _USUAL if any(name in run.metrics for run in comparison.runs)]
    settings = comparison.varied or [_RUN]
    return [*settings, *([_SEEDS] if comparison.has_seeds else []), *known, *further_figures(comparison.records)]


def _column(comparison: Comparison, name: str) -> _Column:
    if name == _SEEDS and comparison.has_seeds:
        return _Column(_SEEDS, lambda entry: str(len(entry.counted)))
    if name == _RUN:
        return _Column("run", lambda entry: ", ".join(run.name for run in entry.runs))
    settings = {label: key for key, label in comparison.labels.items()} | {key: key for key in comparison.told_apart}
    if comparison.has_seeds and settings.get(name) == SEED:
        return _Column(SEED, lambda entry: entry.seeds)
    if name in settings:
        key = settings[name]
        return _Column(comparison.labels[key], lambda entry: setting_text(entry.setting(key)))
    figures = [*_USUAL, *_OTHERS, *further_figures(comparison.records)]
    figure = next((figure for figure in (name, f"test/{name}") if figure in figures), None)
    if figure is not None:
        return _Column(reading(figure).heading, lambda entry: with_error(entry, figure), figure)
    known = [_RUN, *([_SEEDS] if comparison.has_seeds else []), *settings, *figures]
    raise UserError(f"fields: no {visible(name)} in these runs; choose of {', '.join(dict.fromkeys(known))}")


def _latex(comparison: Comparison, ranking: Ranking, columns: list[_Column]) -> str:
    align = "".join("r" if column.figure or _is_numeric(comparison, column) else "l" for column in columns)
    rows = _rows(comparison, ranking, columns, lambda text: rf"\textbf{{{text}}}", _tex)
    lines = [" & ".join(row) + r" \\" for row in rows]
    heading = " & ".join(_tex(column.heading) for column in columns) + r" \\"
    note = [f"% {line}" for line in _notes(comparison, ranking)]
    return "\n".join(
        [*note, rf"\begin{{tabular}}{{{align}}}", r"\toprule", heading, r"\midrule", *lines, r"\bottomrule",
         r"\end{tabular}"]
    )  # fmt: skip


def _markdown(comparison: Comparison, ranking: Ranking, columns: list[_Column]) -> str:
    rows = _rows(comparison, ranking, columns, lambda text: f"**{text}**", _mark)
    marks = ["--:" if column.figure or _is_numeric(comparison, column) else ":--" for column in columns]
    table = [[_mark(column.heading) for column in columns], marks, *rows]
    return "\n".join([*("| " + " | ".join(row) + " |" for row in table), "", *map(_mark, _notes(comparison, ranking))])


def _rows(
    comparison: Comparison,
    ranking: Ranking,
    columns: list[_Column],
    bold: Callable[[str], str],
    escape: Callable[[str], str],
) -> list[list[str]]:
    listed = entries(comparison, ranking, views(comparison)[0])
    ordered = _in_order(comparison, listed)
    best = [_best(ordered, column.figure) for column in columns]

    def cell(entry: ReportEntry, column: _Column, winners: set[str]) -> str:
        text = escape(column.text(entry))
        return bold(text) if entry.id in winners else text

    return [[cell(entry, *each) for each in zip(columns, best, strict=True)] for entry in ordered]


def _in_order(comparison: Comparison, listed: list[ReportEntry]) -> list[ReportEntry]:
    """In the order of the settings' values, as a reader looks for them."""
    places = {key: {value: place for place, value in enumerate(comparison.values(key))} for key in comparison.varied}

    def order(entry: ReportEntry) -> list[int]:
        return [places[key].get(entry.setting(key), len(places[key])) for key in comparison.varied]

    return sorted(listed, key=order)


def _best(listed: list[ReportEntry], figure: str) -> set[str]:
    """The ids of the best by a figure, and of those whose difference to it may be noise; none where none is better."""
    values = {entry.id: value for entry in listed if figure and (value := entry.figure(figure)) is not None}
    end = reading(figure).is_better if figure else ""
    if not end or len(values) < 2:
        return set()
    best = max(values.values()) if end == "higher" else min(values.values())
    first = next(entry for entry in listed if values.get(entry.id) == best)
    apart = {entry.id: difference(entry, first, figure) for entry in listed if entry is not first}
    near = {name for name, each in apart.items() if each is not None and each.interval and each.may_be_noise}
    return {first.id} | near


def _is_numeric(comparison: Comparison, column: _Column) -> bool:
    keys = [key for key, label in comparison.labels.items() if label == column.heading]
    return column.heading == _SEEDS or any(
        not any(isinstance(value, str) for value in comparison.values(key)) for key in keys
    )


def _notes(comparison: Comparison, ranking: Ranking) -> list[str]:
    tested = next((run.metrics["test/num_images"] for run in ranking.records if "test/num_images" in run.metrics), None)
    images = f", {tested:,.0f} test images" if tested else ""
    errors = "mean +- standard deviation over seeds" if comparison.has_seeds else "+- the standard error over images"
    bold = "bold: the best, and what may as well be (95%)"
    return [
        f"ELBO, rate and distortion: {ranking.unit}; {ranking.kind or 'no test figures'}{images}; {errors}; {bold}."
    ]


def _tex(text: str) -> str:
    known = [letter if ord(letter) <= _LATIN else f"U+{ord(letter):04X}" for letter in visible(text)]
    told = "".join(_LATEX.get(letter, letter) for letter in known)
    return f"$-${told[1:]}" if told[:1] == "-" and told[1:2].isdigit() else told  # a minus, and no hyphen


def _mark(text: str) -> str:
    return "".join(_MARKDOWN.get(letter, letter) for letter in visible(text))
