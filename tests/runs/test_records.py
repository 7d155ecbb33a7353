"""What is said of a run in its directory is true, though there is no room for it."""

import errno
import os

import pytest

from tests.disk.full import failing
from vae_lightning.runs.records import RunDir


@pytest.fixture
def run(tmp_path) -> RunDir:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("name: x\nlogger: {}\n")
    return RunDir(tmp_path / "run")


@pytest.mark.parametrize("reason", [None, "the disk is full", "x" * 5000, "\U0001f600\n" * 3000])
def test_a_status_needs_no_room_once_there_was_one(run, monkeypatch, reason):
    run.write_status("running")
    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "_write", lambda *_: failing(errno.ENOSPC))
        run.write_status("failed", reason)
    status = run.status()
    assert status["status"] == "failed"
    assert status["reason"] == (None if reason is None else reason[:300])
    assert [file.name for file in run.path.iterdir() if file.name.startswith(".")] == []
    run.write_status("finished")
    assert run.status()["status"] == "finished"


def test_a_status_that_may_not_be_written_is_an_error(run, monkeypatch):
    run.write_status("running")
    monkeypatch.setattr(RunDir, "_write", lambda *_: failing(errno.EACCES))
    with pytest.raises(PermissionError):
        run.write_status("failed")


def test_a_killed_run_that_could_write_no_status_is_told_as_interrupted(run):
    child = os.fork()
    if not child:
        run.write_status("running")
        os._exit(0)
    os.waitpid(child, 0)
    assert run.status()["status"] == "running"
    assert run.real_status()["status"] == "interrupted"
