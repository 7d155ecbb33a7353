import math

import numpy as np
import pytest

from vae_lightning.data.values import Found, Scale, as_levels, found_in, given_scale


def of(values, kind="integers", dtype=np.uint16, scale=None, name="a.png", channels=0) -> Found:
    return found_in(np.array(values, dtype), kind, scale, name, channels)


@pytest.mark.parametrize(
    ("largest", "high"), [(0, 255), (255, 255), (256, 511), (4011, 4095), (4095, 4095), (4096, 8191), (65535, 65535)]
)
def test_whole_numbers_have_the_smallest_scale_of_bits_that_holds_them(largest, high):
    assert of([0, largest]).scale() == Scale(0, high)


def test_numbers_below_zero_have_a_scale_from_the_least_to_the_largest():
    assert of([-100, 900], dtype=np.int16).scale() == Scale(-100, 900)
    assert of([-1024, 3], dtype=np.int16).scale() == Scale(-1024, 3)
    assert of([-7, -7], dtype=np.int16).scale() == Scale(-7, -6)


@pytest.mark.parametrize(
    ("values", "scale"),
    [([0.2, 0.7], Scale(0, 1)), ([0, 1], Scale(0, 1)), ([-3.5, 12], Scale(-3.5, 12)), ([7, 7], Scale(7, 8))],
)
def test_floats_in_the_unit_interval_are_pixels_and_others_are_measured(values, scale):
    assert of(values, "floats", np.float64).scale() == scale


def test_one_scale_is_that_of_all_files():
    both = of([3, 300]) + of([0, 4011], name="b.png") + of([9], "bytes", np.uint8)
    assert (both.num_files, both.num_bytes, both.num_integers) == (3, 1, 2)
    assert both.scale() == Scale(0, 4095)
    assert of([9], "bytes", np.uint8).scale() is None


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (of([9]), of([0.5], "floats", np.float32), "1 files of whole numbers and 1 of floats share no scale"),
        (of([9], "bytes", np.uint8), of([0.0, 200.5], "floats", np.float32), "from 0 to 200.5 and 1 of 8 bits"),
    ],
)
def test_files_that_share_no_scale_are_told(one, other, message):
    with pytest.raises(ValueError, match=message):
        (one + other).scale()


def test_the_line_tells_what_was_found_and_taken():
    assert of([0, 4011]).told(Scale(0, 4095)) == (
        "value_range: 16-bit files, 0 to 4,011 found: [0, 4095] taken; 4,096 levels become 256"
    )
    scale = Scale(-1.5, 2)
    found = of([-3.0, 0, 1, 2], "floats", np.float32, scale)
    assert found.told(scale) == (
        "value_range: files of floats, -3 to 2 found: [-1.5, 2] taken; values become 256 levels; 25.0% of the values "
        "lie outside and are clipped"
    )


def test_values_that_are_not_finite_are_counted_and_named():
    good, bad = of([0.5], "floats", np.float32), of([np.nan, 0.2, np.inf], "floats", np.float32, name="bad.tif")
    both = good + bad
    assert (both.num_not_finite, both.not_finite, both.low, both.high) == (1, "bad.tif", np.float32(0.2), 0.5)
    with pytest.raises(ValueError, match="2 values are not finite"):
        as_levels(np.array([np.nan, 0.2, np.inf]), None)


def test_what_was_found_is_the_same_after_it_was_kept():
    for found in (of([0, 4011], channels=5), Found(num_files=3, num_bytes=3), of([9], "bytes", np.uint8)):
        assert Found.from_dict(found.as_dict()) == found
    for damage in ({"low": "0"}, {"high": math.nan}, {"num_files": 1.5}, {"channels": 3}):
        with pytest.raises((ValueError, TypeError)):
            Found.from_dict(of([0, 9]).as_dict() | damage)
    with pytest.raises(KeyError):
        Found.from_dict({})


@pytest.mark.parametrize(
    ("values", "scale", "levels"),
    [
        (np.array([0, 16, 4095], np.uint16), Scale(0, 4095), [0, 1, 255]),
        (np.array([-2.0, 1.0, 4.0, 9.0]), Scale(-2, 4), [0, 128, 255, 255]),
        (np.array([0, 7, 255], np.uint8), Scale(0, 4095), [0, 7, 255]),
        (np.array([0, 7, 255], np.uint8), Scale(0, 1), [0, 7, 255]),
        (np.array([0, 15, 30, 99], np.uint8), Scale(0, 30), [0, 128, 255, 255]),
        (np.array([False, True]), Scale(0, 30), [0, 255]),
        (np.array([0, 32896, 65535], np.uint16), None, [0, 128, 255]),
        (np.array([0, 0.5, 1], np.float16), None, [0, 128, 255]),
        (np.array([0, 65535], np.int64), Scale(0, 65535), [0, 255]),
    ],
)
def test_levels(values, scale, levels):
    assert as_levels(values, scale).tolist() == levels


def test_levels_are_made_in_blocks(monkeypatch):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    whole = Scale(0, 4095).levels(values)
    monkeypatch.setattr("vae_lightning.data.values._BLOCK", 100)
    assert np.array_equal(Scale(0, 4095).levels(values), whole)
    assert np.array_equal(whole, np.round(values / 4095 * 255))


@pytest.mark.parametrize("given", ["full", [0], [0, 1, 2], [3, 3], [5, 1], [0, math.inf], [True, 5]])
def test_what_is_no_range_is_refused(given):
    with pytest.raises(ValueError, match=r"^value_range must be auto, null or \[low, high\] with low < high, got"):
        given_scale(given)


def test_a_given_range():
    assert given_scale([0, 4095]) == Scale(0, 4095)
    assert Scale(0, 4095).pair == [0, 4095]
    assert Scale(-1.5, 2).pair == [-1.5, 2]
    assert given_scale("auto") is None
    assert given_scale(None) is None


@pytest.mark.parametrize(("low", "high"), [(-1.7e308, 1.7e308), (0, 1e-307), (1, 1)])
def test_ends_between_which_there_are_no_levels_are_no_range(low, high):
    with pytest.raises(ValueError, match=r"^value_range must be"):
        given_scale([low, high])


def test_floats_too_far_apart_are_refused_and_told_in_short():
    found = Found(num_files=1, num_floats=1, low=-1.7e308, high=1.7e308)
    with pytest.raises(ValueError, match=r"floats from -1.7e\+308 to 1.7e\+308 are too far apart for a scale"):
        found.scale()
    assert "0 to 1.5e+300 found" in Found(num_floats=1, low=0, high=1.5e300).told(Scale(0, 2e300))


@pytest.mark.parametrize("value", [5.0, 1e20, -1e300, 0.0])
def test_numbers_that_are_all_one_have_a_scale(value):
    scale = Found(num_files=1, num_floats=1, low=value, high=value).scale()
    assert scale.levels(np.array([value])).tolist() == [0]
