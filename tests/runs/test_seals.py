"""A resumed run is told to the services that its user has typed, and to none that a stranger's config has."""

import json
import shutil
from pathlib import Path

import pytest

from vae_lightning.building.trust import trusting
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.resuming import resumed_config
from vae_lightning.runs.seals import own_services, rewrite_config, seal_services

WANDB = {"_target_": "vae_lightning.loggers.wandb.WandB", "mode": "online", "entity": "team"}
CSV = {"_target_": "vae_lightning.loggers.metrics_csv.MetricsCSV"}


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> Path:
    """Where the user's key lies."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def run(tmp_path) -> RunDir:
    (tmp_path / "run").mkdir()
    return RunDir(tmp_path / "run")


@pytest.fixture
def config(tmp_path) -> dict:
    (tmp_path / "all").mkdir()
    return {"logger": {"wandb": WANDB, "csv": CSV}, "output_dir": str(tmp_path / "all")}


def test_what_was_typed_is_known_again_wherever_the_run_has_been_moved_to(run, config, tmp_path):
    seal_services(run, config, None)
    moved = RunDir(shutil.move(run.path, tmp_path / "moved"))
    assert own_services(moved, config) == (["wandb"], str(tmp_path / "all"))
    (tmp_path / "all").rmdir()
    assert own_services(moved, config) == (["wandb"], None)


@pytest.mark.parametrize(
    "change",
    [{"wandb": WANDB | {"entity": "stranger"}}, {"other": WANDB}, {"wandb": CSV}, {"wandb": "x"}, None, {}],
    ids=["other entity", "other name", "no service", "no node", "none", "empty"],
)
def test_what_has_been_changed_since_is_not_the_users(run, config, change):
    seal_services(run, config, None)
    assert own_services(run, config | {"logger": change})[0] == []


@pytest.mark.parametrize("part", ["name", "seed", "data", "model", "objective"])
def test_the_seal_of_one_run_opens_no_other(run, config, part):
    seal_services(run, config | {part: "this"}, None)
    assert own_services(run, config | {part: "this"})[0] == ["wandb"]
    assert own_services(run, config | {part: "that"})[0] == []


def test_what_another_user_typed_is_not_this_ones(run, config, state):
    seal_services(run, config, None)
    (state / "vae_lightning/key").unlink()
    assert own_services(run, config) == ([], None)
    seal_services(RunDir(state), config, None)  # which makes a key
    assert own_services(run, config) == ([], None)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"output_dir": 3, "seals": {}}', '{"output_dir": "x", "seals": {"wandb": 3}}', "[" * 99],
)
def test_a_strangers_file_seals_nothing(run, config, content):
    seal_services(run, config, None)
    (run.path / "services.json").write_text(content)
    assert own_services(run, config) == ([], None)


def test_of_a_stored_config_that_is_sealed_which_was_typed(run, config):
    # What is not typed of it may be a stranger's: its server, say.
    seal_services(run, config, trusting((), ["logger.wandb.entity", "logger.wandb._target_", "logger.csv"]))
    assert not (run.path / "services.json").exists()
    for typed in ("logger", "logger.wandb"):
        seal_services(run, config, trusting((), [typed]))
        assert own_services(run, config)[0] == ["wandb"]
    seal_services(run, config | {"logger": {"csv": CSV}}, None)
    assert not (run.path / "services.json").exists()


def test_the_key_is_one_that_nobody_else_reads(run, config, state):
    seal_services(run, config, None)
    key, seals = state / "vae_lightning/key", (run.path / "services.json").read_text()
    assert key.parent.stat().st_mode & 0o077 == 0
    assert key.read_bytes().hex() not in seals
    seal_services(run, config, None)
    assert (run.path / "services.json").read_text() == seals


def test_without_a_place_for_a_key_nothing_is_sealed(run, config, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    seal_services(run, config, None)
    assert list(run.path.iterdir()) == []
    assert own_services(run, config) == ([], None)


def test_what_has_the_files_name_and_is_none_ends_nothing(run, config):
    (run.path / "services.json").mkdir()
    seal_services(run, config, None)
    assert own_services(run, config) == ([], None)


def test_a_state_folder_that_is_relative_is_none(run, config, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    seal_services(run, config, None)
    assert (tmp_path / "home/.local/state/vae_lightning/key").is_file()
    assert not (tmp_path / "here").exists()


def test_a_resumed_run_has_its_own_services_with_what_is_typed_now(digits_run, moved, config, tmp_path):
    run = moved(digits_run)
    config = run.config() | config
    run.write_config(config, [])
    seal_services(run, config, None)
    composed = {"trust": [], "trainer": {}, "output_dir": "outputs", "logger": {"wandb": {"mode": "offline"}}}
    stored, trust = resumed_config(run, composed, ["logger.wandb.mode=offline"])
    assert stored["logger"]["wandb"] == WANDB | {"mode": "offline"}
    assert trust.is_typed("logger.wandb.entity")
    assert not trust.is_typed("logger.csv")
    assert stored["output_dir"] == str(tmp_path / "all")
    for word in ("output_dir=outputs", "++output_dir=outputs"):
        assert resumed_config(run, composed, [word])[0]["output_dir"] == "outputs"
    (run.path / "services.json").write_text(json.dumps({"output_dir": "/", "seals": {"wandb": "00"}}))
    stored, trust = resumed_config(run, composed, [])
    assert (stored["output_dir"], trust.is_typed("logger.wandb")) == ("outputs", False)


def test_a_config_that_is_written_anew_is_sealed_anew_as_far_as_it_was_sealed(run, config):
    run.write_config(config | {"data": {"value_range": "auto"}}, ["data=folder"])
    seal_services(run, config | {"data": {"value_range": "auto"}}, None)
    found = config | {"data": {"value_range": [0, 4095]}}
    rewrite_config(run, found)
    assert (run.config(), run.overrides()) == (found, ["data=folder"])
    assert own_services(run, found)[0] == ["wandb"]
    (run.path / "services.json").unlink()
    rewrite_config(run, config)
    assert own_services(run, config)[0] == []
