"""Unit statistics count every image once, and tell the units in use from the idle ones."""

import json

import pytest
import torch

from vae_lightning.latents.units import UnitMeter, UnitStatistics, unit_statistics
from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.latent_model import Group, Latents
from vae_lightning.models.priors.standard_normal import StandardNormal


def statistics_of(loc, scale, batch_sizes):
    meter = UnitMeter()
    for batch in zip(loc.split(batch_sizes), scale.split(batch_sizes), strict=True):
        meter.update(rates_of(*batch), batch[0])
    return meter.compute()


def rates_of(loc, scale):
    return Group(DiagonalNormal(loc, scale), StandardNormal(loc.shape[1])(), loc.unsqueeze(0)).rate_per_dimension()


@pytest.mark.parametrize("batch_sizes", [[1003], [500, 500, 3], [1] * 3 + [1000]])
def test_statistics_do_not_depend_on_the_batches(batch_sizes):
    loc, scale = torch.randn(1003, 4) * torch.tensor([0.0, 0.1, 1.0, 3.0]), 0.1 + torch.rand(1003, 4)
    statistics = statistics_of(loc, scale, batch_sizes)
    loc, scale = loc.double(), scale.double()
    rate = 0.5 * (loc**2 + scale**2 - 1) - scale.log()
    torch.testing.assert_close(statistics.rate, rate.mean(0), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(statistics.variance, loc.var(0, correction=0), atol=1e-14, rtol=1e-12)


def test_variance_survives_a_large_common_offset():
    loc = 100 + 0.1 * torch.randn(5000, 2)  # in float32 alone, the squares would be off by 6e-4
    statistics = statistics_of(loc, torch.ones(5000, 2), 128)
    torch.testing.assert_close(statistics.variance, loc.double().var(0, correction=0), atol=0, rtol=1e-8)


def test_means_that_never_move_have_a_variance_of_zero_not_below():
    loc = torch.linspace(0.1, 3, 200).expand(77, 200)  # in some of so many, rounding alone would leave less
    statistics = statistics_of(loc, torch.ones(77, 200), 11)
    assert float(statistics.variance.min()) >= 0
    assert float(statistics.variance.max()) < 1e-14


def test_ranks_of_uneven_length_add_up_in_one_reduction():
    loc, scale = torch.randn(10, 3), torch.rand(10, 3) + 0.5
    ranks = [UnitMeter(), UnitMeter()]
    ranks[0].update(rates_of(loc[:7], scale[:7]), loc[:7])
    ranks[1].update(rates_of(loc[7:], scale[7:]), loc[7:])
    packed = []
    for rank in ranks:
        rank.compute(lambda moments: packed.append(moments) or moments)
    assert len(packed) == 2
    statistics, expected = ranks[0].compute(lambda own: packed[0] + packed[1]), statistics_of(loc, scale, 10)
    torch.testing.assert_close(statistics.rate, expected.rate)
    torch.testing.assert_close(statistics.variance, expected.variance)


def test_nothing_seen_is_no_statistics():
    meter = UnitMeter()
    assert meter.compute() is None
    meter.update(torch.zeros(0, 2), torch.zeros(0, 2))
    assert meter.compute() is None


def test_units_in_use_are_those_whose_mean_moves():
    loc = torch.randn(2000, 3) * torch.tensor([1.0, 0.05, 0.0])  # variances 1, 0.0025, 0
    statistics = statistics_of(loc, torch.full((2000, 3), 0.5), 500)
    assert statistics.active().tolist() == [True, False, False]
    assert statistics.active(threshold=0.001).tolist() == [True, True, False]
    assert UnitStatistics(torch.zeros(1).double(), torch.tensor([0.01]).double()).active().tolist() == [False]


def test_units_are_ordered_by_rate_and_then_by_number():
    rate = torch.tensor([1.0, 3.0, 0.0, 3.0, 1.0, 0.0] * 20, dtype=torch.float64)
    order = UnitStatistics(rate, torch.zeros_like(rate)).by_rate
    assert order == sorted(range(120), key=lambda dim: (-float(rate[dim]), dim))


def test_statistics_survive_a_file_to_the_last_bit():
    statistics = statistics_of(torch.randn(9, 3), torch.rand(9, 3) + 0.1, 9)
    restored = UnitStatistics.from_dict(json.loads(json.dumps(statistics.as_dict())))
    assert torch.equal(restored.rate, statistics.rate)
    assert torch.equal(restored.variance, statistics.variance)


def test_latents_give_the_same_statistics():
    loc, scale = torch.randn(50, 3), torch.rand(50, 3) + 0.1
    statistics, expected = unit_statistics(Latents(loc, scale, rates_of(loc, scale))), statistics_of(loc, scale, 7)
    torch.testing.assert_close(statistics.rate, expected.rate)
    torch.testing.assert_close(statistics.variance, expected.variance)
    with pytest.raises(ValueError, match=r"^latents must"):
        unit_statistics(Latents(loc[:0], scale[:0], loc[:0]))
