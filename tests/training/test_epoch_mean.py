"""The mean of an epoch's losses is that of all its images, whatever their batches."""

import math

import pytest
import torch

from vae_lightning.training.epoch_mean import EpochMean


def alone(sums):
    return sums


def took(mean, losses):
    mean.add(torch.tensor(losses))
    mean.count(len(losses))


def test_every_image_counts_alike():
    mean = EpochMean(torch.device("cpu"))
    assert mean.value(alone) is None
    took(mean, [1.0, 2.0])
    took(mean, [6.0])
    assert mean.value(alone) == 3.0
    assert mean.value(lambda sums: sums + torch.tensor([3.0, 1.0])) == 3.0


def test_batches_that_were_skipped_do_not_count():
    mean = EpochMean(torch.device("cpu"), skips=True)
    took(mean, [1.0, 5.0])
    for bad in (math.nan, math.inf):
        took(mean, [bad, 4.0])
    assert mean.value(alone) == 3.0
    assert mean.state().tolist() == [6.0, 2.0]


def test_small_losses_are_not_lost_beside_a_large_sum():
    mean = EpochMean(torch.device("cpu"))
    took(mean, [2.0**26])
    for _ in range(1000):
        took(mean, [0.5])
    assert mean.value(alone) == pytest.approx((2.0**26 + 500) / 1001, rel=1e-12)


def test_it_goes_on_from_its_state():
    first, second = EpochMean(torch.device("cpu")), EpochMean(torch.device("cpu"))
    took(first, [0.1, 0.2])
    state = first.state()
    took(first, [0.7])
    assert state.tolist() == [pytest.approx(0.3), 2.0]
    second.restore(state)
    took(second, [0.7])
    assert second.value(alone) == first.value(alone)
