import time

import pytest
from lightning.pytorch import Callback, Trainer

from tests.callbacks.fakes import FakeData
from vae_lightning.callbacks import throughput
from vae_lightning.callbacks.throughput import Throughput


class FakeTime:
    """A clock on which a batch takes 0.1 s, a batch of the first five 7 s, a validation batch 50 s."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Pass(Callback):
    def __init__(self, clock):
        self.clock = clock
        self.batches = 0

    def on_train_batch_start(self, *_):
        self.batches += 1
        self.clock.now += 7.0 if self.batches <= 5 else 0.1

    def on_validation_batch_end(self, *_):
        self.clock.now += 50.0

    def on_train_epoch_end(self, *_):
        self.clock.now += 1000.0


@pytest.fixture
def clock(monkeypatch):
    clock = FakeTime()
    monkeypatch.setattr(throughput, "time", clock)
    return clock


@pytest.mark.parametrize("options", [{}, {"val_check_interval": 2}])
def test_only_training_counts_and_not_its_first_batches(fit, clock, tensorboard, options):
    callback = Throughput(every_n_steps=4)
    trainer = fit(Pass(clock), callback, **options)  # 3 epochs of 6 batches of 4 images
    assert callback.mean_images_per_second == pytest.approx(40)
    events = tensorboard().Scalars("train/images_per_s")
    assert [event.value for event in events] == pytest.approx([40] * len(events))
    assert [event.step for event in events] == [5, 9, 13, 17]  # the sixth batch is the first epoch's last
    assert trainer.callback_metrics["train/images_per_s"] == pytest.approx(40)
    assert trainer.progress_bar_metrics["img/s"] == 40.0


def test_every_short_epoch_has_a_figure_of_its_own(fit, clock, tensorboard):
    fit(Pass(clock), Throughput(every_n_steps=50))
    assert [event.step for event in tensorboard().Scalars("train/images_per_s")] == [5, 11, 17]


def test_all_ranks_count(fit, clock, monkeypatch):
    monkeypatch.setattr(Trainer, "world_size", 3)
    callback = Throughput(every_n_steps=4)
    monkeypatch.setattr(Throughput, "_log", lambda *_: None)
    fit(Pass(clock), callback, use_distributed_sampler=False)
    assert callback.mean_images_per_second == pytest.approx(120)


def test_none_before_there_is_a_measurement(fit):
    callback = Throughput()
    assert callback.mean_images_per_second is None
    fit(callback, max_epochs=1, limit_train_batches=5)
    assert callback.mean_images_per_second is None


def test_measures_real_time(fit):
    class Slow(Callback):
        def on_train_batch_start(self, *_):
            time.sleep(0.02)

    callback = Throughput()
    fit(Slow(), callback)
    assert 1 < callback.mean_images_per_second < 200


def test_every_n_steps_must_be_positive():
    with pytest.raises(ValueError, match=r"^every_n_steps must be at least 1, got 0$"):
        Throughput(every_n_steps=0)


class PassSeveral(Pass):
    """0.1 s a batch, however many come at once; and 7 s for each of the first five."""

    def on_train_batch_start(self, trainer, pl_module, batch, *_):
        for _ in batch.images:
            super().on_train_batch_start()


@pytest.mark.parametrize(
    ("steps", "logged_at"),
    [
        (2, [4, 6, 8]),  # three executions with the first five batches in them; then two make four batches
        (4, [2, 4]),  # four batches and two in turns
        (5, [1, 2, 4]),  # five and one: the first epoch still gets a figure
        (16, [1, 2]),  # epoch by epoch
    ],
)
def test_batches_that_come_at_once_count_one_by_one(fit, clock, tensorboard, steps, logged_at):
    callback = Throughput(every_n_steps=4)
    fit(PassSeveral(clock), callback, data=FakeData(steps=steps))
    assert callback.mean_images_per_second == pytest.approx(40)
    events = tensorboard().Scalars("train/images_per_s")
    assert [event.value for event in events] == pytest.approx([40] * len(events))
    assert [event.step for event in events] == logged_at
