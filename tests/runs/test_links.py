"""A run directory from elsewhere: nothing outside of it is read, written or removed, and nothing is waited for."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import refusal
from vae_lightning.errors import UserError
from vae_lightning.runs import directories
from vae_lightning.runs.directories import remove_run
from vae_lightning.runs.opening import open_run
from vae_lightning.runs.records import RunDir

pytestmark = pytest.mark.usefixtures("in_time")


@pytest.fixture
def run(moved, digits_run, tmp_path) -> RunDir:
    """A copy of a trained run beside the folder `foreign`, whose files must stay as they are."""
    (tmp_path / "foreign").mkdir()
    for name in ("epoch_0001.png", "file"):
        (tmp_path / "foreign" / name).write_text("kept")
    return moved(digits_run, "run")


@pytest.fixture
def refused(monkeypatch, tmp_path) -> Callable[[str, RunDir], str]:
    """The line with which a command refuses a run, in which it changes nothing."""

    def call(command: str, run: RunDir) -> str:
        from vae_lightning.evaluate import main as evaluate
        from vae_lightning.generate import main as generate
        from vae_lightning.train import main as train

        main, key = {"train": (train, "resume"), "evaluate": (evaluate, "run"), "generate": (generate, "run")}[command]
        before = contents(tmp_path)
        monkeypatch.setattr(sys, "argv", [f"vae-{command}", f"{key}={run.path}"])
        told = refusal(main)
        assert contents(tmp_path) == before
        return told.removeprefix(f"{key}={run.path}: ")

    return call


def contents(folder: Path) -> dict[str, str | bytes]:
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
    return found


def replace(path: Path) -> Path:
    """The path, with nothing there any more, in a folder that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return path


LINKS = {
    "train.log": "foreign/file",
    "config.yaml": "foreign/file",
    "metrics.json": "foreign/none",
    "images/training": "foreign",
    "images/samples/epoch_0001.png": "foreign/epoch_0001.png",
    "projector": "foreign",
    "generated": "foreign",
    "events.out.tfevents.1.host": "foreign/file",
    ".lock": "foreign/file",
    "a/deep/place": "foreign/file",
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_that_leads_out_is_refused_by_name(run, tmp_path, name):
    replace(run.path / name).symlink_to(tmp_path / LINKS[name])
    before = contents(tmp_path)
    for idle in (True, False):  # to be trained, or to be looked at
        told = f"^run={run.path}: {name} is a link that leads out of it, which a run directory may not hold; remove it$"
        with pytest.raises(UserError, match=told):
            open_run(str(run.path), "run", idle=idle)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["train", "evaluate", "generate"])
def test_every_command_that_opens_a_run_refuses_its_links(run, refused, tmp_path, command):
    (run.path / "images").mkdir()
    (run.path / "images/training").symlink_to("../../foreign")
    assert refused(command, run).startswith("images/training is a link that leads out of it")


def test_links_within_a_run_and_to_it_are_followed(run, tmp_path):
    (run.path / "newest.ckpt").symlink_to("checkpoints/last.ckpt")
    (run.path / "again").symlink_to(run.path / "checkpoints")
    (run.path / "circle").symlink_to("circle")
    (tmp_path / "way").symlink_to(run.path)
    assert open_run(str(tmp_path / "way"), "run").config() == run.config()


@pytest.mark.parametrize(
    "name", ["status.json", "metrics.csv", "checkpoints/last.ckpt", "images/training/epoch_0001.png"]
)
def test_a_pipe_is_refused_by_name(run, name):
    os.mkfifo(replace(run.path / name))
    with pytest.raises(UserError, match=f"^run=.*: {name} is a named pipe, which a run directory may not hold"):
        open_run(str(run.path), "run")


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("config.yaml", "a: !!python/object/apply:os.system [true]", "line 1: could not determine a constructor"),
        ("config.yaml", "a: &a [*a]", r"line 1: has an alias \(\*a\), which is not taken"),
        ("config.yaml", "[" * 3000, "nested too deep"),
        ("config.yaml", "- a\n- list", "it holds no keys"),
        ("config.yaml", "a" * 2_000_000, "larger than 1 MB"),
        ("overrides.yaml", "a" * 2_000_000, "larger than 1 MB"),
        ("config.yaml", b"\xff\xfe\xff", "invalid start byte"),
        ("overrides.yaml", "!!python/name:os.system", "line 1: could not determine a constructor"),
        ("overrides.yaml", "a: mapping", "it holds no list"),
        ("overrides.yaml", None, "No such file or directory"),
    ],
)
def test_a_config_that_can_not_be_read_ends_in_one_line(run, error_of, file, content, told):
    path = replace(run.path / file)
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = error_of(f"resume={run.path}")
    assert message.startswith(f"resume={run.path}: {file} can't be read (")
    with pytest.raises(UserError, match=told):
        open_run(str(run.path), "resume")


STATUSES = [
    '{"status": "running", "pid": -1}',
    '{"status": "running", "pid": "x"}',
    '{"status": "running", "pid": 1e999}',
    '{"status": "running", "pid": 123456789012345678901234567890}',
    '{"status": "running"}',
    '["running"]',
    "[" * 100_000,
]


@pytest.mark.parametrize("status", STATUSES)
def test_no_status_stands_in_the_way(run, status):
    (run.path / "status.json").write_text(status.replace("{", f'{{"host": "{os.uname().nodename}", ', 1))
    assert not RunDir(run.path).is_training()
    assert open_run(str(run.path), "run").path == run.path


def test_what_pictures_and_tables_a_stranger_left_does_not_stop_a_resumed_run(train, command):
    run = train(
        "++callbacks.training_gif._target_=vae_lightning.callbacks.training_gif.TrainingGif",
        "++callbacks.projector._target_=vae_lightning.callbacks.projector.Projector",
    )
    training = run.path / "images/training"
    (training / "epoch_0000.png").write_bytes(b"no picture")
    (training / "epoch_none.png").write_text("not ours")
    (training / "epoch_0099.png").mkdir()
    (run.path / "a.hparams").mkdir()
    (run.path / "projector").mkdir(exist_ok=True)
    (run.path / "projector/epoch_x.tsv").touch()
    (run.path / "projector/epoch_0099.tsv").touch()
    (run.path / "projector_config.pbtxt").write_text("{no protobuf")
    with (run.path / "metrics.csv").open("a") as table:
        table.write("7,")  # cut short
    command(f"resume={run.path}", "trainer.max_epochs=3")
    assert run.status()["status"] == "finished"
    assert (training / "epoch_none.png").read_text() == "not ours"
    assert "epoch_0000.png can't be read and is left out of training.gif" in (run.path / "train.log").read_text()
    assert not (run.path / "projector/epoch_0099.tsv").exists()


def test_a_generated_folder_is_not_left_by_what_its_list_says(tmp_path):
    from vae_lightning.runs.generated import MANIFEST, output_folder

    (tmp_path / "kept").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST).write_text(json.dumps({"files": ["../kept", str(tmp_path / "kept")]}))
    with output_folder(tmp_path / "out", True, {}) as staging:
        (staging / "new").touch()
    assert (tmp_path / "kept").exists()
    (tmp_path / "out" / MANIFEST).unlink()
    os.mkfifo(tmp_path / "out" / MANIFEST)
    with output_folder(tmp_path / "out", True, {}) as staging:
        (staging / "newer").touch()
    assert (tmp_path / "out/newer").exists()


def test_of_a_run_that_is_a_link_only_what_is_in_it_is_removed(tmp_path):
    (tmp_path / "real/images").mkdir(parents=True)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/file").touch()
    (tmp_path / "real/link").symlink_to(tmp_path / "foreign")
    (tmp_path / "run").symlink_to(tmp_path / "real")
    remove_run(tmp_path / "run")
    assert list((tmp_path / "real").iterdir()) == []
    assert (tmp_path / "foreign/file").exists()


def test_of_two_runs_that_want_a_place_at_once_one_gets_it(tmp_path, monkeypatch):
    def meanwhile(claim: Path, text: str) -> None:
        claim.write_text(text)
        (tmp_path / "run/status.json").write_text("another's")

    monkeypatch.setattr(directories, "write_atomically", meanwhile)
    assert directories._taken(tmp_path / "run") is None
    assert contents(tmp_path / "run") == {"status.json": b"another's"}
