"""A training on a full disk goes on without pictures and logs, and ends where it can't save its checkpoints."""

import errno
import json
import os
import shutil
import subprocess

import pytest
import torch

from tests.conftest import TINY
from tests.disk.full import failing
from vae_lightning.callbacks import pictures, training_gif
from vae_lightning.runs.records import RunDir


def test_a_training_goes_on_without_its_pictures_and_logs(train, monkeypatch, capsys):
    writes = {"pictures": 0}

    def full_disk(*_):
        writes["pictures"] += 1
        failing(errno.ENOSPC)

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
