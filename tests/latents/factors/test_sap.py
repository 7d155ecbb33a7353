import numpy as np
import pytest

from tests.latents.factors.grids import grid, noise, turned
from vae_lightning.latents import sap

FACTORS = grid(3, 4, 5, copies=4)


def test_an_axis_aligned_code_has_1_to_the_last_bit():
    assert sap(FACTORS * [1.0, -3.0, 100.0], FACTORS, num_resamples=2).value == 1


def test_a_latent_that_repeats_another_leaves_nothing():
    assert sap(np.c_[FACTORS, FACTORS].astype(float), FACTORS, num_resamples=2).value == 0


def test_a_code_rotated_by_45_degrees_has_0_within_its_interval():
    factors = grid(5, 5, copies=8)
    assert sap(turned(factors), factors).low == 0


@pytest.mark.parametrize("seed", range(5))
def test_of_a_random_code_0_lies_within_the_interval(seed):
    factors = np.random.default_rng(seed).integers(0, 4, (500, 4))
    found = sap(noise(500, 6, seed), factors, num_resamples=10, seed=seed)
    assert found.low == 0
    assert found.value < 0.1


def test_classes_count_alike_however_many_rows_have_them():
    rare = np.repeat([0, 1], [970, 30])[:, None]
    blind = np.c_[np.zeros(1000), noise(1000, 1, 0)]
    assert sap(blind, rare, num_resamples=2).value < 0.25  # and not 97%
    assert sap(rare.astype(float), rare, num_resamples=2).value == 1
    twentieth = np.repeat([0, 1], [3800, 200])[:, None]
    blurred = twentieth + noise(4000, 1, 0)  # of which nearly all are likelier to be of the frequent class
    assert sap(blurred, twentieth, num_resamples=2).value > 0.3


def test_of_numbers_it_is_the_gap_of_squared_correlations():
    factor = noise(500, 1, 0)
    other = factor + noise(500, 1, 1)
    expected = 1 - np.corrcoef(factor.ravel(), other.ravel())[0, 1] ** 2
    assert sap(np.c_[factor, other], factor, num_resamples=2).value == pytest.approx(expected)
    assert sap(np.zeros((500, 1)), factor, num_resamples=2).value == 0
