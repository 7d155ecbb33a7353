"""Several commands on one run: one trains, any number read, and none loses what another has written."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from lightning.pytorch import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import TINY
from vae_lightning.disk.locks import hold
from vae_lightning.errors import UserError
from vae_lightning.loggers.tensorboard import TensorBoard, tag_of
from vae_lightning.runs.records import GONE, RunDir
from vae_lightning.runs.status import record_status
from vae_lightning.runs.training_lock import COMMAND_LOCK, trainer_of


def contents(run: RunDir) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.path.rglob("*") if path.is_file() and ".lock" not in path.name}


def test_a_run_that_is_being_trained_is_not_resumed_and_not_changed(moved, digits_run, error_of):
    run = moved(digits_run)
    with hold(run.path / COMMAND_LOCK):
        before = contents(run)
        told = error_of(f"resume={run.path}", "trainer.max_epochs=5")
        assert contents(run) == before
    holder = f"process {os.getpid()} on {os.uname().nodename}"
    assert told == f"resume={run.path}: {holder} is still training it"


def test_a_lock_that_is_taken_between_looking_and_training_counts(moved, digits_run, error_of, monkeypatch):
    run = moved(digits_run)
    monkeypatch.setattr("vae_lightning.runs.opening.check_idle", lambda *_: None)
    with hold(run.path / COMMAND_LOCK):
        before = contents(run)
        assert error_of(f"resume={run.path}", "trainer.max_epochs=5").endswith(" is still training it")
        assert contents(run) == before


@pytest.mark.parametrize("resumed", [False, True])
def test_a_run_is_locked_while_it_trains_and_no_longer(command, moved, digits_run, tmp_path, monkeypatch, resumed):
    from vae_lightning.training import run as training

    run, seen = moved(digits_run), []
    original = training.run

    def spied(parts):
        seen.append(trainer_of(parts.run_dir.path))
        assert RunDir(parts.run_dir.path).is_training()
        return original(parts)

    monkeypatch.setattr(training, "run", spied)
    if resumed:
        command(f"resume={run.path}", "trainer.max_epochs=3", "callbacks=none")
    else:
        run = RunDir(tmp_path / "new")
        command(*TINY, "callbacks=none", "logger=none", "trainer.max_epochs=1", f"run_dir={run.path}")
    assert seen == [f"process {os.getpid()} on {os.uname().nodename}"]
    assert trainer_of(run.path) == ""
    assert run.real_status()["status"] == "finished"


def resuming(run: RunDir, start: int, go: int, told: Path) -> int:
    """A process that resumes the run once the pipe is closed."""
    process = os.fork()
    if process == 0:
        signal.alarm(120)
        code = 3
        try:
            os.close(go)
            os.read(start, 1)
            from vae_lightning.train import main

            sys.argv = ["vae-train", f"resume={run.path}", "trainer.max_epochs=4", "callbacks=none"]
            main()
            code = 0
        except SystemExit as leaving:
            told.write_text(str(leaving.code))
            code = 1
        finally:
            os._exit(code)
    return process


def test_of_two_that_resume_at_once_one_trains(train, tmp_path):
    run = train("callbacks=none", "trainer.max_epochs=2")
    start, go = os.pipe()
    files = [tmp_path / "one", tmp_path / "two"]
    processes = [resuming(run, start, go, file) for file in files]
    os.close(go)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    assert sorted(codes) == [0, 1]
    (told,) = [file.read_text() for file in files if file.exists()]
    assert "is still training it" in told or "has trained 4 epochs already" in told  # where it came late
    epochs = [line.split(",")[0] for line in (run.path / "metrics.csv").read_text().splitlines()[1:]]
    assert run.metrics()["epochs"] == 4
    assert epochs == sorted(epochs)


@pytest.mark.parametrize("command_name", ["generate", "evaluate", "report"])
def test_readers_are_not_stopped_by_a_run_that_trains(moved, digits_run, tmp_path, monkeypatch, capsys, command_name):
    from vae_lightning.evaluate import main as evaluate
    from vae_lightning.generate import main as generate
    from vae_lightning.report import main as report

    run = moved(digits_run)
    run.write_status("running")
    main, arguments = {
        "generate": (generate, [f"run={run.path}", "mode=samples", "device=cpu", "num_images=4"]),
        "evaluate": (evaluate, [f"run={run.path}", "metrics=elbo", "device=cpu"]),
        "report": (report, [f"runs=[{run.path}]", f"output={tmp_path / 'report'}"]),
    }[command_name]
    monkeypatch.setattr(sys, "argv", [f"vae-{command_name}", *arguments])
    with hold(run.path / COMMAND_LOCK):
        main()
        assert trainer_of(run.path)
    if command_name == "report":
        assert "running" in capsys.readouterr().out


def test_tensorboard_shows_a_run_that_trains_as_far_as_it_has_come(tmp_path):
    logger = TensorBoard(str(tmp_path))
    shown = EventAccumulator(str(tmp_path))
    with hold(tmp_path / COMMAND_LOCK):
        for step in (3, 4):
            logger.log_metrics({"train/loss": 8.0 / step}, step)
            logger.save()
            assert [(event.step, event.value) for event in shown.Reload().Scalars(tag_of("train/loss"))][-1] == (
                step,
                pytest.approx(8 / step),
            )
    logger.finalize("success")


FIGURES = {"test/elbo": -1.0, "epochs": 4, "seconds": 2.0}


@pytest.mark.parametrize(("epoch", "kept"), [(3, True), (4, False), (None, False)])
def test_training_keeps_the_figures_of_an_evaluation_of_the_same_checkpoint(tmp_path, epoch, kept):
    run = RunDir(tmp_path)
    evaluated = {"test/nll": 90.0, "test/elbo": -2.0, "test/nll_epoch": 3, "test/elbo_epoch": 3}
    run.write_metrics(evaluated)
    run.write_metrics(FIGURES, epoch)
    assert run.metrics() == (evaluated | FIGURES if kept else FIGURES)


def test_writers_of_figures_lose_nothing_of_each_other(tmp_path):
    from vae_lightning.metrics.evaluation import _write

    processes = []
    for writer in range(4):
        process = os.fork()
        if process == 0:
            signal.alarm(60)
            for number in range(25):
                _write(tmp_path / "metrics.json", {f"{writer}/{number}": number}, set())
            os._exit(0)
        processes.append(process)
    for process in processes:
        os.waitpid(process, 0)
    assert len(json.loads((tmp_path / "metrics.json").read_text())) == 100
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_figures_of_a_checkpoint_that_training_has_replaced_have_a_file_of_their_own(moved, digits_run, monkeypatch):
    import torch

    from vae_lightning.evaluate import main
    from vae_lightning.metrics import bounds

    run = moved(digits_run)
    before, opened = run.metrics(), torch.load(run.best, weights_only=True)
    original = bounds.Bounds.__call__

    def meanwhile(self, subject):
        torch.save(opened | {"epoch": 41}, run.best)
        return original(self, subject)

    monkeypatch.setattr(bounds.Bounds, "__call__", meanwhile)
    monkeypatch.setattr(sys, "argv", ["vae-evaluate", f"run={run.path}", "metrics=elbo", "device=cpu"])
    main()
    assert run.metrics() == before
    own = json.loads((run.path / f"metrics_epoch_{opened['epoch'] + 1:04d}.json").read_text())
    assert own["test/elbo_epoch"] == opened["epoch"] + 1


class TakesAway(Callback):
    """Removes the run directory, or moves it, after the first epoch."""

    def __init__(self, target: str | None = None):
        self.target = target

    def on_train_epoch_end(self, trainer, _) -> None:
        if trainer.current_epoch == 0:
            place = trainer.default_root_dir
            shutil.move(place, self.target) if self.target else shutil.rmtree(place)


@pytest.mark.parametrize("how", ["removed", "moved"])
def test_a_run_directory_that_goes_while_it_trains_ends_in_a_line(error_of, command, tmp_path, how):
    run, target = RunDir(tmp_path / "run"), tmp_path / "elsewhere"
    takes = "++callbacks.takes._target_=tests.end_to_end.test_concurrent_commands.TakesAway"
    moves = [f"++callbacks.takes.target={target}"] if how == "moved" else []
    told = error_of(*TINY, "trainer.max_epochs=3", f"run_dir={run.path}", takes, *moves)
    assert told == f"{run.path}: {GONE}"
    assert not run.path.exists()
    if how == "moved":
        assert RunDir(target).real_status()["status"] == "interrupted"


def test_children_tell_that_the_run_directory_is_gone(tmp_path):
    from vae_lightning.launch.children import _reason

    assert _reason(RunDir(tmp_path / "gone"), {}, 1) == GONE


def test_a_process_whose_command_has_died_does_not_begin_to_train(tmp_path):
    from vae_lightning.launch.children import _held

    with pytest.raises(KeyboardInterrupt), _held(RunDir(tmp_path), os.getpid()):
        pass
    with _held(RunDir(tmp_path), os.getppid()):
        assert trainer_of(tmp_path)
        with pytest.raises(UserError, match="is still training it"):
            open_process(tmp_path)


def open_process(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vae_lightning.runs.training_lock._PATIENCE_S", 0.1)
        from vae_lightning.runs.training_lock import locked

        with locked(path, "resume=x"):
            pass


def test_a_run_that_was_killed_during_its_second_test_is_tested(train, command):
    run = train("callbacks=none")
    command(f"resume={run.path}", "trainer.max_epochs=3")
    whole = run.metrics()
    run.write_metrics(whole | {"epochs": 2})  # those of the first time, as when the second was killed in its test
    command(f"resume={run.path}")
    assert run.metrics()["test/elbo"] == pytest.approx(whole["test/elbo"])
    assert run.metrics()["epochs"] == 3


def test_folders_of_the_user_are_not_taken_for_jobs(tmp_path):
    from vae_lightning.runs.directories import is_mere_start

    (tmp_path / "0").mkdir()
    assert not is_mere_start(tmp_path / "0")
    (tmp_path / "0/status.json").touch()
    assert is_mere_start(tmp_path / "0")
    (tmp_path / "0/photo.png").touch()
    assert not is_mere_start(tmp_path / "0")


def test_a_moved_run_whose_cache_is_gone_reads_its_pictures_again(moved, colour_run, command, tmp_path):
    run = moved(colour_run)
    command(f"resume={run.path}", "trainer.max_epochs=3", "data=folder", f"data.cache_dir={tmp_path / 'new cache'}")
    assert run.metrics()["epochs"] == 3


def test_a_moved_run_whose_pictures_are_gone_too_says_so_in_a_line(moved, colour_run, error_of, tmp_path):
    run = moved(colour_run)
    before = contents(run)
    places = ["data=folder", f"data.cache_dir={tmp_path / 'new'}", f"data.root={tmp_path / 'gone'}"]
    told = error_of(f"resume={run.path}", "trainer.max_epochs=3", *places)
    assert f"data.root={tmp_path / 'gone'}" in told
    assert contents(run) == before


def points(run: RunDir) -> list[tuple[str, int]]:
    """The tag and step of every figure in TensorBoard's files."""
    from vae_lightning.loggers.event_files import _events

    events = [event for file in run.path.glob("events.out.tfevents.*") for event in _events(file)]
    return [
        (value.tag, event.step) for event in events for value in event.summary.value if value.HasField("simple_value")
    ]


def test_a_run_that_was_killed_before_its_end_was_recorded_is_tested_and_ends_as_one_that_was_not(train, command):
    run = train("callbacks=none")
    rows, figures, shown = (run.path / "metrics.csv").read_text(), run.metrics(), sorted(points(run))
    record_status(run, "running")  # as it is between the figures and the end
    assert ("(final)/elbo", 0) not in points(run)
    command(f"resume={run.path}")
    assert run.status()["status"] == "finished"
    assert (run.path / "metrics.csv").read_text() == rows
    assert run.metrics()["test/elbo"] == figures["test/elbo"]
    assert sorted(points(run)) == shown
    assert ("(final)/elbo", 0) in shown
