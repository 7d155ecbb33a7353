"""What can't be written does not end a training, is told once, and is written as soon as there is room."""

import csv
import errno
import json
import logging
import os
import resource
import shutil
import subprocess
from contextlib import contextmanager

import pytest
import torch
from lightning.pytorch import Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event

from tests.conftest import TINY
from vae_lightning.disk.files import write_atomically
from vae_lightning.disk.unwritten import HeldFile, overwrite, spared
from vae_lightning.loggers.event_files import EventFile, shown_points
from vae_lightning.loggers.metrics_csv import MetricsCSV
from vae_lightning.loggers.tensorboard import TensorBoard
from vae_lightning.runs.records import RunDir
from vae_lightning.training.outcome import recorded


@contextmanager
def full(room=0):
    """No file may grow past so many bytes: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def told():
    """What is logged, line by line."""
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log = logging.getLogger("vae_lightning")
    level, handlers = log.level, log.handlers
    log.handlers = [handler]  # not the terminal of an earlier command: pytest has it in a file, which `full` holds for
    log.setLevel(logging.INFO)
    yield lines
    log.handlers = handlers
    log.setLevel(level)


def failing(number):
    raise OSError(number, os.strerror(number))


# The policy


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG])
def test_a_failed_write_is_told_once_until_it_succeeds(told, number):
    for _ in range(3):
        with spared("things"):
            failing(number)
    with spared("other things"):
        pass
    assert told == [f"things: can't be written ({os.strerror(number)}); the run goes on"]
    for _ in range(2):
        with spared("things"):
            pass
    assert told[1:] == ["things: can be written again"]


@pytest.mark.parametrize("error", [ValueError("no"), FileNotFoundError(errno.ENOENT, "gone"), PermissionError("no")])
def test_other_mistakes_are_not_spared(error):
    with pytest.raises(type(error)), spared("things"):
        raise error


def test_a_held_file_has_whole_pieces_in_order(tmp_path, told):
    file = HeldFile(tmp_path / "file", "the file")
    file.write(b"one\n")
    file.flush()
    with full(6):  # two bytes of the next
        for piece in (b"two\n", b"three\n"):
            file.write(piece)
            file.flush()
            assert (tmp_path / "file").read_bytes() == b"one\n"
    file.write(b"four\n")
    file.close()
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\nthree\nfour\n"
    assert told == ["the file: can't be written (File too large); the run goes on", "the file: can be written again"]


def test_what_is_held_is_limited_and_what_is_lost_is_told(tmp_path, monkeypatch, told):
    monkeypatch.setattr("vae_lightning.disk.unwritten._MOST_HELD", 10)
    file = HeldFile(tmp_path / "file", "the limited file")
    with full():
        for _ in range(5):
            file.write(b"1234")
    file.flush()
    assert (tmp_path / "file").read_bytes() == b"12341234"
    file.write(b"5")
    file.close()
    assert [line for line in told if "lost" in line] == [
        "the limited file: 3 pieces are lost, for which there was no room"
    ]


def test_a_piece_larger_than_what_is_held_reaches_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_lightning.disk.unwritten._MOST_HELD", 10)
    file = HeldFile(tmp_path / "file", "the large file")
    for piece in (b"1", 20 * b"2", b"3"):
        file.write(piece)
    file.close()
    assert (tmp_path / "file").read_bytes() == b"1" + 20 * b"2" + b"3"


# Figures


def rows(path):
    with (path / "metrics.csv").open(newline="") as stream:
        return [(row["step"], row["loss"]) for row in csv.DictReader(stream)]


def test_no_row_of_figures_is_lost(tmp_path):
    logger = MetricsCSV(str(tmp_path))
    logger.log_metrics({"epoch": 0, "loss": 1.5}, step=0)
    logger.save()
    room = (tmp_path / "metrics.csv").stat().st_size
    before = (tmp_path / "metrics.csv").read_bytes()
    with full(room + 3):
        for step in (1, 2):
            logger.log_metrics({"epoch": 0, "loss": 2.5}, step=step)
            logger.save()
            assert (tmp_path / "metrics.csv").read_bytes() == before
        logger.log_metrics({"epoch": 0, "loss": 3.5, "new": 1.0}, step=3)
        logger.save()
        assert (tmp_path / "metrics.csv").read_bytes() == before
    logger.log_metrics({"epoch": 0, "loss": 4.5}, step=4)
    logger.save()
    assert rows(tmp_path) == [("0", "1.5"), ("1", "2.5"), ("2", "2.5"), ("3", "3.5"), ("4", "4.5")]
    assert "new" in (tmp_path / "metrics.csv").read_text().splitlines()[0]


def scalars(folder, tag):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_goes_on_where_it_was(tmp_path):
    logger = TensorBoard(str(tmp_path))
    for step, room in enumerate([None, 150, 150, None]):
        with full(resource.RLIM_INFINITY if room is None else room):
            logger.log_metrics({"loss": float(step)}, step)
            logger.save()
    assert scalars(tmp_path, "loss") == [(step, float(step)) for step in range(4)]
    logger.finalize("success")


def test_a_tensorboard_that_could_not_even_begin_is_caught_up_with(tmp_path):
    with full():
        logger = TensorBoard(str(tmp_path))
        logger.log_metrics({"loss": 1.0}, 0)
        logger.save()
    logger.log_metrics({"loss": 2.0}, 1)
    logger.finalize("success")
    assert scalars(tmp_path, "loss") == [(0, 1.0), (1, 2.0)]


def test_event_files_come_in_order_though_the_clock_is_set_back(tmp_path, monkeypatch):
    for number, (now, first_step) in enumerate([(2e9, 0), (1e9, 2), (1e9, 0)]):
        monkeypatch.setattr("time.time", lambda now=now: now)
        logger = TensorBoard(str(tmp_path), first_step)
        for step in range(first_step, first_step + 3):
            logger.log_metrics({"loss": float(10 * number + step)}, step)
        logger.finalize("success")
    assert len(list(tmp_path.iterdir())) == 3
    found = scalars(tmp_path, "loss")
    assert found[:5] == [(0, 0.0), (1, 1.0), (2, 12.0), (3, 13.0), (4, 14.0)]


def test_images_that_are_shown_are_found_up_to_where_a_file_is_cut(tmp_path):
    def image(tag, step):
        event = Event(step=step)
        value = event.summary.value.add(tag=tag)
        value.image.height = 1
        return event

    def write(*events):
        file = EventFile(tmp_path)
        for event in events:
            file.add_event(event)
        file.close()

    start = Event(step=7)
    start.session_log.status = start.session_log.START
    write(image("a", 3), image("a", 7), image("b", 9))
    write(start, image("c", 8), image("d", 10))
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-5])
    assert shown_points(tmp_path) == {("a", 3), ("c", 8)}


# The status


def prepared(path):
    run = RunDir(path)
    path.mkdir()
    (path / "config.yaml").write_text("name: x\nlogger: {}\n")
    return run


@pytest.mark.parametrize("reason", [None, "the disk is full", "x" * 5000, "\U0001f600\n" * 3000])
def test_a_status_needs_no_room_once_there_was_one(tmp_path, monkeypatch, reason):
    run = prepared(tmp_path / "run")
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


def test_a_status_that_may_not_be_written_is_an_error(tmp_path, monkeypatch):
    run = prepared(tmp_path / "run")
    run.write_status("running")
    monkeypatch.setattr(RunDir, "_write", lambda *_: failing(errno.EACCES))
    with pytest.raises(PermissionError):
        run.write_status("failed")


def test_a_killed_run_that_could_write_no_status_is_told_as_interrupted(tmp_path):
    run = prepared(tmp_path / "run")
    child = os.fork()
    if not child:
        run.write_status("running")
        os._exit(0)
    os.waitpid(child, 0)
    assert run.status()["status"] == "running"
    assert run.real_status()["status"] == "interrupted"


def test_why_a_run_has_ended_is_told_though_it_cannot_be_recorded(tmp_path, monkeypatch):

    def end_in(run):
        with recorded(run, Trainer(accelerator="cpu", devices=1, logger=False, default_root_dir=run.path)):
            monkeypatch.setattr(RunDir, "write_status", lambda *_: failing(errno.EIO))
            raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        end_in(prepared(tmp_path / "run"))


@pytest.mark.parametrize(("name", "is_told"), [(None, True), ("run/metrics.csv", True), ("cache/pixels.npy", False)])
def test_another_disk_that_is_full_is_not_told_as_the_runs(tmp_path, name, is_told):
    from vae_lightning.training.outcome import _ending

    error = OSError(errno.ENOSPC, "No space left", *([] if name is None else [str(tmp_path / name)]))
    _, told = _ending(error, prepared(tmp_path / "run"))
    assert str(told).startswith("output_dir: the disk of ") is is_told


def test_overwriting_asks_for_no_more_than_there_is(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    overwrite(file, b"abc")
    assert file.read_bytes() == b"abc  "
    with pytest.raises(OSError, match="No space left"):
        overwrite(file, b"123456")
    assert file.read_bytes() == b"abc  "
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(OSError, match="symbolic"):
        overwrite(link, b"x")
    second = tmp_path / "second"
    os.link(file, second)  # in a stranger's run directory, say, of a file of the user's
    with pytest.raises(OSError, match="No space left"):
        overwrite(second, b"x")
    assert file.read_bytes() == b"abc  "


# The command


def test_a_training_goes_on_without_its_pictures_and_logs(train, monkeypatch, capsys):
    writes = {"pictures": 0}

    def full_disk(*_):
        writes["pictures"] += 1
        failing(errno.ENOSPC)

    from vae_lightning.callbacks import pictures, training_gif

    plain = os.write

    def refusing(descriptor, content):
        name = os.readlink(f"/proc/self/fd/{descriptor}") if os.path.exists("/proc/self/fd") else ""
        if "tfevents" in name or name.endswith(("train.log", "metrics.csv")):
            failing(errno.EDQUOT)
        return plain(descriptor, content)

    monkeypatch.setattr(pictures, "write_atomically", full_disk)
    monkeypatch.setattr(training_gif, "write_atomically", full_disk)
    monkeypatch.setattr(os, "write", refusing)
    run = train()
    assert run.status()["status"] == "finished"
    assert writes["pictures"] > 3
    out = capsys.readouterr().out
    for what, why in (("pictures", errno.ENOSPC), ("train.log", errno.EDQUOT), ("TensorBoard's events", errno.EDQUOT)):
        assert out.count(f"{what}: can't be written ({os.strerror(why)}); the run goes on") == 1


@pytest.mark.parametrize(
    ("number", "why"),
    [(errno.ENOSPC, "is full"), (errno.EDQUOT, "is full"), (errno.EIO, "can't be written to (Input/output error)")],
)
def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_keeps_the_former(
    error_of, tmp_path, monkeypatch, number, why
):
    plain, saved = torch.save, []

    def save(checkpoint, stream):
        saved.append(stream)
        if len(saved) > 2:
            stream.write(b"part of it")
            failing(number)
        plain(checkpoint, stream)

    monkeypatch.setattr(torch, "save", save)
    run = RunDir(tmp_path / "run")
    message = error_of(*TINY[:6], "callbacks=none", "trainer.max_epochs=3", f"run_dir={run.path}")
    assert message == f"output_dir: the disk of {run.path} {why}; go on with resume={run.path}"
    assert json.loads((run.path / "status.json").read_text())["reason"] == message
    assert torch.load(run.last, weights_only=True)["epoch"] == 0
    assert sorted(file.name for file in run.checkpoints.iterdir()) == ["best.ckpt", "last.ckpt"]


@pytest.fixture
def disk(tmp_path):
    """A file system of its own; `disk(size)` makes it so large."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(place)]
    if shutil.which("mount") is None or (done := subprocess.run(mount, capture_output=True, check=False)).returncode:
        pytest.skip("no file system may be mounted here, so none can be full")
    assert done.returncode == 0

    def resize(size):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)
        return place

    yield resize
    subprocess.run(["umount", str(place)], check=True)


def test_a_run_that_fills_its_disk_says_so_and_goes_on_with_room(disk, command, error_of, monkeypatch):
    monkeypatch.setattr(RunDir, "check_space", lambda *_: None)  # would have refused it
    run = RunDir(disk("2m") / "run")
    message = error_of(*TINY, "trainer.max_epochs=30", f"run_dir={run.path}")
    assert message == f"output_dir: the disk of {run.path} is full; go on with resume={run.path}"
    (run.path / "filler").write_bytes(bytes(shutil.disk_usage(run.path).free))
    assert shutil.disk_usage(run.path).free == 0
    run.write_status("failed", message)
    assert run.status()["reason"] == message
    reached = torch.load(run.last, weights_only=True)["epoch"] + 1
    (run.path / "filler").unlink()
    disk("8m")
    command(f"resume={run.path}", f"trainer.max_epochs={reached + 1}")
    assert run.status()["status"] == "finished"
    assert run.metrics()["epochs"] == reached + 1
    assert list(run.path.rglob("*.part")) == []


class Full:
    encoding, isatty, fileno = "utf-8", (lambda self: False), (lambda self: 1)

    def write(self, text):
        failing(errno.ENOSPC)

    def flush(self):
        failing(errno.ENOSPC)


def test_lines_for_a_terminal_that_cannot_be_written_end_nothing(monkeypatch, told):
    from vae_lightning.launch.output import _Terminal

    monkeypatch.setattr("sys.stdout", Full())
    for _ in range(3):
        _Terminal().emit(logging.makeLogRecord({"msg": "a line"}))
    assert told == ["the terminal: can't be written (No space left on device); the run goes on"]


def test_write_atomically_leaves_nothing_of_what_failed(tmp_path):
    write_atomically(tmp_path / "file", b"old")
    with full(2), pytest.raises(OSError, match="too large"):
        write_atomically(tmp_path / "file", b"newer")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"old")]
