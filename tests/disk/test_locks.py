"""Lock files: one holder at a time, none after its death."""

import errno
import fcntl
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

import pytest

from vae_lightning.disk import locks
from vae_lightning.disk.locks import HeldError, NoLocksError, alone_in, hold, holder
from vae_lightning.errors import UserError
from vae_lightning.runs.training_lock import COMMAND_LOCK, PROCESS_LOCK, locked, locked_for_process, trainer_of


def forked(*contexts: AbstractContextManager, act: Callable[[], None] = lambda: None) -> tuple[int, int]:
    """A process that enters the contexts, writes a byte to the pipe that is returned with its number, and stays."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        signal.alarm(60)  # it must not outlive a test that fails
        try:
            for context in contexts:
                context.__enter__()
            act()
            os.write(writing, b"+")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    return process, reading


def killed(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def test_a_lock_is_held_by_one_and_tells_by_whom(tmp_path):
    file = tmp_path / ".lock"
    assert holder(file) is None
    process, ready = forked(hold(file))
    assert os.read(ready, 1) == b"+"
    told = f"process {process} on {os.uname().nodename}"
    assert holder(file) == told
    with pytest.raises(HeldError, match=told), hold(file):
        pass
    killed(process)
    assert holder(file) == ""
    with hold(file):
        assert holder(file) == f"process {os.getpid()} on {os.uname().nodename}"


def test_a_process_that_was_forked_does_not_keep_the_lock_of_a_dead_one(tmp_path):
    def start_worker() -> None:
        worker, ready = forked()
        os.read(ready, 1)
        (tmp_path / "worker").write_text(str(worker))

    process, ready = forked(hold(tmp_path / ".lock"), act=start_worker)
    assert os.read(ready, 1) == b"+"
    killed(process)
    worker = int((tmp_path / "worker").read_text())
    try:
        os.kill(worker, 0)  # it lives on
        assert holder(tmp_path / ".lock") == ""
    finally:
        os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("attempt", range(5))
def test_of_many_that_come_at_once_one_gets_the_run(tmp_path, attempt):
    start, go = os.pipe()
    won, winner = os.pipe()
    processes = []
    for _ in range(6):
        process = os.fork()
        if process == 0:
            signal.alarm(60)
            try:
                os.close(go)
                os.read(start, 1)  # until the other end is closed, for all at once
                with locked(tmp_path, "resume=x"):
                    os.write(winner, b"+")
                    signal.pause()
            except UserError:
                os._exit(1)
            finally:
                os._exit(2)
        processes.append(process)
    for end in (start, winner, go):
        os.close(end)
    ended = [os.wait() for _ in range(5)]
    assert [os.waitstatus_to_exitcode(status) for _, status in ended] == [1] * 5
    (last,) = set(processes) - {process for process, _ in ended}
    killed(last)
    with open(won, "rb") as pipe:
        assert pipe.read() == b"+"


def test_a_reader_that_asks_who_holds_the_lock_stops_nobody(tmp_path):
    (tmp_path / COMMAND_LOCK).touch()
    asking = os.open(tmp_path / COMMAND_LOCK, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, [asking]).start()
    with locked(tmp_path, "resume=x"):
        pass


def test_a_run_directory_that_cannot_be_locked_is_told_in_a_line(tmp_path):
    with pytest.raises(UserError, match=r"^resume=x: .*gone can't be written to \(No such file or directory\)$"):
        locked(tmp_path / "gone", "resume=x").__enter__()


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_only_a_file_is_a_lock(tmp_path, kind):
    foreign = tmp_path / "foreign"
    foreign.write_text("kept")
    (tmp_path / "run").mkdir()
    lock = tmp_path / "run" / COMMAND_LOCK
    os.mkfifo(lock) if kind == "pipe" else lock.symlink_to(foreign)
    with pytest.raises(UserError, match=r"^resume=x: .*run: a lock file is no regular file but"):
        locked(tmp_path / "run", "resume=x").__enter__()
    assert holder(lock) is None
    assert foreign.read_text() == "kept"


@pytest.mark.usefixtures("in_time")
def test_what_takes_the_place_of_a_lock_file_after_the_look_is_not_followed_or_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "check_regular", lambda _: None)
    (tmp_path / "foreign").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "foreign")
    with pytest.raises(OSError, match="symbolic"):
        hold(tmp_path / "link").__enter__()
    assert holder(tmp_path / "link") is None
    assert (tmp_path / "foreign").read_text() == "kept"
    os.mkfifo(tmp_path / "pipe")
    assert holder(tmp_path / "pipe") == ""


def test_a_lock_holds_on_a_full_disk_and_no_foreign_text_is_told(tmp_path, monkeypatch):
    def full(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with hold(tmp_path / ".lock"):
        assert holder(tmp_path / ".lock") == "another process"
        (tmp_path / ".lock").write_text("\x1b[2J")
        assert holder(tmp_path / ".lock") == "another process"


def test_a_lock_of_two_names_is_not_written_into(tmp_path):
    (tmp_path / "snapshot").write_text("kept")
    (tmp_path / ".lock").hardlink_to(tmp_path / "snapshot")
    with hold(tmp_path / ".lock"):
        assert holder(tmp_path / ".lock")
    assert (tmp_path / "snapshot").read_text() == "kept"


def test_the_processes_of_a_killed_command_are_waited_for_and_then_told(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_lightning.runs.training_lock._PATIENCE_S", 0.3)
    process, ready = forked(locked_for_process(tmp_path))
    assert os.read(ready, 1) == b"+"
    with pytest.raises(UserError, match=f"^resume=x: .*: process {process} on .* is still training it$"):
        locked(tmp_path, "resume=x").__enter__()
    monkeypatch.setattr("vae_lightning.runs.training_lock._PATIENCE_S", 60)
    os.kill(process, signal.SIGKILL)
    with locked(tmp_path, "resume=x"):
        assert trainer_of(tmp_path).startswith("process")
    os.waitpid(process, 0)
    assert trainer_of(tmp_path) == ""


def test_a_file_system_without_locks_is_told_and_gone_on_with(tmp_path, monkeypatch, caplog):
    def no_locks(*_) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(logging.getLogger("vae_lightning"), "propagate", True)
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with locked(tmp_path, "resume=x"), locked_for_process(tmp_path), alone_in(tmp_path):
        assert trainer_of(tmp_path) is None
    assert caplog.text.count("has no locks; start one command at a time on it") == 1
    with pytest.raises(NoLocksError):
        hold(tmp_path / "lock").__enter__()


def test_what_a_killed_process_left_half_written_is_removed_by_the_next(tmp_path):
    parts = [
        "checkpoints/.last.ckpt.0123.part",
        "checkpoints/last.ckpt.part",
        ".status.json.1.part",
        "images/a/.e.png.part",
    ]
    kept = ["checkpoints/last.ckpt", "images/a/e.png", "generated/samples/.x.part", "my.part"]
    for name in parts + kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".folder.part").mkdir()
    with locked(tmp_path, "resume=x"):
        left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*kept, COMMAND_LOCK, PROCESS_LOCK}
    assert (tmp_path / ".folder.part").is_dir()


def test_what_an_evaluation_is_writing_is_not_removed(tmp_path):
    part = tmp_path / ".metrics.json.0123.part"
    part.touch()
    writing = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(writing, fcntl.LOCK_EX)

    def finish() -> None:
        with suppress(FileNotFoundError):
            part.rename(tmp_path / "metrics.json")
        os.close(writing)

    threading.Timer(0.2, finish).start()
    with locked(tmp_path, "resume=x"):
        assert (tmp_path / "metrics.json").exists()


def test_a_folder_is_held_for_a_moment_only(tmp_path, monkeypatch, in_time):
    monkeypatch.setattr("vae_lightning.disk.locks._LONG_MOMENT_S", 0.2)
    process, ready = forked(alone_in(tmp_path))
    assert os.read(ready, 1) == b"+"
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    with alone_in(tmp_path):  # a stopped process must not hold up an evaluation for good
        killed(process)


def test_a_lock_file_that_was_removed_meanwhile_holds_nothing(tmp_path, monkeypatch):
    file, acquire = tmp_path / "a.lock", locks._acquire
    removed = []

    def removing(descriptor: int, patience_s: float | None) -> None:
        if not removed:
            removed.append(file.unlink())
        acquire(descriptor, patience_s)

    monkeypatch.setattr(locks, "_acquire", removing)
    with hold(file):
        assert holder(file).startswith("process ")
    assert holder(file) == ""
