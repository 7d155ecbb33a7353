"""Plots before they are drawn: without a display and whatever matplotlib's settings are. Nothing here needs torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vae_lightning.drawing.blocks import LABEL, SMALLEST, heading, put_on
from vae_lightning.drawing.printing import POINTS, print_settings, settings
from vae_lightning.drawing.sheets import PER_INCH, Pixels, Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patheffects import AbstractPathEffect

TEXT = "#222222"
_WIDTH, _HEIGHT = 960, 800
_LEFT = 18  # of titles, in pixels
_FAINT, _GRID = "#777777", "#e6e6e6"
_GREY = "#b4b4b4"
_STYLE = {
    "font.family": "DejaVu Sans",  # that of lettering.py
    "font.size": 8,
    "text.color": TEXT,
    "axes.labelsize": 8.5,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": TEXT,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "legend.frameon": False,
}
_ON_PAPER = {
    **_STYLE,
    "font.size": LABEL,
    "axes.labelsize": LABEL,
    "xtick.labelsize": SMALLEST,
    "ytick.labelsize": SMALLEST,
    "legend.fontsize": SMALLEST,
    "legend.title_fontsize": SMALLEST,
    "legend.handletextpad": 0.4,
    "legend.columnspacing": 1.2,
    "axes.linewidth": 0.6,
    "axes.labelpad": 2,
    "axes.titlepad": 3,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.minor.size": 1.2,
    "ytick.minor.size": 1.2,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "grid.linewidth": 0.4,
}
_NARROWEST_PANEL = 0.9  # inches
_TICK = 0.32  # inches that a numbered one takes


@dataclass(frozen=True)
class Look:
    """What a plot is painted for: its size in inches, and the sizes of letters in points.

    Attributes:
        width, height: of the figure.
        name: of the names of classes among their points.
        axis, panel, note: of the name of an axis, of a panel, of what is said in one.
        area: of a mark, in those of one on the screen.
        most_ticks, most_panels: that have room beside one another.
        on_paper: letters must stay letters.
    """

    width: float = _WIDTH / PER_INCH
    height: float = _HEIGHT / PER_INCH
    name: float = 11
    axis: float = 8.5
    panel: float = 8
    note: float = 7.5
    area: float = 1.0
    most_ticks: int = 20
    most_panels: int = 100
    on_paper: bool = False

    @property
    def plane(self) -> tuple[float, float]:
        """How many points are left for what is plotted, beside legend, axes and title."""
        return self.width * POINTS - 52.8, self.height * POINTS - 43.2

    def halo(self, width: float) -> "list[list[AbstractPathEffect]]":
        """Of text on a plot, the effects with which it is written, once for each: a stroke turns letters into lines."""
        from matplotlib.patheffects import Stroke, withStroke

        if self.on_paper:
            return [[Stroke(linewidth=0.7 * width, foreground="white")], []]
        return [[withStroke(linewidth=width, foreground="white")]]


SCREEN = Look()


def _on_paper(width: float) -> Look:
    return Look(
        width=width,
        height=width * _HEIGHT / _WIDTH,
        name=LABEL + 1,
        axis=LABEL,
        panel=LABEL,
        note=SMALLEST,
        area=min(1.0, (width / SCREEN.width) ** 2 * 1.5),
        most_ticks=max(2, int(width / _TICK)),
        most_panels=max(1, int(width / _NARROWEST_PANEL)),
        on_paper=True,
    )


@dataclass(frozen=True, eq=False)
class Plot(Sheet):
    """What matplotlib draws, under its title and what it was made from; on paper bare where the latter is empty.

    Attributes:
        paint: draws on an empty figure, for such a look.
        title, context: above it.
        height: in inches on paper, without what is above it; None is in proportion.
    """

    paint: "Callable[[Figure, Look], None]"
    title: str
    context: str
    height: Callable[[Look], float] | None = None

    def pixels(self) -> Pixels:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        with settings(_STYLE):
            figure = Figure(figsize=(_WIDTH / PER_INCH, _HEIGHT / PER_INCH), dpi=PER_INCH)
            canvas = FigureCanvasAgg(figure)
            head = _write_head(figure, self.title, self.context) if self.context else 0
            pad = 8 / PER_INCH
            figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - head / _HEIGHT), w_pad=pad, h_pad=pad)
            self.paint(figure, SCREEN)
            canvas.draw()
            return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    @property
    def own_width(self) -> float:
        return SCREEN.width

    def figure(self, width: float) -> "Figure":
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        look = _on_paper(width)
        look = look if self.height is None else replace(look, height=self.height(look))
        head = heading(self.title, self.context, width * POINTS) if self.context else None
        above = 0.0 if head is None else (head.height + 2) / POINTS
        with print_settings(_ON_PAPER):
            figure = Figure(figsize=(width, look.height + above), facecolor="white")
            put_on(figure, () if head is None else head.marks)
            rect = (0, 0, 1, look.height / (look.height + above))
            figure.set_layout_engine("constrained", rect=rect, w_pad=1 / POINTS, h_pad=1 / POINTS)
            self.paint(figure, look)
            FigureCanvasAgg(figure).draw()  # while the settings are ours; what is laid out stays
            figure.set_layout_engine("none")
        return figure


def _write_head(figure: "Figure", title: str, context: str) -> int:
    """Title at the left; context in grey at the right where both fit, else below. Returns the height in pixels."""
    room = _WIDTH - 2 * _LEFT
    head = figure.text(_LEFT / _WIDTH, 1 - 14 / _HEIGHT, title, weight="bold")
    aside = figure.text(1 - _LEFT / _WIDTH, 1 - 17 / _HEIGHT, context, color=_FAINT, ha="right")
    widths = []
    for text, size in ((head, 10), (aside, 9)):
        text.set(verticalalignment="top", fontsize=size, in_layout=False)
        text.set_parse_math(False)  # a run's name may hold dollar signs
        width = text.get_window_extent().width
        text.set_fontsize(size * min(1, 0.98 * room / max(1, width)))  # widths are not quite in proportion
        widths.append(min(width, room))
    if sum(widths) + 30 <= room:
        return 44
    aside.set(x=_LEFT / _WIDTH, y=1 - 44 / _HEIGHT, horizontalalignment="left")
    return 72
