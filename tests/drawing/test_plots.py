import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import ImageColor

from tests.drawing.tiles import in_pixels
from vae_lightning.drawing import plots
from vae_lightning.drawing.palette import LABELS

density_panels, label_scatter, rate_bars = map(in_pixels, (plots.density_panels, plots.label_scatter, plots.rate_bars))

TITLE, CONTEXT = "posterior means", "mnist_conv · epoch 15"
BLUE, RED = (68, 119, 170), (238, 102, 119)
GRID = np.linspace(-5, 5, 101)


def near(picture, colour, tolerance=3):
    """Where the picture has that colour, in [0, 255]."""
    return (np.abs(picture.astype(int) - np.round(colour).astype(int)) <= tolerance).all(axis=-1)


def rgb(label):
    return np.array(ImageColor.getrgb(LABELS[label]))


def clusters(labels, seed=0):
    noise = np.random.default_rng(seed).normal(size=(len(labels), 2))
    return noise + 8 * np.stack([np.cos(labels), np.sin(labels)], axis=1)


def gaussian(loc, scale):
    return np.exp(-(((GRID - loc) / scale) ** 2) / 2) / scale / np.sqrt(2 * np.pi)


def has_margins(picture, width=2):
    """Whether nothing touches the border."""
    edges = [picture[:width], picture[-width:], picture[:, :width], picture[:, -width:]]
    return all((edge == 255).all() for edge in edges)


# Scatter plots


@pytest.mark.parametrize("axes", [None, ("z 3", "z 12 (KL = 2.10 nats)")])
@pytest.mark.parametrize(("count", "num_labels"), [(50, 3), (3000, 10), (3000, 17)])
def test_every_label_has_its_colour_among_the_points_and_in_the_legend(axes, count, num_labels):
    labels = np.arange(count) % num_labels
    picture = label_scatter(clusters(labels), labels, TITLE, CONTEXT, axes)
    legend = picture[:, 880:]
    for label in range(num_labels):
        assert near(legend, rgb(label % 10)).any()
    assert has_margins(picture)


def test_labels_keep_their_colours_when_some_are_missing():
    labels = np.repeat([2, 7], 100)
    picture = label_scatter(clusters(labels), labels, TITLE, CONTEXT, None)
    for label in range(10):
        assert near(picture, rgb(label)).any() == (label in (2, 7))


def test_no_label_hides_another():
    labels = np.repeat([0, 1], 3000)
    points = np.random.default_rng(0).normal(size=(6000, 2))
    picture = label_scatter(points, labels, "", "", None)[100:750, 100:800].astype(int)
    blueness = picture[..., 2] - picture[..., 0]
    assert 0.6 < (blueness > 25).sum() / (blueness < -25).sum() < 1.25  # a dot is smaller than a square


@pytest.mark.parametrize("num_labels", [30, 100])
def test_many_labels_have_no_legend_but_names_or_a_scale(num_labels):
    labels = np.arange(2000) % num_labels
    picture = label_scatter(clusters(labels), labels, TITLE, CONTEXT, None)
    colourful = np.ptp(picture[100:, 850:900].astype(int), axis=-1) > 60
    assert (colourful.sum(axis=0).max() > 300) == (num_labels == 100)  # the colour bar
    bold = (picture[60:] < 60).all(axis=-1).sum()
    assert (bold > 1500) == (num_labels == 30)  # the names


def test_names_of_labels_are_set_apart():
    labels = np.repeat([3, 8], 500)
    points = np.tile(np.random.default_rng(0).normal(size=(500, 2)), (2, 1))
    apart = points + 8 * labels[:, None]
    ink = [(label_scatter(p, labels, "", "", None)[:, :850] < 60).all(axis=-1).sum() for p in (points, apart)]
    assert ink[0] > 0.9 * ink[1]


def test_labels_are_called_by_their_names_whatever_signs_are_in_them():
    labels = np.repeat(np.arange(3), 100)
    numbers, named, odd = (
        label_scatter(clusters(labels), labels, TITLE, CONTEXT, None, names)
        for names in (None, ("cat", "dog", "elk"), (r"$\frac$", "a$b", "x_{1}$ $"))
    )
    assert np.array_equal(label_scatter(clusters(labels), labels, TITLE, CONTEXT, None, ("0", "1", "2")), numbers)
    assert not np.array_equal(named, numbers)
    assert odd.min() < 60


def test_points_without_labels_have_one_colour_and_no_legend():
    picture = label_scatter(clusters(np.zeros(300)), None, TITLE, CONTEXT, None)
    colourful = np.ptp(picture.astype(int), axis=-1) > 40
    assert colourful.any()
    assert (picture[colourful][:, 2] > picture[colourful][:, 0]).all()
    assert not np.ptp(picture[:, 930:].astype(int), axis=-1).any()


def test_units_are_equal_on_both_axes():
    points = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 1.0], [4.0, 1.0]])
    rows, columns = np.nonzero(near(label_scatter(points, None, "", "", ("a", "b")), BLUE, 40))
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(4, rel=0.15)


def test_points_that_are_not_finite_and_none_at_all_are_no_trouble():
    labels = np.array([0, 1, 1])
    points = np.array([[0.0, 0.0], [np.nan, 1.0], [1.0, 1.0]])
    expected = label_scatter(points[[0, 2]], labels[[0, 2]], "", "", None)
    assert np.array_equal(label_scatter(points, labels, "", "", None), expected)
    assert label_scatter(points[:0], labels[:0], TITLE, CONTEXT, None).min() < 60


# Heads


@pytest.mark.parametrize("title", ["t", "a title that fills about half of the line", "a very long title " * 8])
def test_title_and_context_are_whole_and_apart(title):
    picture = label_scatter(np.zeros((1, 2)), None, title, CONTEXT, None)
    assert has_margins(picture)
    dark = (picture[:80] < 60).all(axis=-1)
    assert dark.any()
    plain = label_scatter(np.zeros((1, 2)), None, "", CONTEXT, None)
    assert (near(plain[:80], (119, 119, 119), 10)).any()


def test_dollar_signs_are_letters():
    picture = rate_bars(np.ones(3), np.ones(3), 0.01, r"$\frac{$", r"run_$\x$_^")
    assert has_margins(picture)


# KL per dimension


@pytest.mark.parametrize("num_dims", [1, 20, 300])
def test_bars_are_sorted_and_coloured_by_activity(num_dims):
    rng = np.random.default_rng(num_dims)
    rates = rng.gamma(2.0, 1.0, num_dims) + 0.2
    variances = np.where(rng.random(num_dims) < 0.6, 0.5, 1e-4)
    variances[0] = 0.5
    picture = rate_bars(rates, variances, 0.01, TITLE, CONTEXT)
    assert has_margins(picture)
    bars = (near(picture, BLUE) | near(picture, RED))[48:446, 116:952]
    heights = bars[180:].sum(axis=0)  # below the legend
    assert (np.diff(heights[heights > 0]) <= 1).all()
    assert near(picture, BLUE).any()
    assert near(picture[200:], RED).any() == (variances < 0.01).any()


def test_order_of_dimensions_changes_nothing_but_their_numbers():
    rates, variances = np.array([0.5, 2.0, 1.0, 0.01]), np.array([0.3, 0.9, 0.6, 1e-5])
    order = np.array([2, 0, 3, 1])
    one, other = (rate_bars(r, v, 0.01, "", "") for r, v in ((rates, variances), (rates[order], variances[order])))
    differs = np.flatnonzero((one != other).any(axis=(1, 2)))
    assert len(differs)
    assert differs.min() > 735  # the tick labels
    assert differs.max() < 770


def test_units_are_active_above_the_threshold():
    rates, variances = np.ones(4), np.array([0.5, 0.1, 0.05, 0.02])
    blues = [near(rate_bars(rates, variances, t, "", "")[200:440], BLUE).sum() for t in (0.01, 0.03, 0.2, 0.9)]
    assert blues == sorted(blues, reverse=True)
    assert blues[0] == pytest.approx(4 * blues[2], rel=0.05)
    assert blues[3] == 0


def test_the_legend_has_no_kind_of_unit_that_is_not_there(monkeypatch):
    told = []
    legend = Axes.legend
    monkeypatch.setattr(
        Axes, "legend", lambda *given, **named: told.append(named["handles"]) or legend(*given, **named)
    )
    for variances in ([0.5, 0.5], [0.5, 1e-5], [1e-5, 1e-5]):
        rate_bars(np.ones(2), np.array(variances), 0.01, "", "")
    names = [[handle.get_label() for handle in handles] for handles in told]
    assert names == [["active (2)"], ["active (1)", "inactive (1)"], ["inactive (2)"]]


def test_units_that_never_move_are_shown():
    picture = rate_bars(np.ones(2), np.array([0.5, 0.0]), 0.01, "", "")
    assert near(picture[470:735], RED).sum() > 30


# Aggregated posteriors


@pytest.mark.parametrize("count", [1, 7])
def test_each_dimension_has_a_panel_with_its_density(count):
    densities = np.stack([gaussian(0.0, 1.0)] * count)
    named = GRID, range(count), [1.0] * count, TITLE, CONTEXT
    draw = [density_panels(shown, densities, *named) for shown in (densities, 0 * densities)]
    full, empty = (np.ptp(picture.astype(int), axis=-1) > 30 for picture in draw)
    assert full[50:750].sum() > 10 * max(1, empty[50:750].sum())
    assert has_margins(draw[0])
    dark = (draw[1] < 60).all(axis=-1)[50:750]
    assert dark.sum() > 50 * count  # the priors


def test_highest_density_is_not_cut_off():
    densities = np.stack([gaussian(0.0, 1.0), gaussian(0.0, 0.2)])
    picture = density_panels(densities, densities, GRID, [0, 1], [1.0, 1.0], "", "")
    filled = np.ptp(picture[:740].astype(int), axis=-1) > 30
    top = np.flatnonzero(filled[:, 480:].any(axis=1)).min()
    assert filled[top, 480:].sum() < 12  # a peak, not a plateau


def test_densities_must_match_their_names():
    with pytest.raises(ValueError, match=r"got \[1, 1, 2, 1\]"):
        density_panels(*[gaussian(0.0, 1.0)[None]] * 2, GRID, [0, 1], [1.0], "", "")


# Surroundings


def test_settings_of_matplotlib_are_neither_followed_nor_changed():
    expected = label_scatter(np.eye(2), None, TITLE, CONTEXT, ("a", "b"))
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "savefig.dpi": 10, "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        assert np.array_equal(label_scatter(np.eye(2), None, TITLE, CONTEXT, ("a", "b")), expected)
        assert dict(matplotlib.rcParams) == before


SCRIPT = """
import sys
import numpy as np
import vae_lightning.drawing.walks
from vae_lightning.drawing.plots import density_panels, label_scatter, rate_bars
assert "matplotlib" not in sys.modules  # it takes its time
label_scatter(np.random.rand(50, 2), np.arange(50) % 3, "t", "c", None).pixels()
rate_bars(np.ones(5), np.ones(5), 0.01, "t", "c").pixels()
density_panels(np.ones((2, 9)), np.ones((2, 9)), np.linspace(-1, 1, 9), [0, 1], [1.0, 1.0], "t", "c").figure(3.25)
assert "matplotlib.pyplot" not in sys.modules
assert "tkinter" not in sys.modules
"""


def test_no_display_is_needed():
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-c", SCRIPT]
    result = subprocess.run(command, env=environment | {"MPLBACKEND": "TkAgg"}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
