"""What Lightning's users plug in does what it does there, or is refused in a line that says what to choose."""

import csv

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar

from tests.conftest import TINY
from tests.end_to_end.runs import assert_equal_weights
from tests.test_config import composed
from tests.tiny import NUM_BATCHES, fit
from tests.tiny import module as plain_module
from tests.training.recorded_operators import RecordedOperators
from vae_lightning.runs.records import RunDir
from vae_lightning.training import captured
from vae_lightning.training.module import VAEModule
from vae_lightning.training.run import build

NUM_STEPS = 18  # of two epochs of nine batches


def plugged(name, *settings):
    """As a user types it."""
    return f"+callbacks.own={{{','.join([f'_target_:lightning.pytorch.callbacks.{name}', *settings])}}}"


def rows_of(run, column):
    """The rows of metrics.csv that have a figure of this name."""
    with (run.path / "metrics.csv").open() as stream:
        return [row for row in csv.DictReader(stream) if row.get(column)]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_learning_rate_monitor_logs_the_rate_that_the_step_had(train, accumulate):
    options = [f"trainer.accumulate_grad_batches={accumulate}", "trainer.log_every_n_steps=1", "schedule=cosine"]
    run = train(plugged("LearningRateMonitor", "logging_interval:step"), "callbacks=none", *options)
    rows = rows_of(run, "lr-Adam")
    assert [int(row["step"]) for row in rows] == list(range({1: NUM_STEPS, 2: 10}[accumulate]))
    assert [row["lr-Adam"] for row in rows] == [row["learning_rate"] for row in rows_of(run, "learning_rate")]
    assert len({row["lr-Adam"] for row in rows}) == len(rows)


def test_learning_rate_monitor_goes_on_with_a_resumed_run(train, command):
    words = [plugged("LearningRateMonitor", "logging_interval:step"), "trainer.log_every_n_steps=1", "schedule=cosine"]
    run = train(*words, "trainer.accumulate_grad_batches=2", "callbacks=none")
    command(f"resume={run.path}", "trainer.max_epochs=3")
    rows = rows_of(run, "lr-Adam")
    assert [int(row["step"]) for row in rows] == list(range(15))
    assert [row["lr-Adam"] for row in rows] == [row["learning_rate"] for row in rows_of(run, "learning_rate")]


def test_device_stats_monitor_logs_beside_the_steps_figures(train):
    options = ["trainer.accumulate_grad_batches=2", "trainer.log_every_n_steps=2", "callbacks=none"]
    run = train(plugged("DeviceStatsMonitor"), *options)
    for hook in ("on_train_batch_start", "on_train_batch_end"):
        steps = {row["step"] for row in rows_of(run, f"DeviceStatsMonitor.{hook}/cpu_vm_percent")}
        assert steps == {row["step"] for row in rows_of(run, "train/loss")} == {"1", "3", "5", "7", "9"}


@pytest.mark.parametrize("name", ["RichProgressBar", "TQDMProgressBar"])
def test_another_progress_bar_takes_the_place_of_the_shipped_one(name, tmp_path, told):
    trainer = build(composed(*TINY, plugged(name)), RunDir(tmp_path)).trainer
    assert [type(one).__name__ for one in trainer.callbacks if isinstance(one, LightningProgressBar)] == [name]
    assert "callbacks.progress: left out, for callbacks.own shows the progress" in told()


def test_rich_progress_bar_counts_the_batches(train, capsys):
    run = train(plugged("RichProgressBar", "leave:true"), "trainer.max_epochs=1")
    assert run.is_tested()
    assert "9/9" in capsys.readouterr().out


def test_two_other_progress_bars_are_refused(error_of):
    second = plugged("TQDMProgressBar").replace("own", "second")
    message = error_of(*TINY, plugged("RichProgressBar"), second)
    assert message == "callbacks.second: a second progress bar beside callbacks.own; leave one out"


def test_a_timer_stops_the_run(train):
    run = train(plugged("Timer", "duration:{seconds:1}"), "trainer.max_epochs=1000000", "callbacks.progress=null")
    assert 0 < run.metrics()["epochs"] < 1000000
    assert "test/elbo" in run.metrics()
    assert run.status()["status"] == "finished"


def test_a_timer_that_leaves_no_time_for_a_step_is_told(error_of, tmp_path):
    message = error_of(*TINY, plugged("Timer", "duration:{seconds:0}"), f"run_dir={tmp_path / 'run'}")
    expected = "the training was stopped before its first step, so there is nothing to test; give it more time"
    assert message == expected


REFUSED = {
    "StochasticWeightAveraging,swa_lrs:0.01": "its averages would be in no checkpoint; choose averaging=ema",
    "GradientAccumulationScheduler,scheduling:{4:2}": (
        "gradients are accumulated by trainer.accumulate_grad_batches, in all epochs alike"
    ),
    "LearningRateFinder": "give optimizer.lr, and compare some: -m optimizer.lr=0.0003,0.001,0.003",
    "BatchSizeFinder": "the config is to say what a run was trained with; give data.batch_size",
}


@pytest.mark.parametrize("plug_in", REFUSED)
def test_what_can_not_work_is_refused_with_what_can(error_of, tmp_path, plug_in):
    message = error_of(*TINY, plugged(plug_in), f"run_dir={tmp_path / 'run'}")
    assert message == f"callbacks.own: {plug_in.partition(',')[0]} can't work here: {REFUSED[plug_in]}"
    assert not (tmp_path / "run").exists()


def test_model_checkpoint_saves_at_its_steps_and_is_gone_on_from_bit_for_bit(train, command, tmp_path):
    own = plugged("ModelCheckpoint", "every_n_train_steps:4", "save_top_k:-1", "filename:'{step}'")
    whole = train(own, "trainer.accumulate_grad_batches=2", "callbacks=none", name="whole")
    part = train(own, "trainer.accumulate_grad_batches=2", "callbacks=none", name="part")
    files = {path.stem: path for path in part.checkpoints.glob("*.ckpt")}
    assert files.keys() == {"best", "last", "step=4", "step=8"}
    for steps in (4, 8):
        assert torch.load(files[f"step={steps}"], weights_only=True)["global_step"] == steps
    for name in ("best", "last", "step=8"):
        files[name].unlink()
    command(f"resume='{files['step=4']}'", "trust=[lightning.pytorch.callbacks.ModelCheckpoint]")
    assert_equal_weights(part, whole)


@pytest.mark.parametrize(("profiler", "told"), [("simple", "run_training_batch"), ("advanced", "optimizer_step")])
def test_profilers_report(train, profiler, told):
    run = train(f"+trainer.profiler={profiler}", "callbacks=none", "trainer.max_epochs=1")
    assert told in (run.path / "train.log").read_text()


# A module of one's own


class Own(VAEModule):
    def training_step(self, batches, batch_idx):
        super().training_step(batches, batch_idx)
        self.log("own/brightness", batches.images.float().mean())
        self.log("own/of_epoch", float(batch_idx), on_step=False, on_epoch=True, batch_size=1)

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        self.log("own/val", float(batch_idx), batch_size=len(batch.images))


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_derived_module_logs_at_the_steps_that_it_takes(accumulate):
    trained = plain_module(accumulate_grad_batches=accumulate)
    trained.__class__ = Own
    fitted = fit(1, trained=trained, log_every_n_steps=1)
    of = {name: [(step, row[name]) for step, row in fitted.rows if name in row] for name in ("own/val", "own/of_epoch")}
    per_epoch = -(-NUM_BATCHES // accumulate)
    ends = [per_epoch - 1, 2 * per_epoch - 1]
    assert of["own/val"] == [(end, 0.5) for end in ends]
    assert of["own/of_epoch"] == [(end, (NUM_BATCHES - 1) / 2) for end in ends]
    steps = [step for step, row in fitted.rows if "own/brightness" in row]
    assert sorted(set(steps)) == [step for step, _ in fitted.of("train")] == list(range(2 * per_epoch))


def test_what_callbacks_log_at_an_epochs_end_stands_at_its_last_step():
    class Own(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            pl_module.log("own/epoch", float(trainer.current_epoch))

    fitted = fit(4, Own())
    assert [(step, row["own/epoch"]) for step, row in fitted.rows if "own/epoch" in row] == [(10, 0.0), (21, 1.0)]


# What listens within a step


@pytest.mark.parametrize("listens", [True, False])
def test_a_step_that_a_callback_listens_within_is_not_captured_and_that_is_told(listens, told, monkeypatch):
    class Listening(Callback):
        def __init__(self):
            self.heard = []

    if listens:
        Listening.on_after_backward = lambda self, trainer, module: self.heard.append(trainer.global_step)
    recorder, listening = RecordedOperators(), Listening()
    monkeypatch.setattr(captured, "_is_on_cuda", lambda trainer: True)
    monkeypatch.setattr(captured, "CudaGraphs", lambda: recorder)
    fit(1, listening, max_epochs=1)
    lines = [line for line in told() if "CUDA graph" in line]
    if listens:
        assert listening.heard == list(range(NUM_BATCHES))
        assert recorder.num_replayed == 0
        assert lines == ["steps are not captured as a CUDA graph: Listening listens within a step"]
    else:
        assert recorder.num_replayed == NUM_BATCHES - 3
        assert lines == []
