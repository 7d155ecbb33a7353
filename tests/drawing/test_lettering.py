import itertools
from pathlib import Path

import pytest
from matplotlib.font_manager import FontProperties, findfont

from vae_lightning.drawing.figures import _STYLE
from vae_lightning.drawing.lettering import _font, fitting_size, spread, text_width
from vae_lightning.drawing.printing import settings


def places(texts, pitch):
    centres = [pitch * (index + 0.5) for index in range(len(texts))]
    bounds = (0, pitch * len(texts))
    size, starts = spread(texts, centres, text_width, bounds)
    return size, [(start, start + text_width(text, size), text) for start, text in starts], bounds


@pytest.mark.parametrize("pitch", [8, 20, 28, 33, 64])
@pytest.mark.parametrize("count", [1, 2, 5, 13, 40])
def test_labels_stay_apart_and_within_bounds(pitch, count):
    _, spans, (low, high) = places([f"-{index}.25" for index in range(count)], pitch)
    assert spans
    assert all(first[1] < second[0] for first, second in itertools.pairwise(spans))
    assert all(low <= start for start, _, _ in spans)
    if pitch * count > 60:
        assert spans[-1][1] <= high


def test_labels_that_fit_are_all_there_in_the_size_liked_best():
    size, spans, _ = places(["a", "b", "c"], pitch=60)
    assert size == 14
    assert [text for _, _, text in spans] == ["a", "b", "c"]
    assert [(start + end) / 2 for start, end, _ in spans] == pytest.approx([30, 90, 150])


def test_crowded_labels_are_set_smaller_before_any_is_left_out():
    size, spans, _ = places(["-2.25"] * 9, pitch=text_width("-2.25", 12) + 7)
    assert size == 12
    assert len(spans) == 9


def test_of_very_crowded_labels_every_kth_is_drawn():
    _, spans, _ = places([str(index) for index in range(100, 140)], pitch=12)
    numbers = [int(text) for _, _, text in spans]
    assert 1 < len(numbers) < 40
    assert len({second - first for first, second in itertools.pairwise(numbers)}) == 1


def test_empty_labels_take_no_room():
    _, spans, _ = places(["input", "", "", "input"], pitch=30)
    assert [text for _, _, text in spans] == ["input", "input"]


def test_text_is_set_as_large_as_fits():
    width = text_width("a caption", 13)
    assert fitting_size("a caption", 20, width) == 13
    assert fitting_size("a caption", 12, width) == 12
    assert fitting_size("a caption", 20, 1) == 9


def test_pictures_and_plots_are_set_in_one_typeface():
    with settings(_STYLE):
        assert Path(findfont(FontProperties())).samefile(_font(12).path)
