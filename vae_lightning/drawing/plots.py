"""Plots of the latent space: arrays in, picture out, without a display and whatever matplotlib's settings are."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from vae_lightning.drawing.captions import nats
from vae_lightning.drawing.figures import TEXT, Look, Plot
from vae_lightning.drawing.palette import ACTIVE, INACTIVE, MOST_MARKED, label_colours, label_shapes, scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
_NAMED_LABELS = 40
_MOST_DOTS = 5000  # of a pdf or a svg that are drawn one by one; of more the cloud is an image
_HIGHEST_BARS = 3.0  # inches on paper
_MOST_BARS = 1000  # each a thing of its own for matplotlib


def label_scatter(
    points: Float[np.ndarray, "N 2"],
    labels: Int[np.ndarray, " N"] | None,
    title: str,
    context: str,
    axes: tuple[str, str] | None,
    class_names: Sequence[str] | None = None,
) -> Plot:
    """Points marked by their labels in colour and shape, each label written at the median of its points.

    Args:
        points: in the plane; those that are not finite are left out.
        labels: of the points; None draws all in one colour.
        title: of the picture.
        context: what it was made from, such as "mnist_conv · epoch 15".
        axes: what the coordinates are; None, as for t-SNE, leaves out ticks and units.
        class_names: what labels 0, 1, ... are called; None for their numbers.
    """
    finite = np.isfinite(points).all(axis=1)
    points, labels = points[finite], None if labels is None else labels[finite]

    def paint(figure: "Figure", look: Look) -> None:
        panel = figure.add_subplot()
        panel.set_aspect("equal", adjustable="datalim")
        _name_axes(panel, axes)
        if labels is None or not len(labels):
            _scatter(panel, points, ACTIVE, look)
        else:
            _scatter_by_label(panel, points, labels, class_names, look)

    return Plot(paint, title, context)


def rate_bars(
    rates: Float[np.ndarray, " D"], variances: Float[np.ndarray, " D"], threshold: float, title: str, context: str
) -> Plot:
    """KL per dimension as sorted bars, and below, in the same order, how active each unit is.

    A unit is active if the variance over images of its posterior mean exceeds the threshold (Burda et al.,
    arXiv 1509.00519, with 0.01).

    Args:
        rates: KL of each latent dimension, in nats.
        variances: over images, of each dimension's posterior mean.
        threshold: of activity.
        title: of the picture.
        context: what it was made from.
    """
    order = np.argsort(-rates, kind="stable")
    active = variances[order] > threshold

    def paint(figure: "Figure", look: Look) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        _paint_rates(above, rates[order], active, look)
        _paint_variances(below, variances[order], active, threshold, look)
        step = math.ceil(len(order) / look.most_ticks)
        below.set_xticks(range(0, len(order), step), [str(dim) for dim in order[::step]])
        below.set_xlim(-0.75, len(order) - 0.25)
        below.set_xlabel("latent dimension, largest KL first")
        figure.align_ylabels()

    return Plot(paint, title, context, lambda look: min(look.height, _HIGHEST_BARS))


def density_panels(
    densities: Float[np.ndarray, "R G"],
    priors: Float[np.ndarray, "R G"],
    grid: Float[np.ndarray, " G"],
    dims: Sequence[int],
    rates: Sequence[float],
    title: str,
    context: str,
) -> Plot:
    """The aggregated posterior of each dimension, (1 / N) sum_n q(z | x_n), beside the prior.

    Args:
        densities: of R dimensions, on the grid.
        priors: the prior's of the same.
        grid: of z.
        dims: the dimensions' numbers.
        rates: each dimension's KL in nats.
        title: of the picture.
        context: what it was made from.

    Raises:
        ValueError: there are no densities, or priors, dims or rates are not as many.
    """
    counts = [len(densities), len(priors), len(dims), len(rates)]
    if len(set(counts)) > 1 or not counts[0]:
        raise ValueError(f"densities, priors, dims and rates must match, got {counts}")
    square = math.ceil(math.sqrt(len(dims)))

    def arranged(look: Look) -> tuple[int, int]:
        columns = min(square, look.most_panels)
        return math.ceil(len(dims) / columns), columns

    def paint(figure: "Figure", look: Look) -> None:
        rows, columns = arranged(look)
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for panel, density, prior, dim, rate in zip(panels, densities, priors, dims, rates, strict=False):
            _paint_density(panel, grid, density, prior)
            panel.set_title(f"z {dim}  KL = {nats(rate)}", fontsize=look.panel - (columns > 4), loc="left")
        for lowest in panels[: len(dims)][-columns:]:
            lowest.tick_params(labelbottom=True)
            lowest.set_xlabel("z")
        figure.supylabel("density", fontsize=look.axis)
        for unused in panels[len(dims) :]:
            unused.set_visible(False)
        tick = _round_number(0.6 * float(grid[-1]))
        panels[0].set(xlim=(grid[0], grid[-1]), xticks=(-tick, 0, tick))
        panels[0].set(ylim=(0, 1.05 * max(densities.max(), priors.max())))
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)

    def height(look: Look) -> float:
        rows, columns = arranged(look)
        return 0.4 + rows * max(0.55 * look.width / columns, 0.7)

    return Plot(paint, title, context, height)


def _round_number(most: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not larger."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= most)


def _name_axes(panel: "Axes", axes: tuple[str, str] | None) -> None:
    if axes is None:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    else:
        panel.set_xlabel(axes[0], parse_math=False)
        panel.set_ylabel(axes[1], parse_math=False)


def _scatter_by_label(
    panel: "Axes",
    points: Float[np.ndarray, "N 2"],
    labels: Int[np.ndarray, " N"],
    class_names: Sequence[str] | None,
    look: Look,
) -> None:
    names, ranks = np.unique(labels, return_inverse=True)
    texts = [str(name) if class_names is None else class_names[name] for name in names]
    colours, shapes = label_colours(names), label_shapes(names)
    # In random order, so that no class lies above all others.
    order = np.random.default_rng(0).permutation(len(points))
    _scatter(panel, points[order], colours[ranks[order]], look, [shapes[rank] for rank in ranks[order]])
    if len(names) <= MOST_MARKED:
        _legend(panel, texts, colours, shapes)
    elif len(names) > _NAMED_LABELS:
        _colour_bar(panel, names)
    if len(names) <= _NAMED_LABELS:
        medians = np.stack([np.median(points[labels == name], axis=0) for name in names])
        unit = max(np.ptp(points, axis=0) / look.plane)  # to a point of the paper
        room = look.name / 11 * np.array([4.8 + 6.72 * max(len(text) for text in texts), 11.52])
        for text, place in zip(texts, _set_apart(medians, unit * room), strict=True):
            _haloed(panel, place, text, look)


def _set_apart(places: Float[np.ndarray, "M 2"], least: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "M 2"]:
    """The places, pushed up and down until no two are nearer than `least` both across and upwards."""
    ranks = np.argsort(np.argsort(places[:, 1], kind="stable"))
    upwards = np.sign(ranks[:, None] - ranks)  # which of two is pushed up, also where both are at one height
    places = places.copy()
    for _ in range(100):
        missing = least - np.abs(places[:, None] - places)
        push = np.where((missing > 0).all(axis=-1), missing[..., 1] * upwards, 0)
        places[:, 1] += push.sum(axis=1) / 2
    return places


def _legend(panel: "Axes", texts: Sequence[str], colours: Float[np.ndarray, "M 4"], shapes: Sequence[str]) -> None:
    handles = [
        panel.scatter([], [], s=28, color=colour, marker=shape, linewidths=0)
        for colour, shape in zip(colours, shapes, strict=True)
    ]
    corner = (1.0, 1.0)
    legend = panel.legend(handles, texts, title="label", loc="upper left", bbox_to_anchor=corner, borderaxespad=0.3)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _colour_bar(panel: "Axes", names: Int[np.ndarray, " M"]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    mapped = ScalarMappable(Normalize(int(names.min()), int(names.max())), scale())
    panel.figure.colorbar(mapped, ax=panel, label="label", shrink=0.5, aspect=30)


def _haloed(panel: "Axes", place: Float[np.ndarray, " 2"], text: str, look: Look) -> None:
    x, y = place.tolist()
    for effects in look.halo(3):
        panel.text(
            x,
            y,
            text,
            fontsize=look.name,
            weight="bold",
            ha="center",
            va="center",
            path_effects=effects,
            zorder=5,
            parse_math=False,
        )


def _scatter(
    panel: "Axes",
    points: Float[np.ndarray, "N 2"],
    colours: Float[np.ndarray, "N 4"] | str,
    look: Look,
    shapes: Sequence[str] = ("o",),
) -> None:
    from matplotlib.markers import MarkerStyle
    from matplotlib.transforms import Affine2D

    size = float(np.clip(320 / math.sqrt(max(1, len(points))), 2, 30)) * look.area
    alpha = 0.9 if len(points) < 1000 else 0.75
    drawn = panel.scatter(points[:, 0], points[:, 1], s=size, c=colours, alpha=alpha, linewidths=0)
    drawn.set_rasterized(len(points) > _MOST_DOTS)
    styles = {shape: MarkerStyle(shape) for shape in shapes}
    scales = {shape: 1.4 if shape == "*" else 1.0 for shape in styles}  # a star is mostly empty
    paths = {
        shape: style.get_path().transformed(style.get_transform() + Affine2D().scale(scales[shape]))
        for shape, style in styles.items()
    }
    # One collection of many shapes: one collection a shape would lie above the others.
    drawn.set_paths([paths[shape] for shape in shapes])


def _paint_rates(panel: "Axes", rates: Float[np.ndarray, " D"], active: Bool[np.ndarray, " D"], look: Look) -> None:
    from matplotlib.patches import Patch

    places = np.arange(len(rates))
    width = 0.8 if len(rates) <= 100 else 1.0
    handles = []
    for members, colour, name in ((active, ACTIVE, "active"), (~active, INACTIVE, "inactive")):
        if members.any():
            if len(rates) > _MOST_BARS:
                panel.fill_between(places, np.where(members, rates, 0), step="mid", color=colour, linewidth=0)
            else:
                panel.bar(places[members], rates[members], width=width, color=colour, linewidth=0)
            handles.append(Patch(color=colour, label=f"{name} ({members.sum()})"))
    panel.set_ylabel("KL (nats)")
    panel.grid(axis="x", visible=False)
    panel.set_title(f"sum: {rates.sum():.2f} nats", fontsize=look.panel, loc="left")
    # Above the bars, which would be hidden.
    panel.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=2)


def _paint_variances(
    panel: "Axes", variances: Float[np.ndarray, " D"], active: Bool[np.ndarray, " D"], threshold: float, look: Look
) -> None:
    from matplotlib.ticker import FuncFormatter, LogFormatter

    size = float(np.clip(600 / len(variances), 3, 28)) * look.area
    colours = np.where(active, ACTIVE, INACTIVE)
    # A unit that does not move at all would have no place on a logarithmic axis.
    shown = np.maximum(variances, 1e-6 * threshold)
    panel.scatter(np.arange(len(shown)), shown, s=size, c=colours.tolist(), linewidths=0)
    panel.axhline(threshold, color=TEXT, linewidth=0.9, linestyle=(0, (4, 3)))
    for effects in look.halo(3):
        panel.annotate(
            f"active above {threshold:g}",
            xy=(0.995, threshold),
            xycoords=panel.get_yaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=look.note,
            ha="right",
            path_effects=effects,
        )
    panel.set_yscale("log")
    if look.on_paper:  # exponents would be smaller than what is read there
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_formatter(LogFormatter())
    panel.set_ylabel("variance of the\nposterior mean")
    panel.grid(axis="x", visible=False)


def _paint_density(
    panel: "Axes",
    grid: Float[np.ndarray, " G"],
    density: Float[np.ndarray, " G"],
    prior: Float[np.ndarray, " G"],
) -> None:
    panel.fill_between(grid, density, color=ACTIVE, alpha=0.45, linewidth=0, label="aggregated posterior")
    panel.plot(grid, prior, color=TEXT, linewidth=1, label="prior")
