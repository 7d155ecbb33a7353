"""What all charts of a report share: their look, and the texts that stand in them."""

import html
from dataclasses import dataclass, field

import plotly.graph_objects as go

from vae_lightning.reports.comparison import Comparison, setting_of
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import setting_text
from vae_lightning.reports.wording import nats, shortened, with_stderr

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
    figure = go.Figure(layout={"template": "none"})
    figure.update_xaxes(axis, title={"text": x_title, "standoff": 8})
    figure.update_yaxes(axis, title={"text": y_title, "standoff": 8})
    figure.update_layout(
        height=height,
        showlegend=False,
        font={"size": 12, "color": INK},  # its family is the page's: page.js
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        margin={"l": 60, "r": 16, "t": 12, "b": 48},
        hoverlabel={"bgcolor": PAPER, "bordercolor": _FRAME, "font": {"color": INK}, "align": "left"},
        hovermode="closest",
        separators=".,",
    )
    return figure


def escaped(text: str) -> str:
    """Text for plotly, which takes tags in it for a subset of HTML."""
    return html.escape(text, quote=False)


def hover_text(comparison: Comparison, run: RunRecord) -> str:
    """The run's name, its varied settings and its figures, a line each."""
    settings = [
        f"{escaped(comparison.labels[key])} = {escaped(shortened(setting_text(setting_of(run, key)), _TEXT_WIDTH))}"
        for key in comparison.varied[:10]
    ]
    elbo = with_stderr(run.metrics.get("test/elbo"), run.metrics.get("test/elbo_stderr"))
    figures = [
        f"test ELBO {elbo}",
        f"rate {nats(run.metrics.get('test/rate'))}, distortion {nats(run.metrics.get('test/distortion'))}",
        f"val ELBO {nats(run.val_elbo)}",
    ]
    return "<br>".join([f"<b>run {escaped(shortened(run.name, _TEXT_WIDTH))}</b>", *settings, *figures])
