"""The mean of an epoch's losses is that of all its images, whatever their batches."""

import math

import pytest
import torch

from vae_lightning.training.epoch_mean import EpochMean


def alone(sums):
    return sums


def test_every_image_counts_alike():
    mean = EpochMean(torch.device("cpu"))
    assert mean.value(alone) is None
    mean.add(torch.tensor([1.0, 2.0]))
    mean.add(torch.tensor([6.0]))
    assert mean.value(alone) == 3.0
    assert mean.value(lambda sums: sums + torch.tensor([3.0, 1.0])) == 3.0


def test_batches_that_were_skipped_do_not_count():
    mean = EpochMean(torch.device("cpu"), skips=True)
    mean.add(torch.tensor([1.0, 5.0]))
    for bad in (math.nan, math.inf):
        mean.add(torch.tensor([bad, 4.0]))
    assert mean.value(alone) == 3.0
    assert mean.state().tolist() == [6.0, 2.0]


def test_small_losses_are_not_lost_beside_a_large_sum():
    mean = EpochMean(torch.device("cpu"))
    mean.add(torch.tensor([2.0**26]))
    for _ in range(1000):
        mean.add(torch.tensor([0.5]))
    assert mean.value(alone) == pytest.approx((2.0**26 + 500) / 1001, rel=1e-12)


def test_it_goes_on_from_its_state():
    first, second = EpochMean(torch.device("cpu")), EpochMean(torch.device("cpu"))
    first.add(torch.tensor([0.1, 0.2]))
    state = first.state()
    first.add(torch.tensor([0.7]))
    assert state.tolist() == [pytest.approx(0.3), 2.0]
    second.restore(state)
    second.add(torch.tensor([0.7]))
    assert second.value(alone) == first.value(alone)
