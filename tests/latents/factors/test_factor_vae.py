import inspect

import numpy as np
import pytest

from tests.latents.factors.grids import grid, noise
from vae_lightning.latents import factor_vae_score
from vae_lightning.latents.factors.table import factor_table
from vae_lightning.latents.factors.votes import BATCH, parts, sharing
from vae_lightning.latents.units import ACTIVE

FACTORS = grid(3, 4, 5, copies=4)


def test_an_axis_aligned_code_has_1_to_the_last_bit():
    assert factor_vae_score(FACTORS * [1.0, -3.0, 100.0], FACTORS, num_resamples=2).value == 1


def test_a_latent_that_is_not_active_takes_no_part():
    idle = 1e-4 * FACTORS[:, :1]  # which would take half of the votes
    mixed = FACTORS[:, 1:] + 0.3 * FACTORS[:, :1]
    with_idle, without = (factor_vae_score(codes, FACTORS, num_resamples=2) for codes in (np.c_[mixed, idle], mixed))
    assert with_idle == without
    assert factor_vae_score(np.c_[mixed, idle], FACTORS, num_resamples=2, active=0).value > without.value


def test_where_none_is_active_it_is_that_of_chance():
    found = factor_vae_score(1e-3 * noise(len(FACTORS), 4, 0), FACTORS)
    assert (found.value, found.stderr, found.low, found.high) == (1 / 3, 0, 1 / 3, 1 / 3)


def test_active_means_what_it_means_elsewhere():
    assert inspect.signature(factor_vae_score).parameters["active"].default == ACTIVE


def test_a_random_code_has_little_more_than_chance():
    factors = np.random.default_rng(0).integers(0, 4, (2000, 3))
    found = factor_vae_score(noise(2000, 4, 0), factors, num_resamples=8)
    assert found.value == pytest.approx(1 / 3, abs=0.1)


def test_a_batch_shares_one_value():
    table, generator = factor_table(FACTORS.astype(float), FACTORS), np.random.default_rng(0)
    for each, factor in zip(sharing(table, np.arange(len(FACTORS))), table.factors, strict=True):
        batches = factor.classes[each.batches(200, generator)]
        assert batches.shape == (200, BATCH)
        assert (batches == batches[:, :1]).all()
        assert len(np.unique(batches)) == factor.num_classes


def test_a_value_of_one_row_is_not_drawn_unless_all_are_such():
    table, generator = factor_table(FACTORS.astype(float), FACTORS), np.random.default_rng(0)
    rows = np.flatnonzero(FACTORS[:, 0] == 0)[:5]
    lonely = np.r_[rows, np.flatnonzero(FACTORS[:, 0] == 1)[:1]]
    first = sharing(table, lonely)[0]
    assert set(np.unique(first.batches(100, generator))) == set(rows)
    alone = sharing(table, lonely[-1:])[0]
    assert np.unique(alone.pairs(3, generator)).tolist() == lonely[-1:].tolist()


def test_many_latents_are_counted_in_parts():
    assert parts(10, 3) == [10]
    assert sum(parts(1000, 1000)) == 1000
    assert max(parts(1000, 1000)) * 1000 * BATCH <= 2**21
