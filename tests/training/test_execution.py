"""Several steps in one call of Lightning's loop change nothing but the speed, and are refused where they would."""

import csv

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelCheckpoint,
    Timer,
)

from tests.conftest import TINY
from tests.end_to_end.runs import assert_equal_weights
from tests.tiny import NUM_BATCHES, Noise, differing, fit, module, trainer
from vae_lightning.callbacks.checkpoints import Checkpoints
from vae_lightning.callbacks.progress import ProgressBar
from vae_lightning.callbacks.throughput import Throughput
from vae_lightning.data.loader import ImageSet
from vae_lightning.errors import UserError
from vae_lightning.runs.records import RunDir
from vae_lightning.training.execution import (
    Unprofiled,
    execute_together,
    lightning_options,
    stepping_options,
)
from vae_lightning.training.module import VAEModule
from vae_lightning.training.stepper import STEP_HOOKS, asking_only, step_listeners

# Nothing but speed


@pytest.mark.parametrize(
    ("data", "stepping", "options", "num_steps"),
    [
        ({}, {}, {}, 2 * NUM_BATCHES),
        ({"binarize": "dynamic"}, {}, {}, 2 * NUM_BATCHES),
        ({"horizontal_flip": True}, {}, {}, 2 * NUM_BATCHES),
        ({}, {}, {"precision": "bf16-mixed"}, 2 * NUM_BATCHES),  # an autocast context might keep old weights
        ({}, {"accumulate_grad_batches": 2}, {}, 2 * 6),
        ({}, {"accumulate_grad_batches": 3}, {}, 2 * 4),
        ({}, {"accumulate_grad_batches": 100}, {}, 2),
        ({}, {"gradient_clip_val": 0.5}, {}, 2 * NUM_BATCHES),
        ({}, {"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"}, {}, 2 * NUM_BATCHES),
        ({}, {}, {"limit_train_batches": 7}, 2 * 7),
        ({}, {}, {"limit_train_batches": 0.5}, 2 * 5),
        ({}, {}, {"overfit_batches": 4}, 2 * 4),
        ({}, {}, {"check_val_every_n_epoch": 2}, 2 * NUM_BATCHES),
        (
            {"binarize": "dynamic", "horizontal_flip": True},
            {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5},
            {"precision": "bf16-mixed", "limit_train_batches": 9},
            2 * 5,
        ),
    ],
    ids=str,
)
def test_training_is_the_same_however_many_steps_are_taken_at_once(data, stepping, options, num_steps):
    def run(steps):
        return fit(steps, trained=module(**stepping), data=Noise(**data), **options)

    single, few, whole_epochs = run(1), run(3), run(16)
    assert single.trainer.global_step == num_steps
    assert single.of("train")
    for together in (few, whole_epochs):
        assert differing(together.weights, single.weights) == []
        assert together.trainer.global_step == num_steps
        assert together.of("train") == single.of("train")
        assert together.rows == single.rows


class Random(Callback):
    """Draws random numbers between epochs, as pictures may."""

    def on_train_epoch_end(self, *_):
        torch.rand(3)


def test_each_epoch_has_a_random_state_of_its_own():
    assert differing(fit(3, Random()).weights, fit(1).weights) == []


def without_times(metrics):
    return {
        name: value
        for name, value in metrics.items()
        if name not in ("seconds", "train/images_per_s", "peak_memory_mb")
    }


@pytest.mark.parametrize("options", [["data.binarize=dynamic", "trainer.precision=bf16-mixed"], ["trainer=cpu"]])
def test_a_run_leaves_the_same_figures(train, options):
    extra = [*options, "callbacks=none", "trainer.log_every_n_steps=2", "trainer.accumulate_grad_batches=2"]
    single, *others = (
        train(*extra, f"trainer.steps_per_execution={steps}", name=f"of_{steps}") for steps in (1, 3, 16)
    )
    assert "train/loss" in (single.path / "metrics.csv").read_text()
    for run in others:
        assert_equal_weights(run, single)
        assert (run.path / "metrics.csv").read_text() == (single.path / "metrics.csv").read_text()
        assert without_times(run.metrics()) == without_times(single.metrics())
    assert single.metrics()["steps"] == 2 * 5


def of_training(run):
    """The rows of metrics.csv; a run that was resumed has those of its earlier tests besides."""
    with (run.path / "metrics.csv").open() as stream:
        rows = [{name: value for name, value in row.items() if "test/" not in name} for row in csv.DictReader(stream)]
    return [row for row in rows if row["train/loss"] or row["val/loss"]]


def test_a_run_may_be_resumed_with_other_executions(command, tmp_path):
    whole, part = RunDir(tmp_path / "whole"), RunDir(tmp_path / "part")
    bare = [*TINY[:6], "callbacks=none", "trainer.log_every_n_steps=2"]
    command(*bare, "trainer.steps_per_execution=1", "trainer.max_epochs=3", f"run_dir={whole.path}")
    command(*bare, "trainer.steps_per_execution=4", "trainer.max_epochs=1", f"run_dir={part.path}")
    command(f"resume={part.path}", "trainer.steps_per_execution=2", "trainer.max_epochs=2")
    command(f"resume={part.path}", "trainer.steps_per_execution=16", "trainer.max_epochs=3")
    assert_equal_weights(whole, part)
    assert of_training(part) == of_training(whole)
    assert part.metrics()["steps"] == whole.metrics()["steps"] == 3 * 9


# How many


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"num_train": 4 * 1000}, 32),  # more would do no good
        ({"num_train": 4 * 90}, 11),  # an eighth of the epoch
        ({"num_train": 4 * 16}, 2),
        ({"num_train": 4 * 7}, 1),
        ({"num_train": 64 * 100, "batch_size": 64, "image_size": 64}, 5),  # of 786 kB each
        ({"num_train": 128 * 16, "batch_size": 128, "image_size": 64, "channels": 1}, 2),
        ({"num_train": 256 * 8, "batch_size": 256, "image_size": 128}, 1),  # 12.6 MB
    ],
)
def test_auto_is_as_many_as_are_bounded_by_their_bytes_and_the_epoch(options, steps, monkeypatch):
    def one_pixel(self):
        size = self.image_size
        pixels = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(self.num_train, size, size, self.channels)
        counts = {"train": self.num_train, "val": 1, "test": 1}
        return {split: ImageSet(pixels, torch.arange(count), None) for split, count in counts.items()}

    monkeypatch.setattr(Noise, "load_splits", one_pixel)  # megabytes of images in no memory
    data = Noise(**options)
    execute_together("auto", trainer(), data)
    assert data.steps_per_execution == steps


def test_auto_goes_by_the_batches_that_a_limit_leaves():
    data = Noise(num_train=4 * 100)
    execute_together("auto", trainer(limit_train_batches=24), data)
    assert (data.max_train_batches, data.steps_per_execution) == (24, 3)


def watching(hook):
    return type("Watching", (Callback,), {hook: lambda self, *args: None})()


BATCH_HOOKS = ("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward")
BATCH_HOOKS += ("on_after_backward", "on_before_optimizer_step")


@pytest.mark.parametrize(
    ("callbacks", "options", "name"),
    [
        *(([watching(hook)], {}, "Watching") for hook in BATCH_HOOKS),
        ([EMAWeightAveraging()], {}, "EMAWeightAveraging"),
        ([LearningRateMonitor()], {"logger": True}, "LearningRateMonitor"),
        ([Timer("00:00:01:00")], {}, "Timer"),
        ([], {"max_time": "00:00:01:00"}, "Timer"),
        ([ModelCheckpoint(every_n_train_steps=3)], {"enable_checkpointing": True}, "ModelCheckpoint"),
        ([], {"val_check_interval": 0.5}, "val_check_interval=0.5"),
        ([], {"val_check_interval": 3}, "val_check_interval=3"),
        ([], {"val_check_interval": 1}, "val_check_interval=1"),
        ([], {"max_steps": 7}, "max_steps=7"),
    ],
)
def test_what_goes_by_single_batches_gets_them(callbacks, options, name, tmp_path):
    watched = trainer(*callbacks, default_root_dir=tmp_path, **options)
    data = Noise(num_train=4 * 100)
    execute_together("auto", watched, data)
    assert data.steps_per_execution == 1
    execute_together(1, watched, data)
    assert data.steps_per_execution == 1
    with pytest.raises(UserError) as error:
        execute_together(2, watched, data)
    assert str(error.value) == f"trainer.steps_per_execution=2: {name} goes by single batches; choose 1 or auto"


@pytest.mark.parametrize(
    "callbacks",
    [
        [],
        [ProgressBar(), Throughput()],
        [watching("on_train_epoch_end"), watching("on_validation_batch_end"), watching("on_train_start")],
        [ModelCheckpoint(every_n_epochs=2), ModelCheckpoint(monitor="val/elbo")],
        [Checkpoints(every_minutes=0.01, every_steps=2)],
        [EarlyStopping("val/elbo"), GradientAccumulationScheduler({0: 1})],
    ],
)
def test_what_goes_by_epochs_lets_steps_be_taken_together(callbacks, tmp_path):
    data = Noise(num_train=4 * 100)
    shown = any(isinstance(callback, ProgressBar) for callback in callbacks)  # else Lightning would add its own bar
    options = {"enable_progress_bar": shown, "enable_checkpointing": True, "default_root_dir": tmp_path}
    execute_together("auto", trainer(*callbacks, **options), data)
    assert data.steps_per_execution == 12
    execute_together(5, trainer(*callbacks, **options), data)
    assert data.steps_per_execution == 5


@pytest.mark.parametrize("wrong", [0, -1, True, False, "many", 2.5, None])
def test_other_numbers_of_steps_are_refused(wrong):
    with pytest.raises(UserError) as error:
        execute_together(wrong, trainer(), Noise())
    assert str(error.value) == f"trainer.steps_per_execution={wrong}: choose auto or a whole number of at least 1"


def test_the_command_refuses_no_steps_before_it_writes_a_run(error_of, tmp_path):
    message = error_of(*TINY, "trainer.steps_per_execution=0", f"run_dir={tmp_path / 'run'}")
    assert message == "trainer.steps_per_execution=0: choose auto or a whole number of at least 1"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "watcher"),
    [
        ("averaging=ema", "EMA"),
        ("+trainer.max_time=00:00:01:00", "Timer"),
        ("+trainer.val_check_interval=3", "val_check_interval=3"),
    ],
)
def test_the_command_tells_what_goes_by_single_batches(error_of, option, watcher):
    message = error_of(*TINY, *option.split(), "trainer.steps_per_execution=4")
    assert message == f"trainer.steps_per_execution=4: {watcher} goes by single batches; choose 1 or auto"


# Limits


@pytest.mark.parametrize(
    ("options", "num_batches"),
    [
        ({}, NUM_BATCHES),
        ({"limit_train_batches": 4}, 4),
        ({"limit_train_batches": 1}, 1),
        ({"limit_train_batches": 1.0}, NUM_BATCHES),
        ({"limit_train_batches": 100}, NUM_BATCHES),
        ({"limit_train_batches": 0.5}, 5),
        ({"overfit_batches": 3}, 3),
        ({"overfit_batches": 0.2}, 2),
    ],
)
def test_limits_are_of_batches_and_pass_to_the_loader(options, num_batches):
    data, limited = Noise(), trainer(**options)
    execute_together(2, limited, data)
    assert data.num_train_batches == num_batches
    assert limited.limit_train_batches == 1.0  # of executions: Lightning leaves none out
    loader = data.train_dataloader()
    assert len(loader) == -(-num_batches // 2)
    assert sum(len(batches.images) for batches in loader) == num_batches


def test_a_limit_that_leaves_nothing_is_refused(error_of):
    message = error_of(*TINY, "trainer.limit_train_batches=0.1")
    assert message == "trainer.limit_train_batches=0.1: of 9 batches none is left to train on"


def test_settings_are_shared_out_between_lightning_and_the_module():
    settings = {"_target_": "T", "compile": False, "steps_per_execution": 3, "max_epochs": 2}
    settings |= {"accumulate_grad_batches": 4, "gradient_clip_val": None, "gradient_clip_algorithm": "value"}
    assert lightning_options(settings) == {"_target_": "T", "max_epochs": 2}
    assert stepping_options(settings) == {"accumulate_grad_batches": 4, "gradient_clip_algorithm": "value"}
    assert stepping_options({"max_epochs": 2}) == {}


# The profiler


def test_a_run_is_not_profiled_unless_it_is_asked_for(tmp_path):
    from lightning.pytorch.profilers import SimpleProfiler

    from tests.test_config import composed
    from vae_lightning.training.run import build

    profilers = [
        build(composed(*TINY, *extra), RunDir(tmp_path)).trainer.profiler
        for extra in ([], ["+trainer.profiler=simple"])
    ]
    assert [type(profiler) for profiler in profilers] == [Unprofiled, SimpleProfiler]


def test_a_profiler_that_is_asked_for_reports(train):
    run = train("+trainer.profiler=simple", "callbacks=none", "trainer.max_epochs=1")
    assert "run_training_epoch" in (run.path / "train.log").read_text()


def test_unprofiled_contexts_may_be_nested_and_let_errors_pass():
    profiler = Unprofiled()
    with pytest.raises(KeyError), profiler.profile("outer"), profiler.profile("inner"):
        raise KeyError
    with profiler.profile("again"):
        pass
    assert profiler.summary() == ""


# Who is asked within a step


def listener(hooks, heard):
    hear = {hook: lambda self, *_, hook=hook: heard.append(hook) for hook in hooks}
    return type("Listener", (Callback,), hear)()


def test_callbacks_that_listen_are_asked_at_every_step_and_others_at_none():
    heard, asked, asking = [], [], []

    class Counted(Callback):
        """Has no hook within a step, and notes that one was looked for."""

        def __getattribute__(self, name):
            if name in STEP_HOOKS and asking:
                asked.append(name)
            return super().__getattribute__(name)

    plain = VAEModule._train_on

    def noting(self, *args, **kwargs):
        asking.append(True)
        plain(self, *args, **kwargs)
        asking.clear()

    trained = module()
    trained._train_on = noting.__get__(trained)
    listening = listener(["on_before_backward", "on_before_optimizer_step"], heard)
    fit(1, Counted(), listening, listener(["on_train_epoch_end"], heard), trained=trained, max_epochs=1)
    assert heard == ["on_before_backward", "on_before_optimizer_step"] * NUM_BATCHES + ["on_train_epoch_end"]
    assert asked == []


def test_everyone_is_asked_again_after_an_error():
    everyone = [listener([hook], []) for hook in ("on_after_backward", "on_train_start", "on_before_zero_grad")]
    asked = trainer(*everyone)
    before = asked.callbacks
    assert step_listeners(asked) == [everyone[0], everyone[2]]
    with pytest.raises(KeyboardInterrupt), asking_only([], asked):
        interrupt(asked)
    assert asked.callbacks is before


def interrupt(asked):
    assert asked.callbacks == []
    raise KeyboardInterrupt
