import numpy as np
import pytest

from tests.latents.factors.grids import grid, noise, turned
from vae_lightning.errors import ArgumentError
from vae_lightning.latents import mig, modularity, shares_told
from vae_lightning.latents.factors.mutual_information import (
    cut_codes,
    gap,
    information,
    one_factor_each,
    telling,
)
from vae_lightning.latents.factors.table import factor_table

FACTORS = grid(3, 4, 5, copies=4)


def test_an_axis_aligned_code_has_a_gap_of_1_to_the_last_bit():
    assert mig(FACTORS * [1.0, -3.0, 1e6], FACTORS).value == 1
    assert modularity(FACTORS * [1.0, -3.0, 1e6], FACTORS).value == 1


def test_a_code_that_equals_numbers_in_many_places_has_a_gap_of_1():
    factors = np.stack(np.meshgrid(np.linspace(0, 1, 150), np.linspace(-2, 5, 120)), -1).reshape(-1, 2)
    assert mig(factors, factors, num_resamples=2).value == 1


@pytest.mark.parametrize("size", [2, 3, 10])
def test_a_code_rotated_by_45_degrees_has_a_gap_of_0_to_the_last_bit(size):
    factors = grid(size, size, copies=5)
    found = mig(turned(factors), factors)
    assert found.value == 0
    assert found.low == 0


@pytest.mark.parametrize("seed", range(5))
def test_of_a_random_code_0_lies_within_the_interval(seed):
    factors = np.random.default_rng(seed).integers(0, 6, (1000, 5))
    found = mig(noise(1000, 8, seed), factors, num_resamples=50, seed=seed)
    assert found.low == 0
    assert found.value < 0.03


def test_the_information_of_an_independent_latent_is_0_on_average():
    raw = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        table = factor_table(generator.integers(0, 5, (200, 1)).astype(float), generator.integers(0, 4, (200, 1)))
        told = information(cut_codes(table.codes), table, np.arange(200))
        raw.append(told.mutual[0, 0] if told.mutual[0, 0] else np.nan)
    spread = told.noise[0, 0]
    assert spread == pytest.approx((2 * 4 * 3) ** 0.5 / 400)
    assert 0.3 < np.isnan(raw).mean() < 0.7  # cut at 0: about half of them lie below
    assert np.nanmax(raw) < 5 * spread


def test_a_latent_that_repeats_another_leaves_no_gap():
    repeated = np.c_[FACTORS, FACTORS].astype(float)
    assert mig(repeated, FACTORS).value == 0
    assert modularity(repeated, FACTORS).value == 1


def test_the_numbers_that_values_have_change_no_bit():
    """Two latents that tell the same under other names, of which neither is ahead by rounding."""
    generator = np.random.default_rng(0)
    factor, renamed = generator.integers(0, 7, 997), generator.permutation(60)
    latent = np.minimum(factor * 3 + generator.geometric(0.2, 997), 59)
    assert mig(np.stack([latent, renamed[latent]], 1).astype(float), factor[:, None]).value == 0


def test_a_gap_by_hand():
    """z_1 is the first of two coins and z_2 the second, but for every fourth time."""
    first, second = grid(2, 2, copies=2).T
    codes = np.stack([first, np.where(np.arange(8) < 7, second, 1 - second)], 1).astype(float)
    table = factor_table(codes, np.stack([first, second], 1))
    told = information(cut_codes(table.codes), table, np.arange(8))

    def entropy(*counts):
        shares = np.array(counts) / 8
        return -(shares * np.log(shares)).sum() + (len(counts) - 1) / 16

    coin = entropy(4, 4)
    assert told.entropy == pytest.approx([coin, coin])
    other = entropy(5, 3) + coin - entropy(4, 3, 1)  # of the second latent and the second factor
    crossed = max(entropy(5, 3) + coin - entropy(2, 2, 3, 1), 0)
    expected = sorted([coin, 0, other, crossed])
    assert sorted(told.mutual.ravel()) == pytest.approx(expected)
    assert gap(told) == pytest.approx(((coin - crossed) + (other - 0)) / coin / 2)


def test_modularity_by_hand():
    mutual = np.array([[2.0, 0, 0], [1.0, 1.0, 0], [4.0, 2.0, 2.0], [0, 0, 0]])
    assert one_factor_each(mutual) == pytest.approx((1 + (1 - 1 / 2) + (1 - (0.25 + 0.25) / 2)) / 3)
    assert one_factor_each(np.zeros((2, 3))) == 0


def test_latents_that_tell_nothing_do_not_count():
    idle = noise(len(FACTORS), 3, 1)
    codes = np.c_[FACTORS, idle, np.full(len(FACTORS), 2.5)].astype(float)
    assert modularity(codes, FACTORS).value == 1
    table = factor_table(codes, FACTORS)
    assert telling(information(cut_codes(table.codes), table, np.arange(len(table)))).sum() == 3
    assert modularity(idle, FACTORS).value == 0


def test_of_a_single_latent_the_second_best_is_0():
    assert mig(FACTORS[:, :1].astype(float), FACTORS[:, :1]).value == 1
    with pytest.raises(ArgumentError, match=r"^factors: expected 2 to 100 of them, got 1$"):
        modularity(FACTORS.astype(float), FACTORS[:, :1])


def test_a_latent_keeps_100_values_and_more_are_cut_into_20_bins():
    cut = cut_codes(np.c_[np.arange(200) % 100, np.arange(200)].astype(float))
    assert len(np.unique(cut[:, 0])) == 100
    assert np.bincount(cut[:, 1]).tolist() == [10] * 20


def test_what_each_latent_tells_stands_in_the_order_of_the_latents():
    factors = grid(4, 5, copies=20)
    random = noise(len(factors), 2, 0)
    told = shares_told(np.c_[random[:, 0], factors[:, 1], random[:, 1], factors[:, 0]], factors, names=["a", "b"])
    assert list(told) == ["a", "b"]
    assert told["a"][3] == told["b"][1] == 1
    assert max(told["a"][1], told["b"][3]) < 1e-3
    assert told["a"].argmax() == 3
