"""How long epoch and run will still take, by a clock that the test moves."""

import time

import pytest

from vae_lightning.callbacks.time_left import TimeLeft, after_last_epoch


@pytest.fixture
def wait(monkeypatch):
    """`wait(2)` lets two seconds pass."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return lambda seconds: now.append(now.pop() + seconds)


def left(estimate, *of):
    return [None if end is None else pytest.approx(end - time.monotonic()) for end in estimate.ends(*of)]


def epoch(estimate, wait, batches=range(10, 101, 10), seconds=1.0, validation=3.0, pictures=2.0):
    estimate.begin_epoch(batches.start - batches.step)
    for done in batches:
        wait(seconds)
        estimate.count(done)
    estimate.begin_validation()
    wait(validation)
    estimate.end_validation()
    wait(pictures)


def test_nothing_is_known_before_the_first_batch():
    estimate = TimeLeft()
    estimate.begin_epoch(0)
    assert estimate.ends(100, 3) == (None, None)


def test_the_first_batches_which_set_everything_up_are_soon_forgotten(wait):
    estimate = TimeLeft()
    estimate.begin_epoch(0)
    wait(50)
    estimate.count(10)
    assert left(estimate, 100, 1) == [450, 450 + 500]
    wait(1)
    estimate.count(20)
    assert left(estimate, 100, 1) == [8, 8 + 10]
    assert left(estimate, 100, None) == [8, None]


def begin(estimate, wait, first, *counts, seconds):
    """An epoch begins after its first batches, and so many are counted each time that so many seconds have passed."""
    estimate.begin_epoch(first)
    for done in counts:
        wait(seconds)
        estimate.count(done)


def test_an_epoch_has_its_validation_and_a_run_the_pictures_of_its_epochs(wait):
    estimate = TimeLeft()
    epoch(estimate, wait, seconds=4.0)
    epoch(estimate, wait)
    estimate.begin_epoch(0)
    wait(1)
    estimate.count(10)
    assert left(estimate, 100, 2) == [9 + 3, 9 + 3 + 2 * 15]  # the first epoch is no measure


def test_an_epoch_that_is_gone_on_with_counts_from_its_middle(wait):
    estimate = TimeLeft()
    begin(estimate, wait, 60, 70, 80, seconds=2)
    assert left(estimate, 100, 1) == [4, 4 + 20]


def test_a_validation_within_an_epoch_slows_no_batches(wait):
    estimate = TimeLeft()
    begin(estimate, wait, 0, 10, 20, seconds=1)
    estimate.begin_validation()
    wait(60)
    estimate.end_validation()
    wait(1)
    estimate.count(30)
    assert left(estimate, 100, 0) == [7 + 60, 7 + 60]


class Drawing:
    def __init__(self, every, took):
        self.every, self.took = every, took

    def is_due(self, epoch):
        return self.every is not None and epoch % self.every == 0


def test_pictures_that_come_after_the_last_epoch_alone_are_counted_once_they_are_known():
    known, of_each = Drawing(4, 2.5), Drawing(1, 9.0)
    assert after_last_epoch([of_each, Drawing(5, 9.0), object()], 10) == (0.0, False)
    assert after_last_epoch([known, of_each, Drawing(3, 1.5)], 10) == (4.0, False)
    assert after_last_epoch([known, Drawing(None, None)], 10) == (2.5, True)
    assert after_last_epoch([known, Drawing(10, None)], 10) == (2.5, True)
