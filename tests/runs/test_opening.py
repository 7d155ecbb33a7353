"""A run is named by its directory, by a checkpoint in it, or as the latest one."""

from pathlib import Path

import pytest

from tests.runs.test_latest import begun
from vae_lightning.errors import UserError
from vae_lightning.runs.opening import named_run
from vae_lightning.runs.resuming import run_to_resume
from vae_lightning.runs.trained import open_trained


def test_latest_stands_for_a_run_unless_there_is_such_a_folder(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^run=latest: no run in outputs has a checkpoint; name a run's directory$"):
        named_run("latest", "run")
    begun(tmp_path / "outputs/2026-01-01/10_a", 1)
    assert named_run("latest", "run") == ("outputs/2026-01-01/10_a", None)
    assert told() == ["run=latest: outputs/2026-01-01/10_a"]
    (tmp_path / "latest").mkdir()
    assert named_run("latest", "run") == ("latest", None)


def test_ranks_of_a_launcher_name_the_run(monkeypatch):
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "1"}
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^run=latest: ranks might find different ones"):
        named_run("latest", "run")


def test_a_checkpoint_in_a_run_names_it(digits_run, tmp_path):
    run, last = str(digits_run.path), str(digits_run.last)
    assert named_run(str(digits_run.best), "run") == (run, "best")
    assert named_run(last, "run") == (run, "last")
    assert open_trained(last, device="cpu").checkpoint == "last.ckpt"
    with pytest.raises(UserError, match=f"^run={run} and ckpt=last: both name a checkpoint; give one of them$"):
        open_trained(last, "last", device="cpu")
    (tmp_path / "other.ckpt").touch()
    assert named_run(str(tmp_path / "other.ckpt"), "run") == (str(tmp_path / "other.ckpt"), None)


def test_the_latest_is_resumed(digits_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all/2026-01-01").mkdir(parents=True)
    (tmp_path / "all/2026-01-01/10_a").symlink_to(digits_run.path)
    assert run_to_resume("latest", "all")[0].path == Path("all/2026-01-01/10_a")
