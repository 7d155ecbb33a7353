"""What was logged while training, all runs laid over each other."""

import math
from statistics import fmean

import plotly.graph_objects as go

from vae_lightning.reports.charts import Chart, empty_figure, escaped, title_of
from vae_lightning.reports.colours import Palette, distinct, most_varied
from vae_lightning.reports.comparison import Comparison, Ranking, setting_of
from vae_lightning.reports.entries import ReportEntry, entries, views
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.wording import shortened

TITLES = {"val/elbo": "Validation ELBO", "train/loss": "Training loss"}
_MOST_IN_LEGEND = 30
_MOST_POINTS = 30_000  # of a chart: a browser draws so many without a pause
_FEW_EPOCHS = 12
_DASHES = ("solid", "dash", "dot", "dashdot")
_Curve = list[tuple[int, float]]


def learning_curves(comparison: Comparison, ranking: Ranking) -> list[Chart]:
    """Validation ELBO and training loss by epoch, without a chart for what no run has logged."""
    logged = {name: [run for run in ranking.records if run.curves.get(name)] for name in TITLES}
    return [_chart(comparison, ranking, runs, name) for name, runs in logged.items() if runs]


def _chart(comparison: Comparison, ranking: Ranking, runs: list[RunRecord], name: str) -> Chart:
    palette = Palette(comparison, most_varied(comparison))
    has_legend = len(entries(comparison, ranking, views(comparison)[0])) <= _MOST_IN_LEGEND
    dashes = _dashes(comparison, palette) if has_legend else {}
    title = TITLES[name].lower().replace("elbo", "ELBO")
    figure = empty_figure("epoch", f"{title} ({ranking.unit})", height=420)
    for view in views(comparison):
        listed = [entry for entry in entries(comparison, ranking, view) if _curve(entry, name)]
        for place, entry in enumerate(listed):
            colour = palette.of(entry.first) if palette.key else distinct(place)
            curve = _thinned(_curve(entry, name), _MOST_POINTS // len(listed))
            style = {"color": colour, "dash": dashes.get(entry.first.name, "solid")}
            figure.add_trace(_line(comparison, entry, curve, style, shown=len(listed) <= _MOST_IN_LEGEND))
    span = _focus([value for run in runs for _, value in run.curves[name]], is_cost=name == "train/loss")
    figure.update_yaxes({"range": span} if span else {})
    is_short = max(epoch for run in runs for epoch, _ in run.curves[name]) <= _FEW_EPOCHS
    figure.update_xaxes({"dtick": 1} if is_short else {})
    figure.update_layout(showlegend=has_legend, legend={"title": {"text": ""}, "font": {"size": 11}})
    note = "The worst values lie outside; a double click shows them." if span else ""
    legend = [] if has_legend else palette.legend(runs)
    return Chart(TITLES[name], figure, note, legend_label=palette.label, legend=legend)


def _curve(entry: ReportEntry, name: str) -> _Curve:
    """Of several seeds, finished or not, their mean in the epochs that all have; empty where there is none."""
    curves = [dict(run.curves[name]) for run in entry.runs if run.curves.get(name)]
    shared = sorted(set.intersection(*map(set, curves))) if curves else []
    return [(epoch, fmean(curve[epoch] for curve in curves)) for epoch in shared]


def _line(
    comparison: Comparison, entry: ReportEntry, curve: _Curve, style: dict[str, str], *, shown: bool
) -> go.Scatter:
    settings = comparison.settings_text(entry.first, with_seed=not entry.is_mean)
    named = [] if entry.is_mean and settings else [entry.first.name if not entry.is_mean else title_of(entry)]
    told = escaped(shortened(settings, 120))
    return go.Scatter(
        x=[epoch for epoch, _ in curve],
        y=[value for _, value in curve],
        mode="lines" if len(curve) > 1 else "markers",
        line={**style, "width": 2},
        marker={"color": style["color"]},
        name=escaped(shortened(": ".join([*named, *([settings] if settings else [])]), 44)),
        showlegend=shown,
        hovertext=f"<b>{title_of(entry)}</b>" + (f"<br>{told}" if told else ""),
        hovertemplate="%{hovertext}<br>epoch %{x}: %{y:,.2f}<extra></extra>",
        meta={"view": entry.view, "id": entry.id},
    )


def _dashes(comparison: Comparison, palette: Palette) -> dict[str, str]:
    """Run -> the dash for its value of a second setting, where that has few enough."""
    key = most_varied(comparison, besides=palette.key)
    values = comparison.values(key) if key else []
    if key is None or len(values) > len(_DASHES):
        return {}
    dashes = dict(zip(values, _DASHES, strict=False))
    return {run.name: dashes.get(setting_of(run, key), "solid") for run in comparison.runs}


def _thinned(curve: _Curve, most: int) -> _Curve:
    """Every so manieth point, and the last."""
    stride = max(1, math.ceil(len(curve) / max(most, 10)))
    return curve[::stride] if (len(curve) - 1) % stride == 0 else [*curve[::stride], curve[-1]]


def _focus(values: list[float], *, is_cost: bool) -> list[float] | None:
    """A range without the first epochs' far outliers, which would press all curves flat; None where there are none."""
    good_first = sorted(values, reverse=not is_cost)
    best, typical, worst = good_first[0], good_first[int(0.9 * (len(good_first) - 1))], good_first[-1]
    spread = typical - best
    if len(values) < 20 or spread == 0 or (worst - best) / spread < 3:
        return None
    return sorted([best - 0.1 * spread, typical + 0.3 * spread])
