"""What is said of a run in its directory is true, though there is no room for it."""

import errno
import os

import pytest

from tests.disk.full import failing
from vae_lightning.runs.records import RunDir, _is_alive


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


def test_a_status_is_text_to_read(run, monkeypatch):
    run.write_status("running")
    as_usual = (run.path / "status.json").read_text()
    assert as_usual.splitlines()[1:3] == ['  "status": "running",', '  "reason": null,']
    monkeypatch.setattr(RunDir, "_write", lambda *_: failing(errno.ENOSPC))
    run.write_status("failed", "the disk is full")
    for text in (as_usual, (run.path / "status.json").read_text()):
        assert text == text.rstrip() + "\n"
        assert "  " not in text.replace("\n  ", "\n")


def test_where_a_disk_tells_of_no_blocks_the_reason_is_cut_to_the_status_before(run, monkeypatch):
    run.write_status("running")
    size = (run.path / "status.json").stat().st_size
    monkeypatch.setattr(RunDir, "_write", lambda *_: failing(errno.ENOSPC))
    monkeypatch.setattr("vae_lightning.disk.unwritten._OF_BLOCKS", 0)
    run.write_status("interrupted", "x" * 5000)
    status = run.status()
    assert status["status"] == "interrupted"
    assert "xxxxxxxxx".startswith(status["reason"])
    assert (run.path / "status.json").stat().st_size <= size


def test_the_status_of_an_earlier_version_is_read_and_overwritten(run, monkeypatch):
    (run.path / "status.json").write_text('{"status": "running", "reason": null}'.ljust(4096))
    assert run.status() == {"status": "running", "reason": None}
    monkeypatch.setattr(RunDir, "_write", lambda *_: failing(errno.ENOSPC))
    run.write_status("failed", "x" * 5000)
    assert (run.status()["status"], run.status()["reason"]) == ("failed", "x" * 300)
    assert (run.path / "status.json").read_text().endswith("}\n")  # and not by its blanks


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


@pytest.mark.parametrize(("handle", "code", "running"), [(7, 259, True), (7, 1, False), (0, 259, False)])
def test_on_windows_no_process_is_sent_ctrl_c_to_see_whether_it_runs(run, monkeypatch, handle, code, running):
    class Kernel:
        def OpenProcess(self, *_):  # noqa: N802
            return handle

        def GetExitCodeProcess(self, handle, found):  # noqa: N802
            found._obj.value = code
            return 1

        def CloseHandle(self, handle):  # noqa: N802
            pass

    run.write_status("running")  # its locks tell nothing there
    monkeypatch.setattr("vae_lightning.runs.records.os.kill", None)
    monkeypatch.setattr("vae_lightning.runs.records.os.name", "nt")
    monkeypatch.setattr("ctypes.windll", type("Windll", (), {"kernel32": Kernel()}), raising=False)
    assert _is_alive(os.getpid()) is running


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (1.4, ""),
        (2, ", the last 2 s are done again"),
        (40.2, ", the last 40 s are done again"),
        (119.6, ", the last 2 min are done again"),
        (7000, ", the last 117 min are done again"),
    ],
)
def test_what_an_interruption_costs_is_told_with_the_way_on(run, seconds, told):
    assert run.way_on(seconds) == "before the first checkpoint"
    run.checkpoints.mkdir()
    run.last.touch()
    assert run.way_on(seconds) == f"go on with resume={run.path}{told}"
