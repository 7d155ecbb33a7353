"""The page of scores: one file that opens from the disk, the worst images first, with what is not explained of each."""

import base64
import io
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from vae_lightning.drawing.heat import differences, heat_maps, top_of_scale
from vae_lightning.drawing.shown import drawable, showing
from vae_lightning.runs.trained import TrainedRun
from vae_lightning.scores.findings import GROUPS, Findings
from vae_lightning.scores.worst import ShownImage, stacked

_HERE = Path(__file__).parent
_FEWEST_BINS, _MOST_BINS = 12, 60
_CUT = 0.005  # of all values at each end, that a histogram has in its first and last bar


def page_of(result: Findings, shown: Sequence[ShownImage]) -> str:
    """The page as text.

    Args:
        result: of all images.
        shown: those that it has pictures of.
    """
    pictures, top = _pictures(result.run, shown)
    columns = result.rows.columns()
    tables = files("itables") / "html"
    kind, *more = columns
    return _template().render(
        result=result,
        title=f"scores of {result.run.config['name']}",
        nonce=secrets.token_urlsafe(16),
        num_images=len(next(iter(result.values.values()))),
        kind=kind,
        more=more,
        columns=columns,
        ordered=[row for row in result.order.tolist() if row in pictures],
        pictures=pictures,
        top=top,
        size=_shown_size(result.run.preprocessing.image_shape),
        charts={name: _histogram(result, name) for name in result.scores},
        number=_number,
        flagged={name: result.flagged(name) for name in result.thresholds},
        counts={name: result.counted(name) for name in result.thresholds},
        datatables=base64.b64encode((tables / "dt_bundle.js").read_bytes()).decode(),
        table_style=Markup((tables / "dt_bundle.css").read_text(encoding="utf-8")),
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((_HERE / "page.js").read_text(encoding="utf-8")),
    )


def _pictures(run: TrainedRun, shown: Sequence[ShownImage]) -> tuple[dict[int, list[str]], float]:
    """Image, reconstruction and heat map of each row, as addresses of their bytes; and the top of the heat maps."""
    images, made = stacked(shown)
    of_pixels = differences(images, made)
    top = top_of_scale(of_pixels)
    with showing(run.preprocessing.shown_channels):
        rows = zip(shown, drawable(images), drawable(made), heat_maps(of_pixels, top), strict=True)
        return {each.row: [_address(picture) for picture in pictures] for each, *pictures in rows}, top


def _address(picture: UInt8[Tensor, "C H W"]) -> str:
    levels = picture.permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(levels[..., 0] if len(picture) == 1 else levels).save(buffer, "WEBP", quality=85, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _shown_size(image_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Width and height of a picture on the page: small images are enlarged by whole numbers."""
    _, height, width = image_shape
    longest = max(height, width)
    factor = max(1, 96 // longest) if longest <= 128 else 128 / longest
    return round(width * factor), round(height * factor)


@dataclass(frozen=True)
class _Histogram:
    """Bars of each group of images, in parts of the highest one, and where they lie."""

    ends: tuple[float, float]
    bars: dict[str, list[float]]
    counts: dict[str, int]
    threshold: float | None

    def at(self, value: float) -> float:
        """Where a value lies between the ends, from 0 to 1."""
        low, high = self.ends
        return min(1.0, max(0.0, (value - low) / (high - low)))


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.j2")


def _histogram(result: Findings, name: str) -> _Histogram:
    """How the values of a score lie, of each group the density: a group of few images is as high as one of many."""
    values, kinds = result.values[name], result.rows.kinds
    finite = np.isfinite(values)
    ends = _ends(values[finite])
    groups = {label: values[finite & (kinds == kind)] for kind, label in GROUPS}
    groups = {label: chosen.clip(*ends) for label, chosen in groups.items() if len(chosen)}
    fewest = min(map(len, groups.values()), default=1)
    num_bins = max(_FEWEST_BINS, min(_MOST_BINS, 2 * math.isqrt(fewest)))
    bars = {label: np.histogram(chosen, num_bins, ends)[0] / len(chosen) for label, chosen in groups.items()}
    counts = {label: len(chosen) for label, chosen in groups.items()}
    highest = max((float(bar.max()) for bar in bars.values()), default=1.0)
    threshold = result.thresholds[name].value if name in result.thresholds else None
    return _Histogram(ends, {label: (bar / highest).tolist() for label, bar in bars.items()}, counts, threshold)


def _ends(values: Float64[np.ndarray, " N"]) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(values, [_CUT, 1 - _CUT]).tolist()
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if math.isfinite(value) else "not a number" if math.isnan(value) else str(value)
