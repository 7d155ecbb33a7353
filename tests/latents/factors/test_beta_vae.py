import numpy as np
import pytest

from tests.latents.factors.grids import grid, noise
from vae_lightning.latents import beta_vae_score
from vae_lightning.latents.factors.table import factor_table
from vae_lightning.latents.factors.votes import sharing

FACTORS = grid(3, 4, 5, copies=4)


def test_an_axis_aligned_code_has_1_to_the_last_bit():
    codes = np.c_[FACTORS * [1.0, -3.0, 1e-3], noise(len(FACTORS), 2, 0)]
    assert beta_vae_score(codes, FACTORS, num_resamples=2).value == 1


def test_a_random_code_has_chance_within_its_interval():
    factors = np.random.default_rng(0).integers(0, 4, (2000, 3))
    found = beta_vae_score(noise(2000, 4, 0), factors, num_resamples=8)
    assert found.value == pytest.approx(1 / 3, abs=0.1)
    assert found.low < 1 / 3 < found.high


def test_pairs_are_two_different_rows_that_share_the_value():
    table, generator = factor_table(FACTORS.astype(float), FACTORS), np.random.default_rng(0)
    rows = np.arange(0, len(FACTORS), 3)
    for each, factor in zip(sharing(table, rows), table.factors, strict=True):
        one, other = each.pairs(50, generator)
        assert one.shape == (50, 64)
        assert (one != other).all()
        assert set(one.ravel()) | set(other.ravel()) <= set(rows)
        assert (factor.classes[one] == factor.classes[other]).all()
        assert len(np.unique(factor.classes[one])) == factor.num_classes
