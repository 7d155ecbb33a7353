"""Figures as files for print: of a physical size, with letters that stay letters, and the same bytes every time.

Nothing here needs torch: who lays out a figure of runs' pictures, `blocks.figure_of` does that, can write it, too.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format = Literal["png", "pdf", "svg"]
Columns = Literal[1, 2]

# Inches: a column of ICML's style, and its two with the gap between. NeurIPS and ICLR have 5.5 inches of text, IEEE 3.5
# and 7.16, Nature 3.5 and 7.2: a picture of these widths goes into all of them as it is, or nearly.
WIDTHS: dict[int, float] = {1: 3.25, 2: 6.75}
TALLEST = 9.0  # inches: a page's text
DPI = 300
LEAST_DPI, MOST_DPI = 36, 2400
POINTS = 72  # in an inch
_OF_FILES: dict[str, Any] = {
    "pdf.fonttype": 42,  # whole fonts: letters that can be found, copied, edited, and that submission systems take
    "pdf.use14corefonts": False,
    "svg.fonttype": "none",  # letters, too, not their outlines
    "svg.hashsalt": "vae_lightning",  # names of parts would be drawn by chance
    "image.composite_image": False,  # images would be put together at another resolution
    "image.interpolation": "none",
    "savefig.bbox": None,  # the page is as wide as it is said to be
    "font.family": "sans-serif",
    # Verdana is as wide as the first: what an SVG is set in where it is not installed.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
}
_METADATA: dict[str, dict[str, None]] = {  # no date, and no version of a library
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
_settings_lock = RLock()


@dataclass(frozen=True)
class Paper:
    """What pictures are written for.

    Attributes:
        format: of their files; several write several.
        dpi: dots an inch, of a png and of what a pdf and a svg have of clouds of very many points; None is 300.
        columns: of a paper, which the picture is as wide as; None is its own size, 150 of its pixels an inch.
        caption: whether a picture has one, with its title, the run's name and the epoch.

    Raises:
        ValueError: no format, or a number that is too small or too large.
    """

    format: Format | Sequence[Format] = "png"
    dpi: int | None = None
    columns: Columns | None = None
    caption: bool = True

    def __post_init__(self) -> None:
        if not self.format:
            raise ValueError("format must be one or more of png, pdf, svg")
        if self.dpi is not None and not LEAST_DPI <= self.dpi <= MOST_DPI:
            raise ValueError(f"dpi must be from {LEAST_DPI} to {MOST_DPI}, got {self.dpi}")

    @property
    def formats(self) -> list[Format]:
        """Each once, in their order."""
        return list(dict.fromkeys([self.format] if isinstance(self.format, str) else self.format))

    @property
    def is_screen(self) -> bool:
        """Whether a png is the picture of a screen, pixel by pixel."""
        return self.columns is None and self.dpi is None

    @property
    def is_usual(self) -> bool:
        """Whether nothing was asked for."""
        return self.formats == ["png"] and self.is_screen and self.caption


@contextmanager
def settings(own: dict[str, Any]) -> Iterator[None]:
    """Our own settings of matplotlib, the user's being left as they were."""
    import matplotlib.style

    # The settings are global: two threads that draw must not restore each other's.
    with _settings_lock, matplotlib.style.context(["default", own]):
        yield


@contextmanager
def print_settings(own: dict[str, Any] | None = None) -> Iterator[None]:
    """Those in which a figure for print is drawn and written, and more."""
    with settings({**(own or {}), **_OF_FILES}):
        yield


def encode_figure(figure: "Figure", file_format: Format, dpi: int = DPI) -> bytes:
    """The figure as a file that is as wide and as high as the figure is.

    Letters of a pdf and of a svg are letters, lines are lines, and images their own pixels, without loss.

    Args:
        figure: as `blocks.figure_of` and `Sheet.figure` make it.
        file_format: png, pdf or svg.
        dpi: of a png, and of what a pdf or a svg has of clouds of very many points.
    """
    buffer = io.BytesIO()
    with print_settings():
        _shrink_smoothly(figure, dpi if file_format == "png" else None)
        figure.savefig(buffer, format=file_format, dpi=dpi, metadata=_METADATA[file_format])
    return buffer.getvalue()


def _shrink_smoothly(figure: "Figure", dpi: int | None) -> None:
    """Leave no pixel out of images that have more of them than a png has room for; all others stay hard-edged."""
    for panel in figure.axes:
        for image in panel.images:
            height, width = image.get_size()
            room = panel.get_position().size * figure.get_size_inches() * (dpi or 0)
            is_finer = dpi is not None and (width > room[0] or height > room[1])
            image.set_interpolation("hanning" if is_finer else "none")
