"""The test figures as charts: the rate-distortion plane, and how they depend on each setting."""

import math
from dataclasses import dataclass
from itertools import pairwise

import plotly.graph_objects as go

from vae_lightning.reports.charts import FAINT, INK, PAPER, RULE, Chart, empty_figure, escaped, hover_text
from vae_lightning.reports.colours import Palette, most_varied
from vae_lightning.reports.comparison import Comparison, Ranking, setting_of
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import Setting, setting_order, setting_text
from vae_lightning.reports.wording import shortened
from vae_lightning.runs.records import NATS

METRICS = {"test/elbo": "test ELBO", "test/rate": "test rate", "test/distortion": "test distortion"}
_MOST_LABELLED = 16  # points with their run's name beside them
_MOST_JOINED = 8  # lines
_HOVER = "%{hovertext}<extra></extra>"
_Range = list[float]


@dataclass(frozen=True)
class SettingCharts:
    """How the test figures depend on one setting: a chart each, with the same colours."""

    label: str
    charts: list[Chart]


def rate_distortion(comparison: Comparison, ranking: Ranking) -> Chart | None:
    """Test distortion against test rate, a point a run, with lines of equal ELBO; None where no run was tested."""
    runs = [run for run in ranking.records if {"test/rate", "test/distortion"} <= run.metrics.keys()]
    if not runs:
        return None
    rates, distortions = ([run.metrics[name] for run in runs] for name in ("test/rate", "test/distortion"))
    x_range, y_range = _padded(rates), _padded(distortions)
    figure = empty_figure("rate (nats per image)", f"distortion ({ranking.unit})", height=480)
    _add_equal_elbo(figure, x_range, y_range)
    palette = Palette(comparison, most_varied(comparison))
    figure.add_trace(_points(comparison, palette, runs, rates, distortions))
    if ranking.best in runs:
        place = runs.index(ranking.best)
        figure.add_trace(_ring(rates[place], distortions[place]))
    figure.update_xaxes(range=x_range)
    figure.update_yaxes(range=y_range)
    return Chart("", figure, legend_label=palette.label, legend=palette.legend(runs))


def setting_charts(comparison: Comparison, ranking: Ranking) -> list[SettingCharts]:
    """Test ELBO, rate and distortion against each setting that varies among the tested runs."""
    runs = [run for run in ranking.records if "test/elbo" in run.metrics]
    keys = [key for key in comparison.varied if len({setting_of(run, key) for run in runs}) > 1]
    return [
        SettingCharts(
            comparison.labels[key],
            [_against(comparison, runs, key, metric, _unit(ranking, metric)) for metric in METRICS],
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


def _points(
    comparison: Comparison, palette: Palette, runs: list[RunRecord], xs: list[float], ys: list[float]
) -> go.Scatter:
    names = [f"\N{EN SPACE}{escaped(shortened(run.name, 16))}" for run in runs]  # clear of the ring
    labels = {"text": names} if len(runs) <= _MOST_LABELLED else {}
    return go.Scatter(
        x=xs,
        y=ys,
        mode="markers+text" if labels else "markers",
        textposition="middle right",
        textfont={"size": 11, "color": INK},
        marker={"color": [palette.of(run) for run in runs], "size": 11, "line": {"color": PAPER, "width": 1}},
        hovertext=[hover_text(comparison, run) for run in runs],
        hovertemplate=_HOVER,
        cliponaxis=False,
        **labels,
    )


def _ring(x: float, y: float) -> go.Scatter:
    """Around the best run."""
    marker = {"symbol": "circle-open", "size": 20, "color": INK, "line": {"width": 2}}
    return go.Scatter(x=[x], y=[y], mode="markers", marker=marker, hoverinfo="skip")


def _unit(ranking: Ranking, metric: str) -> str:
    return NATS if metric == "test/rate" else ranking.unit


def _against(comparison: Comparison, runs: list[RunRecord], key: str, metric: str, unit: str) -> Chart:
    palette = Palette(comparison, most_varied(comparison, besides=key))
    axis = _Axis([setting_of(run, key) for run in runs])
    figure = empty_figure(escaped(comparison.labels[key]), unit, height=280)
    figure.update_xaxes(axis.layout)
    figure.update_layout(margin={"l": 56, "r": 12, "t": 8, "b": 44})
    for members in _lines(comparison, palette, [run for run in runs if metric in run.metrics]):
        xs = [axis.position(setting_of(run, key)) for run in members]
        figure.add_trace(_line(comparison, palette, members, xs, metric, may_join=axis.is_to_scale))
    return Chart(METRICS[metric], figure, legend_label=palette.label, legend=palette.legend(runs))


def _lines(comparison: Comparison, palette: Palette, runs: list[RunRecord]) -> list[list[RunRecord]]:
    """Runs that a line may join, as they differ in the one setting only; all in one where there is no such thing."""
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(palette.value_text(run), []).append(run)
    are_joined = len(comparison.varied) <= 2 and len(groups) <= _MOST_JOINED
    return list(groups.values()) if are_joined else [runs]


def _line(
    comparison: Comparison, palette: Palette, runs: list[RunRecord], xs: list[float], metric: str, *, may_join: bool
) -> go.Scatter:
    order = sorted(range(len(runs)), key=lambda place: xs[place])
    ordered = [runs[place] for place in order]
    colours = [palette.of(run) for run in ordered]
    stderr = [run.metrics.get(f"{metric}_stderr", 0.0) for run in ordered]
    are_joined = may_join and len(set(xs)) == len(xs) > 1 and len(set(colours)) == 1
    return go.Scatter(
        x=[xs[place] for place in order],
        y=[run.metrics[metric] for run in ordered],
        error_y={"array": stderr, "thickness": 1, "width": 3, "color": FAINT} if any(stderr) else None,
        mode="lines+markers" if are_joined else "markers",
        line={"color": colours[0], "width": 1.5} if are_joined else None,
        marker={"color": colours, "size": 8, "line": {"color": PAPER, "width": 1}},
        hovertext=[hover_text(comparison, run) for run in ordered],
        hovertemplate=_HOVER,
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
