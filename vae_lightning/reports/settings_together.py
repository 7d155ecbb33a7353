"""What several settings do together: a heat map of two; of three and more parallel axes, and which of them matters."""

import math

import numpy as np
import plotly.graph_objects as go

from vae_lightning.reports.charts import INK, PAPER, RULE, Chart, empty_figure, escaped, hover_text, title_of
from vae_lightning.reports.colours import scaled
from vae_lightning.reports.comparison import SEED, Comparison, Ranking, setting_of
from vae_lightning.reports.entries import SEEDS, ReportEntry, entries, views
from vae_lightning.reports.figures import figure_text, further_figures, reading
from vae_lightning.reports.gallery import grid
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import Setting, setting_text
from vae_lightning.reports.wording import shortened

_HEAT = ("test/elbo", "test/rate", "test/distortion")
_MOST_AXES = 8
_FEWEST_RUNS = 8  # that say which setting matters
_MOST_LINES = 300
_COLOURS = [[0.0, "#b9cbe0"], [0.5, "#dfeaea"], [1.0, "#8fd08a"]]  # all of them light, under letters that are dark
_ON_COLOURS = "#1f2933"


def heat_maps(comparison: Comparison, ranking: Ranking) -> list[Chart]:
    """Of a sweep over a grid of two settings the test figures, a cell for each pair of values; of seeds their mean."""
    if grid(comparison) is None:
        return []
    down, across = sorted(comparison.varied, key=lambda key: key.startswith("objective"))
    listed = entries(comparison, ranking, views(comparison)[0])
    figures = [*_HEAT, *further_figures(ranking.records)]
    shown = [name for name in figures if sum(entry.figure(name) is not None for entry in listed) > 1]
    return [_heat_map(comparison, listed, (down, across), name) for name in shown]


def _heat_map(comparison: Comparison, listed: list[ReportEntry], keys: tuple[str, str], figure_name: str) -> Chart:
    down, across = keys
    rows, columns = comparison.values(down), comparison.values(across)
    cells = {(entry.setting(down), entry.setting(across)): entry for entry in reversed(listed)}  # the best of a cell
    found = [[cells.get((row, column)) for column in columns] for row in rows]
    values = [[None if entry is None else entry.figure(figure_name) for entry in line] for line in found]
    figure = empty_figure(
        escaped(comparison.labels[across]), escaped(comparison.labels[down]), height=_height(len(rows))
    )
    figure.add_trace(
        go.Heatmap(
            x=[_text(value) for value in columns],
            y=[_text(value) for value in rows],
            z=values,
            text=[[figure_text(figure_name, value) if value is not None else "" for value in line] for line in values],
            texttemplate="%{text}" if len(columns) <= 10 else None,
            hovertext=[[entry and hover_text(comparison, entry) for entry in line] for line in found],
            hovertemplate="%{hovertext}<extra></extra>",
            textfont={"color": _ON_COLOURS},
            hoverongaps=False,
            colorscale=_COLOURS,
            reversescale=reading(figure_name).is_better == "lower",
            showscale=False,
            xgap=2,
            ygap=2,
            meta={"cells": [[_ids(comparison, entry) for entry in line] for line in found]},
        )
    )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    return Chart(reading(figure_name).heading, figure)


def parallel_axes(comparison: Comparison, ranking: Ranking) -> Chart | None:
    """An axis for each setting and one for the validation ELBO, and a line through them for each run or mean of seeds.

    None of fewer than three settings, or where fewer than two have a validation ELBO.
    """
    keys = comparison.varied[:_MOST_AXES]
    if len(keys) < 3:
        return None
    axes = [_ValueAxis(comparison.values(key)) for key in keys]
    figure = empty_figure("", "", height=400)
    for view in views(comparison):
        listed = [entry for entry in entries(comparison, ranking, view) if entry.figure("val/elbo") is not None]
        if len(listed) < 2:
            return None
        elbos = [entry.figure("val/elbo") or 0.0 for entry in listed]
        heights = _heights(elbos)
        for entry, height in list(zip(listed, heights, strict=True))[_MOST_LINES - 1 :: -1]:  # the best on top
            ys = [axis.height(entry.setting(key)) for axis, key in zip(axes, keys, strict=True)]
            figure.add_trace(_through(comparison, entry, [*ys, height]))
    best, worst = max(elbos), min(elbos)
    labels = [
        *(axis.ticks for axis in axes),
        [(0.0, figure_text("val/elbo", worst)), (1.0, figure_text("val/elbo", best))],
    ]
    titles = [*(comparison.labels[key] for key in keys), "val ELBO"]
    _draw_axes(figure, titles, labels)
    return Chart("Each run through its settings", figure)


class _ValueAxis:
    """Values of a setting one above the other, evenly: numbers of a sweep are mostly powers."""

    def __init__(self, values: list[Setting | None]):
        self._places = {value: place / max(len(values) - 1, 1) for place, value in enumerate(values)}

    def height(self, value: Setting | None) -> float:
        return self._places.get(value, 0.5)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        few = list(self._places.items())
        kept = few if len(few) <= 9 else [few[round(step * (len(few) - 1) / 4)] for step in range(5)]
        return [(height, shortened(setting_text(value), 14)) for value, height in kept]


def _through(comparison: Comparison, entry: ReportEntry, ys: list[float]) -> go.Scatter:
    return go.Scatter(
        x=list(range(len(ys))),
        y=ys,
        mode="lines",
        line={"color": scaled(ys[-1]), "width": 2, "shape": "spline", "smoothing": 0.5},
        hovertext=hover_text(comparison, entry),
        hovertemplate="%{hovertext}<extra></extra>",
        name=title_of(entry),
        meta={"view": entry.view, "id": entry.id},
    )


def _draw_axes(figure: go.Figure, titles: list[str], labels: list[list[tuple[float, str]]]) -> None:
    for place, (title, ticks) in enumerate(zip(titles, labels, strict=True)):
        figure.add_shape(type="line", x0=place, x1=place, y0=0, y1=1, line={"color": INK, "width": 1})
        figure.add_annotation(x=place, y=1.13, text=f"<b>{escaped(shortened(title, 18))}</b>", showarrow=False)
        for height, text in ticks:
            figure.add_annotation(
                x=place, y=height, text=escaped(text), showarrow=False, xanchor="right", xshift=-4,
                font={"size": 10, "color": INK}, bgcolor=PAPER, borderpad=1,
            )  # fmt: skip
    bare = {"visible": False, "showgrid": False}
    figure.update_xaxes({**bare, "range": [-0.35, len(titles) - 0.85]})
    figure.update_yaxes({**bare, "range": [-0.06, 1.22]})


def importance(comparison: Comparison, ranking: Ranking) -> Chart | None:
    """How much of what tells the runs' validation ELBOs apart each setting accounts for, as shares of 1.

    By a random forest of regression trees (Breiman, 2001): the variance that splits by a setting take away, mean over
    the trees. The seed is one of them where there are several: what it has is noise. None of fewer than three settings,
    or of fewer than eight finished runs.
    """
    runs = [run for run in ranking.records if run.status == "finished" and run.val_elbo is not None]
    if len(comparison.varied) < 3 or len(runs) < _FEWEST_RUNS:
        return None
    keys = [*comparison.varied, *([SEED] if comparison.has_seeds else [])]
    shares = _shares(comparison, runs, keys)
    if shares is None:
        return None
    ordered = sorted(shares.items(), key=lambda item: item[1])
    figure = empty_figure("share of the variance", "", height=60 + 26 * len(ordered))
    figure.add_trace(
        go.Bar(
            x=[share for _, share in ordered],
            y=[escaped(shortened(comparison.labels[key], 30)) for key, _ in ordered],
            orientation="h",
            marker={"color": [RULE if key == SEED else "#3f90da" for key, _ in ordered]},
            text=[f"{share:.2f}" for _, share in ordered],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.update_xaxes(range=[0, 1.08])
    return Chart("What matters most", figure)


def _shares(comparison: Comparison, runs: list[RunRecord], keys: list[str]) -> dict[str, float] | None:
    from sklearn.ensemble import RandomForestRegressor

    places = {key: {value: place for place, value in enumerate(comparison.values(key))} for key in keys}
    features = np.array([[places[key].get(setting_of(run, key), -1) for key in keys] for run in runs], dtype=float)
    elbos = np.array([run.val_elbo for run in runs])
    if not math.isfinite(float(elbos.var())) or elbos.var() == 0:
        return None
    forest = RandomForestRegressor(200, random_state=0).fit(features, elbos)
    return {key: float(share) for key, share in zip(keys, forest.feature_importances_, strict=True)}


def _ids(comparison: Comparison, entry: ReportEntry | None) -> list[str]:
    if entry is None:
        return []
    if entry.view == SEEDS:
        places = {run.name: place for place, run in enumerate(comparison.runs)}
        return [entry.id, *(f"r{places[run.name]}" for run in entry.runs)]
    return [entry.id]


def _heights(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / ((high - low) or 1.0) for value in values]


def _text(value: Setting | None) -> str:
    return escaped(shortened(setting_text(value), 16))


def _height(num_rows: int) -> int:
    return 90 + min(40 * num_rows, 400)
