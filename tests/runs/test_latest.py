"""Which run and which sweep is the newest."""

import os
from pathlib import Path

import pytest

from vae_lightning.errors import UserError
from vae_lightning.runs.latest import latest_run, named_sweep


def begun(folder: Path, time: float, config: bool = True, checkpoint: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "status.json").write_text("{}")
    os.utime(folder / "status.json", (time, time))
    if checkpoint:
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints/last.ckpt").touch()
    if config:
        (folder / "config.yaml").write_text("name: x")
    return folder


def test_the_latest_is_the_one_whose_status_has_changed_last(tmp_path):
    assert latest_run(tmp_path / "none") is None
    begun(tmp_path / "2026-01-01/10_a", 100)
    job = begun(tmp_path / "sweeps/2026-01-01/09_b/3", 300)
    begun(tmp_path / "2026-01-02/11_c", 200)
    begun(tmp_path / "2026-01-02/12_d", 400, config=False)  # still being checked
    begun(tmp_path / "2026-01-02/12_f", 400, checkpoint=False)  # nothing of it can be opened
    (tmp_path / "2026-01-03/13_e").mkdir(parents=True)
    assert latest_run(tmp_path) == job
    mine = begun(tmp_path / "mine", 500)  # as run_dir=outputs/mine puts it
    assert latest_run(tmp_path) == mine


def test_latest_stands_for_a_sweep(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^run=best@latest: there is no sweep in outputs; name a sweep's directory$"):
        named_sweep("latest", "run=best@")
    for number, folder in enumerate(("sweeps/2026-01-01/09_b", "paper", "2026-01-01/mine")):
        begun(Path("outputs") / folder / "0", 300 - number)
        (Path("outputs") / folder / "multirun.yaml").touch()
        os.utime(Path("outputs") / folder / "multirun.yaml", (1, 1))
    begun(Path("outputs/2026-01-02/10_a"), 400)  # a run
    Path("outputs/sweeps/2026-01-02/refused/0").mkdir(parents=True)  # a sweep of which no job has begun
    Path("outputs/sweeps/2026-01-02/refused/multirun.yaml").touch()
    assert named_sweep("latest") == "outputs/sweeps/2026-01-01/09_b"
    assert told() == ["sweep=latest: outputs/sweeps/2026-01-01/09_b"]
    begun(Path("outputs/paper/1"), 500)
    assert named_sweep("latest") == "outputs/paper"
    assert named_sweep("outputs/2026-01-01/mine") == "outputs/2026-01-01/mine"
    with pytest.raises(UserError, match="there is no sweep in mine"):
        named_sweep("latest", output_dir="mine")
    (tmp_path / "latest").mkdir()
    assert named_sweep("latest") == "latest"


def test_ranks_of_a_launcher_name_the_sweep(monkeypatch):
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "1"}
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^sweep=latest: ranks might find different ones"):
        named_sweep("latest")
