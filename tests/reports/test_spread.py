import pytest

from vae_lightning.reports.spread import SeedSpread, quantile, spread_of


def test_mean_deviation_and_interval_are_those_of_student():
    spread = SeedSpread((1.0, 2.0, 3.0))
    assert (spread.mean, spread.sd, spread.num) == (2.0, 1.0, 3)
    assert spread.interval == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-5)


def test_a_single_seed_has_a_mean_and_nothing_else():
    spread = SeedSpread((5.0,))
    assert (spread.mean, spread.sd, spread.interval) == (5.0, None, None)


def test_what_is_missing_is_left_out():
    assert spread_of([None, 2.0]) == SeedSpread((2.0,))
    assert spread_of([None]) is None


def test_the_quantile_is_the_normal_one_for_many_degrees():
    assert quantile(1e9) == pytest.approx(1.959964, abs=1e-5)
    assert quantile(2) == pytest.approx(4.302653, abs=1e-5)
