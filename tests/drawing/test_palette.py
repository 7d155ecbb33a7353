import numpy as np
import pytest

from tests.colour_vision import SIGHTS, _difference, least_difference
from vae_lightning.drawing.palette import ACTIVE, INACTIVE, LABELS, label_colours, label_shapes, scale

TAB10 = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]


def test_differences_are_those_of_the_paper():
    pairs = {
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485)): 2.0425,
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0)): 27.1492,
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514)): 0.9082,
    }
    for (one, other), expected in pairs.items():
        assert _difference(np.array(one), np.array(other)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("sight", SIGHTS)
def test_ten_labels_and_two_kinds_of_units_are_told_apart(sight):
    assert least_difference(LABELS, sight) > 11
    assert least_difference([ACTIVE, INACTIVE], sight) > 25


def test_the_measure_finds_colours_that_are_not_told_apart():
    assert least_difference(TAB10, "normal") > 16
    assert least_difference(TAB10, "protanopia") < 2


@pytest.mark.parametrize("names", [[0, 1, 9], [3], list(range(20)), [-1, 5, 1000], list(range(100, 117))])
def test_no_two_labels_have_colour_and_shape_in_common(names):
    colours, shapes = label_colours(np.array(names)), label_shapes(np.array(names))
    marks = {(*colour, shape) for colour, shape in zip(colours.tolist(), shapes, strict=True)}
    assert len(marks) == len(names)


def test_a_label_keeps_its_mark_when_others_are_missing():
    few, all_ten = np.array([2, 7]), np.arange(10)
    assert np.array_equal(label_colours(few), label_colours(all_ten)[[2, 7]])
    assert label_shapes(few) == [label_shapes(all_ten)[label] for label in (2, 7)]


def test_many_labels_run_from_dark_to_light():
    greys = label_colours(np.arange(30))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(greys) > 0).all()
    assert scale()(1.0)[1] < 0.9  # not the yellow that is lost on white
