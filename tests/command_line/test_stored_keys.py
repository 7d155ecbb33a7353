"""Beside `resume=` the keys of the run's own options may be typed, whatever a new run would have."""

import json
import sys

import pytest

from tests.conftest import refusal
from tests.loggers.tracked import command
from tests.trained import write_pictures
from vae_lightning.command_line.stored_keys import as_typed, for_hydra
from vae_lightning.runs.records import RunDir


def test_only_single_keys_of_a_resumed_run_are_added():
    words = ["resume=x", "data.root=/a=b", "model=mlp", "model.x=1", "+data.a=1", "trainer.max_epochs=3", "~logger.csv"]
    assert for_hydra(words) == ["resume=x", "++data.root=/a=b", *words[2:]]
    assert for_hydra(words[1:]) == words[1:]
    assert as_typed(["++data.root=/a=b", "++model.x=1"], ["data.root=/a=b", "++model.x=1"]) == [
        "data.root=/a=b",
        "++model.x=1",
    ]


@pytest.fixture
def run(tmp_path) -> RunDir:
    """A run on a folder of pictures, with an objective that is not the default one."""
    write_pictures(tmp_path / "pictures", 20)
    data = ["data=folder", "data.root=pictures", "data.image_size=8", "data.val_fraction=0.3", "data.test_fraction=0.3"]
    data.append("data.batch_size=2")
    small = ["model=mlp", "model.encoder.hidden=[4]", "model.decoder.hidden=[4]", "callbacks=none", "trainer=cpu"]
    own = ["objective=geco", "objective.tolerance=0.1", "trainer.max_epochs=1", "run_dir=run"]
    command(tmp_path, *data, *small, *own)
    return RunDir(tmp_path / "run")


def test_keys_of_the_runs_own_options_count_and_are_recorded_as_typed(run, tmp_path):
    keys = [f"data.cache_dir={tmp_path}/cache", "data.max_pixels=100000", "objective.tolerance=0.2"]
    command(tmp_path, "resume=run", *keys, "trainer.max_epochs=2")
    config = run.config()
    assert (config["data"]["max_pixels"], config["objective"]["tolerance"]) == (100_000, 0.2)
    assert run.overrides()[-5:] == ["resume=run", *keys, "trainer.max_epochs=2"]
    assert json.loads((run.path / "environment.json").read_text())["command"][1:] == run.overrides()[-5:]
    assert sys.argv[1:] != run.overrides()[-5:]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.max_pixel=1", "data.max_pixel: no such key; did you mean max_pixels? "),
        ("objective.beta=1", "objective.beta: no such key; "),
        ("callbacks.traversals.num_dims=1", "callbacks.traversals.num_dims=1: {run} has no callbacks.traversals"),
        ("schedule.x=1", "schedule.x=1: {run} has no schedule"),
        ("callbacks=none callbacks.samples.num_images=3", "callbacks.samples.num_images: no such key"),
        ("callbacks.mine={_target_:own.Mine}", "callbacks.mine: no such key"),
        ("logger.wand=null", "logger.wand: no such key; valid here: csv, tensorboard"),
        ("data.batch_size=1,2", "data.batch_size=1,2: several values are a sweep"),
        ("model.encoder.hidden=[5]", "model.encoder.hidden=[5]: {run} was trained with another, which a resumed run"),
        ("model.encodr.hidden=[5]", "model.encodr.hidden=[5]: {run} has no model.encodr"),
        ("model.encoder.hiden=[5]", "model.encoder.hiden: no such key; did you mean hidden? "),
    ],
)
def test_a_key_that_the_run_has_not_is_told(run, tmp_path, override, message):
    told = refusal(command, tmp_path, "resume=run", *override.split(" "), "trainer.max_epochs=2")
    assert told.startswith(message.format(run="run"))


def test_keys_of_an_option_that_is_typed_beside_them_are_its_own(run, tmp_path):
    words = ["callbacks.samples.every_n_epochs=1", "callbacks=[samples]"]
    command(tmp_path, "resume=run", *words, "trainer.max_epochs=2")
    assert run.config()["callbacks"]["samples"]["every_n_epochs"] == 1
    assert list((run.path / "images/samples").iterdir())
