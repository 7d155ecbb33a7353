"""The test figures as charts: the rate-distortion plane, and how they depend on each setting."""

import math
from dataclasses import dataclass
from itertools import pairwise

import plotly.graph_objects as go

from vae_lightning.reports.charts import FAINT, INK, PAPER, RULE, Chart, empty_figure, escaped, hover_text, meta_of
from vae_lightning.reports.colours import Palette, most_varied
from vae_lightning.reports.comparison import Comparison, Ranking, setting_of
from vae_lightning.reports.entries import ReportEntry, best_entry, entries, views
from vae_lightning.reports.figures import further_figures, reading
from vae_lightning.reports.settings import Setting, setting_order, setting_text
from vae_lightning.reports.wording import shortened
from vae_lightning.runs.records import NATS

METRICS = {"test/elbo": "test ELBO", "test/rate": "test rate", "test/distortion": "test distortion"}
_PLANE = ("test/rate", "test/distortion")
_MOST_LABELLED = 16  # points with their run's name beside them
_MOST_JOINED = 8  # lines
_HOVER = "%{hovertext}<extra></extra>"
_Range = list[float]


@dataclass(frozen=True)
class SettingCharts:
    """How the test figures depend on one setting: a chart each, with the same colours.

    Attributes:
        further: of the figures that evaluations have left.
    """

    label: str
    charts: list[Chart]
    further: list[Chart]


def rate_distortion(comparison: Comparison, ranking: Ranking) -> Chart | None:
    """Test distortion against test rate, a point a run or of several seeds a mean; None where no run was tested."""
    runs = [run for run in ranking.records if set(_PLANE) <= run.metrics.keys()]
    if not runs:
        return None
    x_range, y_range = (_padded([run.metrics[name] for run in runs]) for name in _PLANE)
    figure = empty_figure("rate (nats per image)", f"distortion ({ranking.unit})", height=480)
    _add_equal_elbo(figure, x_range, y_range)
    palette = Palette(comparison, most_varied(comparison))
    for view in views(comparison):
        listed = entries(comparison, ranking, view)
        plotted = [entry for entry in listed if all(entry.figure(name) is not None for name in _PLANE)]
        figure.add_trace(_points(comparison, palette, view, plotted))
        if (best := best_entry(listed)) in plotted:
            figure.add_trace(_ring(view, best))
    figure.update_xaxes(range=x_range)
    figure.update_yaxes(range=y_range)
    return Chart("", figure, legend_label=palette.label, legend=palette.legend(runs))


def setting_charts(comparison: Comparison, ranking: Ranking) -> list[SettingCharts]:
    """Test ELBO, rate and distortion, and what else was evaluated, against each setting that varies among the runs."""
    runs = [run for run in ranking.records if "test/elbo" in run.metrics]
    keys = [key for key in comparison.varied if len({setting_of(run, key) for run in runs}) > 1]
    further = further_figures(runs)
    return [
        SettingCharts(
            comparison.labels[key],
            [_against(comparison, ranking, key, metric, METRICS[metric], _unit(ranking, metric)) for metric in METRICS],
            [_against(comparison, ranking, key, name, reading(name).heading, "") for name in further],
        )
        for key in keys
    ]


def _padded(values: list[float]) -> _Range:
    low, high = min(values), max(values)
    margin = 0.12 * (high - low) or max(abs(high) * 0.05, 1.0)
    return [low - margin, high + margin]


def _add_equal_elbo(figure: go.Figure, x_range: _Range, y_range: _Range) -> None:
    """Lines of rate + distortion = -ELBO through the plane, each with its ELBO where it leaves the plane below."""
    (left, right), (bottom, top) = x_range, y_range
    step = _nice((right - left + top - bottom) / 7)
    decimals = max(0, -math.floor(math.log10(step)))
    xs: list[float | None] = []
    ys: list[float | None] = []
    for multiple in range(math.ceil((left + bottom) / step), math.floor((right + top) / step) + 1):
        cost = multiple * step
        x_span = (max(left, cost - top), min(right, cost - bottom))
        xs += [*x_span, None]
        ys += [cost - x_span[0], cost - x_span[1], None]
        figure.add_annotation(
            x=x_span[1], y=cost - x_span[1], text=f"ELBO {-cost:,.{decimals}f}", showarrow=False, xanchor="right",
            yanchor="bottom", font={"size": 10, "color": FAINT}, bgcolor=PAPER, borderpad=1,
        )  # fmt: skip
    line = {"color": RULE, "width": 1, "dash": "dot"}
    figure.add_trace(go.Scatter(x=xs, y=ys, mode="lines", line=line, hoverinfo="skip"))


def _nice(step: float) -> float:
    """The next larger of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def _points(comparison: Comparison, palette: Palette, view: str, listed: list[ReportEntry]) -> go.Scatter:
    names = [f"\N{EN SPACE}{escaped(shortened(entry.first.name, 16))}" for entry in listed]  # clear of the ring
    are_runs = not any(entry.is_mean for entry in listed)
    labels = {"text": names} if are_runs and len(listed) <= _MOST_LABELLED else {}
    errors = {} if are_runs else {f"error_{axis}": _bars(listed, name) for axis, name in zip("xy", _PLANE, strict=True)}
    return go.Scatter(
        x=[entry.figure(_PLANE[0]) for entry in listed],
        y=[entry.figure(_PLANE[1]) for entry in listed],
        mode="markers+text" if labels else "markers",
        textposition="middle right",
        textfont={"size": 11, "color": INK},
        marker={
            "color": [palette.of(entry.first) for entry in listed], "size": 11, "line": {"color": PAPER, "width": 1}
        },
        hovertext=[hover_text(comparison, entry) for entry in listed],
        hovertemplate=_HOVER,
        cliponaxis=False,
        meta=meta_of(view, listed),
        **labels,
        **errors,
    )  # fmt: skip


def _bars(listed: list[ReportEntry], figure: str) -> dict[str, object] | None:
    errors = [entry.error(figure) or 0.0 for entry in listed]
    return {"array": errors, "thickness": 1, "width": 3, "color": FAINT} if any(errors) else None


def _ring(view: str, best: ReportEntry) -> go.Scatter:
    """Around the best."""
    marker = {"symbol": "circle-open", "size": 20, "color": INK, "line": {"width": 2}}
    x, y = ([best.figure(name)] for name in _PLANE)
    return go.Scatter(x=x, y=y, mode="markers", marker=marker, hoverinfo="skip", meta=meta_of(view, [best]))


def _unit(ranking: Ranking, metric: str) -> str:
    return NATS if metric == "test/rate" else ranking.unit


def _against(comparison: Comparison, ranking: Ranking, key: str, metric: str, title: str, unit: str) -> Chart:
    runs = [run for run in ranking.records if "test/elbo" in run.metrics]
    palette = Palette(comparison, most_varied(comparison, besides=key))
    axis = _Axis([setting_of(run, key) for run in runs])
    figure = empty_figure(escaped(comparison.labels[key]), unit, height=280)
    figure.update_xaxes(axis.layout)
    figure.update_layout(margin={"l": 56, "r": 12, "t": 8, "b": 44})
    for view in views(comparison):
        listed = [entry for entry in entries(comparison, ranking, view) if entry.figure(metric) is not None]
        for members in _lines(
            comparison, palette, [entry for entry in listed if entry.figure("test/elbo") is not None]
        ):
            xs = [axis.position(entry.setting(key)) for entry in members]
            figure.add_trace(_line(comparison, palette, view, members, xs, metric, may_join=axis.is_to_scale))
    return Chart(title, figure, legend_label=palette.label, legend=palette.legend(runs))


def _lines(comparison: Comparison, palette: Palette, listed: list[ReportEntry]) -> list[list[ReportEntry]]:
    """What a line may join, as it differs in the one setting only; all in one where there is no such thing."""
    groups: dict[str, list[ReportEntry]] = {}
    for entry in listed:
        groups.setdefault(palette.value_text(entry.first), []).append(entry)
    are_joined = len(comparison.varied) <= 2 and len(groups) <= _MOST_JOINED
    return list(groups.values()) if are_joined else [listed] if listed else []


def _line(
    comparison: Comparison,
    palette: Palette,
    view: str,
    listed: list[ReportEntry],
    xs: list[float],
    metric: str,
    *,
    may_join: bool,
) -> go.Scatter:
    order = sorted(range(len(listed)), key=lambda place: xs[place])
    ordered = [listed[place] for place in order]
    colours = [palette.of(entry.first) for entry in ordered]
    are_joined = may_join and len(set(xs)) == len(xs) > 1 and len(set(colours)) == 1
    return go.Scatter(
        x=[xs[place] for place in order],
        y=[entry.figure(metric) for entry in ordered],
        error_y=_bars(ordered, metric),
        mode="lines+markers" if are_joined else "markers",
        line={"color": colours[0], "width": 1.5} if are_joined else None,
        marker={"color": colours, "size": 8, "line": {"color": PAPER, "width": 1}},
        hovertext=[hover_text(comparison, entry) for entry in ordered],
        hovertemplate=_HOVER,
        meta=meta_of(view, ordered),
    )


class _Axis:
    """Where the values of a setting stand: numbers to scale, logarithmic over two decades, texts side by side."""

    def __init__(self, values: list[Setting | None]) -> None:
        self._distinct = sorted(set(values), key=setting_order)
        self._numbers = [float(value) for value in self._distinct if isinstance(value, int | float)]
        self.is_to_scale = len(self._numbers) == len(self._distinct)

    def position(self, value: Setting | None) -> float:
        return float(value) if self.is_to_scale and value is not None else float(self._distinct.index(value))

    @property
    def layout(self) -> dict[str, object]:
        texts = [escaped(shortened(setting_text(value), 16)) for value in self._distinct]
        if not self.is_to_scale:
            return {"tickvals": list(range(len(texts))), "ticktext": texts, "range": [-0.5, len(texts) - 0.5]}
        low, high = self._numbers[0], self._numbers[-1]
        is_logarithmic = low > 0 and high / low > 99
        scale = [math.log10(number) if is_logarithmic else number for number in self._numbers]
        gaps = [right - left for left, right in pairwise(scale)]
        layout: dict[str, object] = {"type": "log", "dtick": 1, "exponentformat": "power"} if is_logarithmic else {}
        if min(gaps) >= 0.07 * (scale[-1] - scale[0]):  # ticks at the values would not run into each other
            layout |= {"tickvals": self._numbers, "ticktext": texts}
        return layout
