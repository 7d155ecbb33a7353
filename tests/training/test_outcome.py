"""Why a run has ended is told, whatever of it can't be written."""

import errno
from contextlib import suppress

import pytest
from lightning.pytorch import Trainer

from tests.disk.full import failing
from tests.loggers.test_tracker import Service
from vae_lightning.machine.interruption import Interrupted
from vae_lightning.runs.records import RunDir
from vae_lightning.training.outcome import _ending, recorded


@pytest.fixture
def run(tmp_path) -> RunDir:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("name: x\nlogger: {}\n")
    return RunDir(tmp_path / "run")


def test_why_a_run_has_ended_is_told_though_it_cannot_be_recorded(run, monkeypatch):
    def end():
        with recorded(run, Trainer(accelerator="cpu", devices=1, logger=False, default_root_dir=run.path)):
            monkeypatch.setattr(RunDir, "write_status", lambda *_: failing(errno.EIO))
            raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        end()


@pytest.mark.parametrize(("name", "is_told"), [(None, True), ("run/metrics.csv", True), ("cache/pixels.npy", False)])
def test_another_disk_that_is_full_is_not_told_as_the_runs(run, tmp_path, name, is_told):
    error = OSError(errno.ENOSPC, "No space left", *([] if name is None else [str(tmp_path / name)]))
    _, told = _ending(error, run)
    assert str(told).startswith("output_dir: the disk of ") is is_told


def told_by(logger, run: RunDir) -> Trainer:
    return Trainer(accelerator="cpu", devices=1, logger=logger, default_root_dir=run.path)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, ("finished", None, {"test/elbo": -1.0})),
        (KeyError("why"), ("failed", "'why'", {})),
        (KeyboardInterrupt(), ("interrupted", "Ctrl-C; before the first checkpoint", {})),
    ],
)
def test_the_loggers_are_told_how_a_run_has_ended(run, error, end):
    service = Service(run.path)
    run.write_metrics({"test/elbo": -1.0})
    service.log_hyperparams({})
    with suppress(KeyError, Interrupted), recorded(run, told_by(service, run)):
        if error is not None:
            raise error
    assert service.of("end") == [end]


def test_a_run_that_is_interrupted_while_its_end_is_told_has_not_finished(run):
    service = Service(run.path)
    run.write_metrics({})
    service.log_hyperparams({})
    service.send_end = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with suppress(Interrupted), recorded(run, told_by(service, run)):
        pass
    assert run.status()["status"] == "interrupted"
