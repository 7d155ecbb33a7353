"""The page: one file that opens from the disk, with its data, pictures and libraries inside and no way out of it."""

import base64
import secrets
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from vae_lightning.reports.comparison import Comparison, setting_of
from vae_lightning.reports.gallery import cards, grid
from vae_lightning.reports.learning_curves import learning_curves
from vae_lightning.reports.pictures import embed
from vae_lightning.reports.plots import rate_distortion, setting_charts
from vae_lightning.reports.runs import PICTURES, RunRecord
from vae_lightning.reports.settings import setting_order, setting_text
from vae_lightning.reports.summary import FURTHER_FIGURES, further_figures, relative
from vae_lightning.reports.wording import duration, nats, share, shortened, whole, with_stderr
from vae_lightning.runs.records import NATS

_HERE = Path(__file__).parent
_MOST_SETTINGS = 8  # columns of the table; summary.csv has them all
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STATUSES = ("starting", "running", "finished", "failed", "interrupted", "unreadable")
_KIND_TITLES = {
    "reconstructions": (
        "Reconstructions",
        "Images of the validation set, and below each what the model makes of its posterior mean.",
    ),
    "samples": ("Samples", "Images drawn from the prior: what the model believes the data look like."),
    "training": ("Training", "The same latent codes decoded epoch after epoch."),
}


def page_html(comparison: Comparison, title: str, directory: Path) -> str:
    """The page as text.

    Args:
        title: its heading.
        directory: where the page will lie; its links to the runs are told from there.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("page.html.j2")
    return template.render(
        comparison=comparison,
        title=title,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        link=lambda path: quote(relative(path, directory), errors="surrogateescape"),
        summary=directory / "summary.csv",
        **_table(comparison),
        **_charts(comparison),
        **_pictures(comparison),
        **_libraries(),
        **_WORDING,
    )


def _table(comparison: Comparison) -> dict[str, Any]:
    def setting_cell(run: RunRecord, key: str) -> Markup:
        value = setting_of(run, key)
        text = setting_text(value)
        if not _is_numeric(comparison, key):
            return Markup('<td class="text" title="{}">{}</td>').format(text, shortened(text, 60))
        return _number_cell(value if isinstance(value, int | float) else None, text)

    return {
        "setting_cell": setting_cell,
        "further_figures": further_figures(comparison),
        "further_titles": FURTHER_FIGURES,
        "is_numeric": lambda key: _is_numeric(comparison, key),
        "values_text": lambda key: _values_text(comparison, key),
        "places": {run.name: place for place, run in enumerate(comparison.runs)},
        "unfinished": [run for run in comparison.records if run.status != "finished"],
    }


def _number_cell(value: int | float | None, text: str, number: str | None = None) -> Markup:
    """A cell that is sorted as a number and filtered by one: by `number` where there is more in its text."""
    order = "" if value is None else repr(value)
    filtered = text if number is None else number
    return Markup('<td class="number" data-order="{}" data-filter="{}">{}</td>').format(order, filtered, text)


def _is_numeric(comparison: Comparison, key: str) -> bool:
    return not any(isinstance(value, str) for value in comparison.values(key))


def _values_text(comparison: Comparison, key: str) -> str:
    values = [shortened(setting_text(value), 30) for value in sorted(comparison.values(key), key=setting_order)]
    return ", ".join(values) if len(values) <= 8 else f"{len(values)} values from {values[0]} to {values[-1]}"


def _charts(comparison: Comparison) -> dict[str, Any]:
    lettered = list(zip(_LETTERS, comparison.rankings, strict=False))
    planes = [(letter, rate_distortion(comparison, ranking)) for letter, ranking in lettered]
    curves = [(letter, chart) for letter, ranking in lettered for chart in learning_curves(comparison, ranking)]
    settings = [(letter, row) for letter, ranking in lettered for row in setting_charts(comparison, ranking)]
    return {
        "planes": [(letter, chart) for letter, chart in planes if chart is not None],
        "curves": curves,
        "has_legends": any(chart.figure.layout.showlegend for _, chart in curves),
        "settings": settings,
        "json": lambda figure: htmlsafe_json_dumps(figure, dumps=go.Figure.to_json),
    }


def _pictures(comparison: Comparison) -> dict[str, Any]:
    pictures = embed([file for run in comparison.runs for file in run.pictures.values()])
    return {
        "pictures": pictures,
        "num_reduced": sum(picture.is_reduced for picture in pictures.values()),
        "kinds": [kind for kind in PICTURES if any(kind in run.pictures for run in comparison.runs)],
        "grid": grid(comparison),
        "cards": cards(comparison),
    }


def _libraries() -> dict[str, Any]:
    """The libraries and the page's own style and script, as they stand in it; `nonce` is what lets them run."""
    tables = files("itables") / "html"
    return {
        "nonce": secrets.token_urlsafe(16),
        "plotly": _script(get_plotlyjs()),
        "datatables": base64.b64encode((tables / "dt_bundle.js").read_bytes()).decode(),
        "table_style": Markup((tables / "dt_bundle.css").read_text(encoding="utf-8")),
        "style": Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        "script": _script((_HERE / "page.js").read_text(encoding="utf-8")),
    }


def _script(source: str) -> Markup:
    return Markup(source.replace("</script", "<\\/script"))


_WORDING = {
    "nats_per_image": NATS,
    "nats": nats,
    "with_stderr": with_stderr,
    "share": share,
    "whole": whole,
    "duration": duration,
    "shortened": shortened,
    "number_cell": _number_cell,
    "letters": _LETTERS,
    "statuses": _STATUSES,
    "kind_titles": _KIND_TITLES,
    "most_settings": _MOST_SETTINGS,
}
