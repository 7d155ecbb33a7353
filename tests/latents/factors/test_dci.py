import numpy as np
import pytest

from tests.latents.factors.grids import grid, noise, turned
from vae_lightning.latents import dci
from vae_lightning.latents.factors.dci import completeness_of, disentanglement_of

FACTORS = grid(3, 4, 5, copies=4)


def test_an_axis_aligned_code_has_1_in_all_three_to_the_last_bit():
    codes = np.c_[FACTORS * [1.0, -3.0, 100.0], noise(len(FACTORS), 1, 0)]
    found = dci(codes, FACTORS, num_resamples=2)
    assert [each.value for each in found] == [1, 1, 1]
    assert found.informativeness.low == 1  # which has no floor


def test_a_latent_that_repeats_another_leaves_disentanglement_and_takes_completeness():
    codes = np.c_[FACTORS, FACTORS].astype(float)
    found = dci(codes, FACTORS, num_resamples=2)
    assert found.disentanglement.value == 1
    assert found.informativeness.value == 1
    assert found.completeness.value < 0.9


def test_a_code_rotated_by_45_degrees_is_informative_and_not_disentangled():
    factors = grid(6, 6, copies=8)
    found = dci(turned(factors), factors, num_resamples=2)
    assert found.informativeness.value == 1
    assert found.disentanglement.value < 0.05
    assert found.completeness.value < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_of_a_random_code_0_lies_within_the_intervals(seed):
    factors = np.random.default_rng(seed).integers(0, 3, (400, 3))
    found = dci(noise(400, 4, seed), factors, num_resamples=10, seed=seed)
    assert found.disentanglement.low == 0
    assert found.completeness.low == 0
    assert found.informativeness.low < 1 / 3 < found.informativeness.high


def test_the_entropies_by_hand():
    importances = np.array([[0.75, 0.0], [0.25, 0.5], [0.0, 0.5], [0.0, 0.0]])
    second = 1 + (1 / 3 * np.log2(1 / 3) + 2 / 3 * np.log2(2 / 3))  # of two factors
    assert disentanglement_of(importances) == pytest.approx((0.75 * 1 + 0.75 * second + 0.5 * 1) / 2)
    quarter = 1 + (0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)) / 2  # to the base 4, of four latents
    assert completeness_of(importances) == pytest.approx((quarter + (1 - 1 / 2)) / 2)


def test_without_importances_both_are_0_and_a_single_latent_is_complete():
    assert (disentanglement_of(np.zeros((2, 3))), completeness_of(np.zeros((2, 3)))) == (0, 0)
    assert completeness_of(np.array([[1.0, 1.0]])) == 1
    assert disentanglement_of(np.array([[1.0, 1.0]])) == 0


def test_factors_of_numbers_have_r_squared():
    factors = noise(600, 2, 0)
    found = dci(factors, factors, num_resamples=2)
    assert found.disentanglement.value > 0.97
    assert 0.95 < found.informativeness.value < 1
    assert dci(noise(600, 2, 1), factors, num_resamples=2).informativeness.value == 0
