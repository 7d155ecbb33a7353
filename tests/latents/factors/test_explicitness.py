import numpy as np
import pytest

from tests.latents.factors.grids import grid, noise, turned
from vae_lightning.latents import explicitness

COINS = grid(2, 2, 2, copies=10)


@pytest.mark.parametrize("codes", [COINS * [1.0, -3.0, 100.0], COINS @ np.array([[1.0, 2, 0], [0, 1, 5], [1, 0, 1]])])
def test_two_classes_of_an_axis_aligned_or_linearly_mixed_code_have_1(codes):
    assert explicitness(codes, COINS, num_resamples=2).value == 1


def test_one_hot_codes_have_1_and_numbers_in_order_less_for_their_middle_is_not_linear():
    factors = grid(4, 3, copies=10)
    one_hot = np.c_[np.eye(4)[factors[:, 0]], np.eye(3)[factors[:, 1]]]
    assert explicitness(one_hot, factors, num_resamples=2).value == 1
    of_ends = explicitness(factors[:, 1:].astype(float), factors[:, 1:], num_resamples=2).value
    assert of_ends == pytest.approx(2 / 3, abs=0.2)


def test_a_rotation_changes_nothing():
    factors = grid(2, 2, copies=20)
    assert explicitness(turned(factors), factors, num_resamples=2).value == 1


@pytest.mark.parametrize("seed", range(3))
def test_of_a_random_code_0_lies_within_the_interval(seed):
    factors = np.random.default_rng(seed).integers(0, 3, (600, 2))
    found = explicitness(noise(600, 4, seed), factors, seed=seed)
    assert found.low < 0 < found.high
