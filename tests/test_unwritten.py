"""What can't be written does not end a training, is told once, and is written as soon as there is room."""

import csv
import errno
import json
import logging
import os
import resource
from contextlib import contextmanager

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event

from tests.conftest import TINY
from vae_lightning.event_files import EventFile, shown_images
from vae_lightning.files import write_atomically
from vae_lightning.loggers import MetricsCSV, TensorBoard
from vae_lightning.run_dir import RunDir
from vae_lightning.unwritten import HeldFile, overwrite, spared


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
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(handler)
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


def test_other_mistakes_are_not_spared():
    with pytest.raises(ValueError, match="no"), spared("things"):
        raise ValueError("no")


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


def test_what_is_held_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_lightning.unwritten._MOST_HELD", 10)
    file = HeldFile(tmp_path / "missing" / "file", "the limited file")
    for _ in range(5):
        file.write(b"1234")
    assert file._num_held == 8
    (tmp_path / "missing").mkdir()
    file.close()
    assert (tmp_path / "missing/file").read_bytes() == b"12341234"


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
    assert shown_images(tmp_path) == {("a", 3), ("c", 8)}


# The status


def prepared(path):
    run = RunDir(path)
    path.mkdir()
    (path / "config.yaml").write_text("name: x\nlogger: {}\n")
    return run


@pytest.mark.parametrize("reason", [None, "the disk is full", "x" * 5000, "\U0001f600\n" * 3000])
def test_a_status_needs_no_room_once_there_was_one(tmp_path, reason):
    run = prepared(tmp_path / "run")
    run.write_status("running")
    with full():
        run.write_status("failed", reason)
    status = run.status()
    assert status["status"] == "failed"
    assert status["reason"] == (None if reason is None else reason[:300])
    assert [file.name for file in run.path.iterdir() if file.name.startswith(".")] == []
    run.write_status("finished")
    assert run.status()["status"] == "finished"


def test_a_killed_run_that_could_write_no_status_is_told_as_interrupted(tmp_path):
    run = prepared(tmp_path / "run")
    child = os.fork()
    if not child:
        run.write_status("running")
        os._exit(0)
    os.waitpid(child, 0)
    assert run.status()["status"] == "running"
    assert run.real_status()["status"] == "interrupted"


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


# The command


def test_a_training_goes_on_without_its_pictures_and_logs(train, monkeypatch, capsys):
    writes = {"pictures": 0}

    def full_disk(*_):
        writes["pictures"] += 1
        failing(errno.ENOSPC)

    import vae_lightning.callbacks.pictures as pictures
    import vae_lightning.callbacks.training_gif as training_gif

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
    monkeypatch.undo()
    train(name="again")
    assert (RunDir(run.path.parent / "again").path / "images/samples/epoch_0002.png").is_file()


@pytest.mark.parametrize(
    ("number", "why"),
    [(errno.ENOSPC, "is full"), (errno.EDQUOT, "is full"), (errno.EIO, "can't be written to (Input/output error)")],
)
def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_keeps_the_former(error_of, tmp_path, monkeypatch, number, why):
    from lightning.pytorch.plugins.io import TorchCheckpointIO

    plain, saved = TorchCheckpointIO.save_checkpoint, []

    def save(self, checkpoint, path, *args):
        saved.append(path)
        if len(saved) > 2:
            failing(number)
        plain(self, checkpoint, path, *args)

    monkeypatch.setattr(TorchCheckpointIO, "save_checkpoint", save)
    run = RunDir(tmp_path / "run")
    message = error_of(*TINY[:6], "callbacks=none", "trainer.max_epochs=3", f"run_dir={run.path}")
    assert message == f"output_dir: the disk of {run.path} {why}; go on with resume={run.path}"
    assert json.loads((run.path / "status.json").read_text())["reason"] == message
    assert torch.load(run.last, weights_only=True)["epoch"] == 0
    assert sorted(file.name for file in run.checkpoints.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_full_disk_that_is_one(error_of, tmp_path):
    """A file system of 2 MB, where one may be mounted; its checkpoints take 1.3 MB together."""
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here: " + mounted.stderr.decode().strip())
    try:
        run = RunDir(disk / "run")
        message = error_of(*TINY, "trainer.max_epochs=3", f"run_dir={run.path}")
        print(message)
        assert run.status()["status"] == "failed"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_stdout_on_a_full_disk_ends_no_training(train, monkeypatch):
    import sys

    with open("/dev/full", "w") as full_file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full_file)
        log = logging.getLogger("vae_lightning")
        from vae_lightning.console import configure_logging

        configure_logging()
        log.info("a line")
        full_file.write("") 
        try:
            full_file.flush()
        except OSError:
            pass


def test_write_atomically_leaves_nothing_of_what_failed(tmp_path):
    write_atomically(tmp_path / "file", b"old")
    with full(2), pytest.raises(OSError, match="too large"):
        write_atomically(tmp_path / "file", b"newer")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"old")]
