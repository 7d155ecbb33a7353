"""Where the time goes: by what is done, each second once, and by operations."""

import time

import pytest

from tests.trained import DIGITS
from vae_lightning.training.profiling import StepProfiler


@pytest.fixture
def wait(monkeypatch):
    """`wait(2)` lets two seconds pass."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return lambda seconds: now.append(now.pop() + seconds)


def epoch(profiler, wait, factor):
    with profiler.profile("run_training_epoch"):
        wait(1 * factor)
        with profiler.profile("[Strategy]SingleDeviceStrategy.training_step"):
            wait(2 * factor)
            with profiler.profile("backward_pass"):
                wait(3 * factor)
            with profiler.profile("optimizer_step_without_closure"):
                wait(1 * factor)
                with profiler.profile("[LightningModule]VAEModule.optimizer_step"):
                    wait(2 * factor)
        with profiler.profile("[Callback]Checkpoints{'a': 1}.on_train_batch_end"):
            wait(1 * factor)


def test_each_second_counts_once_and_is_of_the_second_epoch(wait):
    profiler = StepProfiler()
    assert profiler.summary() == ""
    for factor in (5, 1):
        epoch(profiler, wait, factor)
    title, _, *rows = profiler.summary().splitlines()
    assert title == "epoch 2 of this training"
    assert [" ".join(row.split()) for row in rows[:6]] == [
        "backward pass 1 3.000 30.0%",
        "optimizer step 1 3.000 30.0%",
        "forward pass, loss and noise 1 2.000 20.0%",
        "callback Checkpoints 1 1.000 10.0%",
        "Lightning's loop and hooks 1 1.000 10.0%",
        "all 10.000 100.0%",
    ]
    assert rows[-1] == "operations are watched in the third epoch, and trainer.max_epochs has 2"


def test_debug_profile_tells_where_the_time_went(command, tmp_path, capfd):
    run = tmp_path / "run"
    few = ["callbacks=[progress]", "logger=none", "trainer.limit_train_batches=2"]
    command("debug=profile", *DIGITS, *few, f"run_dir={run}")
    text = (run / "profile.txt").read_text()
    parts, _, operations = text.partition("\n\n")
    for name in ("backward pass", "optimizer step", "forward pass", "validation", "callback Checkpoints"):
        assert f"\n{name}" in parts
    assert "\naten::" in operations
    assert max(map(len, text.splitlines())) <= 120
    told = capfd.readouterr()
    assert f"profile         {run}/profile.txt\n" in told.out
    assert "USDT" not in told.err
    (run / "profile.txt").unlink()
    command(f"resume={run}", "trainer.max_epochs=4")  # a stored config chooses no profiler
    assert not (run / "profile.txt").exists()
