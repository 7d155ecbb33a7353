"""The page: one file that opens from the disk, with its data, pictures and libraries inside and no way out of it."""

import base64
import gzip
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from vae_lightning.reports.charts import Chart
from vae_lightning.reports.comparison import Comparison, Ranking, setting_of
from vae_lightning.reports.csv_files import relative
from vae_lightning.reports.differences import Difference, differences_from_best
from vae_lightning.reports.entries import ReportEntry, best_entry, entries, entry_of_run, ranks, views
from vae_lightning.reports.figures import bare, figure_text, further_figures, reading, with_error
from vae_lightning.reports.gallery import cards, grid
from vae_lightning.reports.learning_curves import learning_curves
from vae_lightning.reports.pictures import budget_of, embed
from vae_lightning.reports.plots import rate_distortion, setting_charts
from vae_lightning.reports.repeating import repeating
from vae_lightning.reports.runs import FIRST_PICTURES, RunRecord
from vae_lightning.reports.settings import setting_order, setting_text
from vae_lightning.reports.settings_together import heat_maps, importance, parallel_axes
from vae_lightning.reports.wording import duration, nats, shortened, whole
from vae_lightning.runs.records import NATS

_HERE = Path(__file__).parent
_MOST_SETTINGS = 8  # columns of the table; summary.csv has them all
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STATUSES = ("starting", "running", "finished", "failed", "interrupted", "unreadable")
_KIND_TITLES = {
    "traversals": ("Traversals", "One latent after another moved through its values: what each dimension does."),
    "latent_units": ("Latent units", "The nats that each latent dimension takes: which are in use."),
    "reconstructions": (
        "Reconstructions",
        "Images of the validation set, and below each what the model makes of its posterior mean.",
    ),
    "samples": ("Samples", "Images drawn from the prior: what the model believes the data look like."),
    "training": ("Training", "The same latent codes decoded epoch after epoch."),
    "aggregated_posterior": ("Aggregated posterior", "The codes of all images beside the prior that they should fill."),
    "manifold": ("Manifold", "The plane of two latents, decoded point by point."),
    "neighbours": ("Neighbours", "Images and those of the training set whose codes lie nearest."),
    "pca": ("PCA", "The codes of images in the plane in which they vary most."),
    "plane": ("Latent plane", "The codes of images in the plane of two latents."),
    "reconstruction_history": ("Reconstructions by epoch", "The same images, reconstructed as training went on."),
    "transition": ("Transition", "From one image to another through the latent space."),
    "tsne": ("t-SNE", "The codes of images, those that are alike beside each other."),
    "group_samples": ("Samples by group", "The upper groups of latents held, the lower drawn anew."),
    "group_reconstructions": ("Reconstructions by group", "Images from the posteriors of the upper groups alone."),
}


def page_html(comparison: Comparison, title: str, directory: Path, reload_s: int | None = None) -> str:
    """The page as text.

    Args:
        title: its heading.
        directory: where the page will lie; its links to the runs are told from there.
        reload_s: seconds after which it loads itself anew; None: it does not.
    """
    return _template().render(
        comparison=comparison,
        title=title,
        reload_s=reload_s,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        link=lambda path: quote(relative(path, directory), errors="surrogateescape"),
        summary=directory / "summary.csv",
        seeds=directory / "summary_seeds.csv",
        **_table(comparison),
        **_entries(comparison),
        **repeating(comparison),
        **_charts(comparison),
        **_pictures(comparison),
        **_libraries(comparison),
        **_WORDING,
    )


@cache
def _template() -> Template:  # a watched report is written again and again
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.j2")


def _table(comparison: Comparison) -> dict[str, Any]:
    def setting_cell(run: RunRecord, key: str) -> Markup:
        value = setting_of(run, key)
        text = setting_text(value)
        if not _is_numeric(comparison, key):
            return Markup('<td class="text" title="{}">{}</td>').format(text, shortened(text, 60))
        return _number_cell(value if isinstance(value, int | float) else None, text)

    return {
        "setting_cell": setting_cell,
        "further_figures": further_figures(comparison.records),
        "is_numeric": lambda key: _is_numeric(comparison, key),
        "values_text": lambda key: _values_text(comparison, key),
        "setting_text": setting_text,
        "setting_of": setting_of,
        "figure_cell": _figure_cell,
        "apart_cell": _apart_cell,
        "places": {run.name: place for place, run in enumerate(comparison.runs)},
        "unfinished": [run for run in comparison.records if run.status != "finished"],
    }


def _entries(comparison: Comparison) -> dict[str, Any]:
    """Rows of both views, and how each is behind the best."""
    shown = views(comparison)
    listed = {view: [entries(comparison, ranking, view) for ranking in comparison.rankings] for view in shown}
    apart = {
        view: [differences_from_best(comparison, *pair) for pair in zip(comparison.rankings, each, strict=True)]
        for view, each in listed.items()
    }
    group, first_view = entry_of_run(comparison), listed[shown[0]]
    over = {view: dict.fromkeys(_overs(of_rankings)) for view, of_rankings in apart.items()}
    return {
        "views": shown,
        "listed": listed,
        "entry_ranks": {view: [ranks(of_ranking) for of_ranking in each] for view, each in listed.items()},
        "bests": [(ranking, best_entry(each)) for ranking, each in zip(comparison.rankings, first_view, strict=True)],
        "seconds": [_second(comparison, *pair) for pair in zip(first_view, apart[shown[0]], strict=True)],
        "apart": apart,
        "compared_over": {view: ", or over ".join(found) for view, found in over.items()},
        "group_of": lambda run: group.get(run.name, ""),
        "firsts": {entry.first.name for of_ranking in first_view for entry in of_ranking},
    }


def _overs(of_rankings: list[dict[str, Difference]]) -> list[str]:
    return [each.over for of_ranking in of_rankings for each in of_ranking.values() if each.over]


def _second(comparison: Comparison, listed: list[ReportEntry], apart: dict[str, Difference]) -> tuple[str, str] | None:
    """The settings of the second best, and how far it is behind the best."""
    second = next((entry for entry in listed if ranks(listed).get(entry.id) == 2), None)
    if second is None or second.id not in apart:
        return None
    settings = comparison.settings_text(second.first, with_seed=not second.is_mean)
    return shortened(settings or f"run {second.first.name}", 120), apart[second.id].in_words()


def _figure_cell(entry: ReportEntry, figure: str) -> Markup:
    """A figure with its error where that says something: of means always, of a run where it has been evaluated.

    The interval of a mean, and of how many seeds it is, are told to who points at it.
    """
    is_bare = not entry.is_mean and figure in ("val/elbo", "test/rate", "test/distortion")
    text = bare(entry, figure) if is_bare else with_error(entry, figure)
    spread = entry.spread(figure)
    if not entry.is_mean or spread is None or spread.interval is None:
        return _number_cell(entry.figure(figure), text, bare(entry, figure))
    low, high = (figure_text(figure, end) for end in spread.interval)
    told = f"95% interval of the mean: {low} to {high} ({spread.num} seeds)"
    return _number_cell(entry.figure(figure), text, bare(entry, figure), told)


def _apart_cell(difference: Difference | None) -> Markup:
    if difference is None:
        return Markup('<td class="number" data-order="0"></td>')
    low, high = difference.interval or (difference.value, difference.value)
    told = f"{nats(difference.value)} ({nats(low)} to {nats(high)})" if difference.interval else nats(difference.value)
    noise = " noise" if difference.may_be_noise else ""
    template = '<td class="number{}" data-order="{}" data-filter="{}" title="{}">{}</td>'
    return Markup(template).format(noise, repr(difference.value), nats(difference.value), difference.in_words(), told)


def _number_cell(value: int | float | None, text: str, number: str | None = None, told: str = "") -> Markup:
    """A cell that is sorted as a number and filtered by one: by `number` where there is more in its text."""
    order = "" if value is None else repr(value)
    filtered = text if number is None else number
    title = Markup(' title="{}"').format(told) if told else ""
    return Markup('<td class="number" data-order="{}" data-filter="{}"{}>{}</td>').format(order, filtered, title, text)


def _is_numeric(comparison: Comparison, key: str) -> bool:
    return not any(isinstance(value, str) for value in comparison.values(key))


def _values_text(comparison: Comparison, key: str) -> str:
    values = [shortened(setting_text(value), 30) for value in sorted(comparison.values(key), key=setting_order)]
    return ", ".join(values) if len(values) <= 8 else f"{len(values)} values from {values[0]} to {values[-1]}"


def _charts(comparison: Comparison) -> dict[str, Any]:
    lettered = list(zip(_LETTERS, comparison.rankings, strict=False))

    def of_each(charts: Callable[[Comparison, Ranking], Iterable[Any]]) -> list[tuple[str, Any]]:
        return [(letter, chart) for letter, ranking in lettered for chart in charts(comparison, ranking)]

    curves = of_each(learning_curves)
    return {
        "planes": of_each(lambda *of: _some(rate_distortion(*of))),
        "curves": curves,
        "has_legends": any(chart.figure.layout.showlegend for _, chart in curves),
        "settings": of_each(setting_charts),
        "heat_maps": [(letter, charts) for letter, charts in of_each(lambda *of: [heat_maps(*of)]) if charts],
        "together": of_each(lambda *of: [*_some(parallel_axes(*of)), *_some(importance(*of))]),
        "json": lambda figure: htmlsafe_json_dumps(figure, dumps=go.Figure.to_json),
    }


def _some(chart: Chart | None) -> list[Chart]:
    return [] if chart is None else [chart]


def _pictures(comparison: Comparison) -> dict[str, Any]:
    files = [file for run in comparison.runs for file in run.pictures.values()]
    pictures = embed(files, budget_of(len(comparison.runs)))
    kinds = _kinds(comparison)
    return {
        "pictures": pictures,
        "num_reduced": sum(picture.is_reduced for picture in pictures.values()),
        "kinds": kinds,
        "kind_titles": {kind: _KIND_TITLES.get(kind, (kind.replace("_", " ").capitalize(), "")) for kind in kinds},
        "grid": grid(comparison),
        "cards": cards(comparison),
    }


def _kinds(comparison: Comparison) -> list[str]:
    found = {kind for run in comparison.runs for kind in run.pictures}
    return [*(kind for kind in FIRST_PICTURES if kind in found), *sorted(found - set(FIRST_PICTURES))]


def _panels(kinds: list[str]) -> str:
    """The rule that shows the pictures of the chosen kind."""
    chosen = ", ".join(f"#show-{kind}:checked ~ #panel-{kind}" for kind in kinds)
    return f"\n{chosen} {{ display: block; }}\n" if kinds else ""


def _libraries(comparison: Comparison) -> dict[str, Any]:
    """The libraries, and the page's own style and script, as they stand in it; `nonce` is what lets them run."""
    tables = files("itables") / "html"
    return {
        "nonce": secrets.token_urlsafe(16),
        "plotly": _packed(get_plotlyjs().encode()),
        "datatables": _packed((tables / "dt_bundle.js").read_bytes()),
        "table_style": Markup((tables / "dt_bundle.css").read_text(encoding="utf-8")),
        "style": Markup((_HERE / "page.css").read_text(encoding="utf-8") + _panels(_kinds(comparison))),
        "script": _script((_HERE / "page.js").read_text(encoding="utf-8")),
    }


@cache
def _packed(source: bytes) -> str:
    """A script as gzip in base64, a third of its size: browsers unpack it in a tenth of a second."""
    return base64.b64encode(gzip.compress(source, mtime=0)).decode()


def _script(source: str) -> Markup:
    return Markup(source.replace("</script", "<\\/script"))


_WORDING = {
    "nats_per_image": NATS,
    "nats": nats,
    "whole": whole,
    "duration": duration,
    "shortened": shortened,
    "number_cell": _number_cell,
    "letters": _LETTERS,
    "statuses": _STATUSES,
    "figure_text": figure_text,
    "reading": reading,
    "with_error": with_error,
    "plain": bare,
    "most_settings": _MOST_SETTINGS,
}
