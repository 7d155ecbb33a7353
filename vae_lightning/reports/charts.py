"""What all charts of a report share: their look, and the texts that stand in them."""

import html
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.entries import ReportEntry
from vae_lightning.reports.figures import bare, with_error
from vae_lightning.reports.settings import setting_text
from vae_lightning.reports.wording import shortened

# The page's own colours by their names in page.css, which page.js puts in their place: they are others on a dark page.
INK, FAINT, PAPER, RULE = "var(--ink)", "var(--faint)", "var(--paper)", "var(--rule)"
_GRID, _FRAME = "var(--grid)", "var(--frame)"
_TEXT_WIDTH = 60  # of a setting in a hover text


@dataclass(frozen=True)
class Chart:
    """A plotly figure with what stands around it; every text in it that came from a run is escaped.

    Attributes:
        title: what it shows.
        note: what else there is to know of it; empty where there is nothing.
        legend_label: the setting that its colours stand for.
        legend: the setting's values and their colours, where the figure has no legend of its own.
    """

    title: str
    figure: go.Figure
    note: str = ""
    legend_label: str = ""
    legend: list[tuple[str, str]] = field(default_factory=list)


def empty_figure(x_title: str, y_title: str, height: int) -> go.Figure:
    """A figure without traces in the report's look; the titles are taken as they are."""
    axis = {
        "gridcolor": _GRID,
        "linecolor": _FRAME,
        "showline": True,
        "mirror": True,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": _FRAME,
        "ticklen": 4,
        "separatethousands": True,
        "automargin": True,
    }
    layout = {  # all at once: to update a figure takes plotly ten times as long
        "template": "none",
        "xaxis": axis | {"title": {"text": x_title, "standoff": 8}},
        "yaxis": axis | {"title": {"text": y_title, "standoff": 8}},
        "height": height,
        "showlegend": False,
        "font": {"size": 12, "color": INK},  # its family is the page's: page.js
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "margin": {"l": 60, "r": 16, "t": 12, "b": 48},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": _FRAME, "font": {"color": INK}, "align": "left"},
        "hovermode": "closest",
        "separators": ".,",
    }
    return go.Figure(layout=layout)


def escaped(text: str) -> str:
    """Text for plotly, which takes tags in it for a subset of HTML."""
    return html.escape(text, quote=False)


def meta_of(view: str, listed: list[ReportEntry]) -> dict[str, Any]:
    """What page.js is told of a trace: the view that it belongs to, and whose each of its points is."""
    return {"view": view, "ids": [entry.id for entry in listed]}


def hover_text(comparison: Comparison, entry: ReportEntry) -> str:
    """The run's name, or how many seeds there are, the settings that differ and the figures, a line each."""
    keys = comparison.varied if entry.is_mean else comparison.told_apart
    settings = [
        f"{escaped(comparison.labels[key])} = {escaped(shortened(setting_text(entry.setting(key)), _TEXT_WIDTH))}"
        for key in keys[:10]
    ]
    figures = [
        f"test ELBO {with_error(entry, 'test/elbo')}",
        f"rate {_alone(entry, 'test/rate')}, distortion {_alone(entry, 'test/distortion')}",
        f"val ELBO {_alone(entry, 'val/elbo')}",
    ]
    return "<br>".join([f"<b>{title_of(entry)}</b>", *settings, *figures])


def title_of(entry: ReportEntry) -> str:
    """As in `run 7`, or `mean of 3 seeds`."""
    if entry.is_mean:
        return f"mean of {len(entry.counted)} seed{'s' if len(entry.counted) != 1 else ''}"
    return f"run {escaped(shortened(entry.first.name, _TEXT_WIDTH))}"


def _alone(entry: ReportEntry, figure: str) -> str:
    return with_error(entry, figure) if entry.is_mean else bare(entry, figure)
