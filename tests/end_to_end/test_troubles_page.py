"""docs/troubles.md: its commands run, and what it says is ill shows in the figure that it names, and is cured."""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pages import page
from tests.test_config import composed
from tests.trained import train_once
from vae_lightning.errors import UserError
from vae_lightning.runs.records import RunDir

PAGE = page("docs/troubles.md")
PROGRAM = "vae-"
TRAINED = [line.removeprefix(f"{PROGRAM}train ") for line in PAGE.commands if line.startswith(f"{PROGRAM}train ")]
LOOKED = [line for line in PAGE.commands if line.startswith((f"{PROGRAM}evaluate ", f"{PROGRAM}generate "))]
SHORT = ["trainer=cpu", "trainer.num_threads=1"]


def words_of(name: str) -> list[str]:
    """What the page has one type for the run of this directory, without that."""
    (line,) = (line for line in TRAINED if line.endswith(f"run_dir=outputs/{name}"))
    return shlex.split(line)[:-1]


@pytest.fixture(scope="module")
def run_of(tmp_path_factory) -> Callable[..., RunDir]:
    """The page's run of that directory, trained once for all tests; `more` makes it shorter."""
    folder, runs = tmp_path_factory.mktemp("troubles"), {}

    def run(name: str, *more: str) -> RunDir:
        if name not in runs:
            typed = {one.partition("=")[0] for one in more}
            kept = [word for word in words_of(name) if word.partition("=")[0] not in typed]
            runs[name] = train_once(folder / name, *kept, *SHORT, *more)
        return runs[name]

    return run


@pytest.mark.parametrize("line", TRAINED)
def test_each_training_composes(line):
    assert composed(*shlex.split(line))["model"]["encoder"]


def test_what_is_looked_at_is_a_run_of_the_page():
    trained = set(re.findall(r"run_dir=(\S+)", " ".join(TRAINED)))
    looked_at = re.findall(r" run=(\S+)", " ".join(LOOKED))
    assert len(looked_at) >= 10
    assert set(looked_at) <= trained


@pytest.mark.parametrize("line", LOOKED)
def test_each_look_runs(line, digits_run, moved, tmp_path, monkeypatch):
    from vae_lightning import evaluate, generate

    name, *words = shlex.split(line.removeprefix(PROGRAM))
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((28, 28), np.uint8)).save("first.png")
    words = [word.replace("disentanglement,", "") for word in words]  # the digits have no factors
    if "metrics=[samples]" in words:
        words += ["samples.num_images=20"]
    typed = [f"run={moved(digits_run).path}" if word.startswith("run=") else word for word in words]
    monkeypatch.setattr(sys, "argv", [f"vae-{name}", "device=cpu", *typed])
    {"evaluate": evaluate, "generate": generate}[name].main()


def test_a_collapse_shows_in_the_rate_and_is_cured(run_of):
    ill, cured = (run_of(name, "trainer.max_epochs=4").metrics() for name in ("collapsed", "shallow"))
    assert (ill["val/active_units"], cured["val/active_units"]) == (0, 20)
    assert ill["test/rate"] < 0.5 < 3 < cured["test/rate"]


def test_a_dead_encoder_shows_in_its_units_and_is_told_and_cured(run_of):
    run, cured = run_of("dead"), run_of("alive").metrics()
    assert run.metrics()["val/active_units"] == 0
    assert run.metrics()["test/rate"] > 1
    assert "the same code, at a rate of" in (run.path / "train.log").read_text()
    assert cured["val/active_units"] == 20


def test_an_explosion_shows_in_the_elbo_and_is_told_and_cured(run_of):
    run, cured = run_of("exploded"), run_of("alive").metrics()
    assert run.metrics()["test/elbo"] < -1e6 < -400 < cured["test/elbo"]
    assert "the training has diverged" in (run.path / "train.log").read_text()


def test_what_is_not_finite_ends_the_run(tmp_path):
    with pytest.raises((UserError, SystemExit)):
        train_once(tmp_path / "run", *words_of("not_finite"), *SHORT)
    assert "the loss was not finite at step 1" in RunDir(tmp_path / "run").status()["reason"]


def test_a_negative_loss_is_of_a_density(run_of):
    density, bits = (
        run_of(name, "trainer.max_epochs=3", "optimizer.lr=0.003").metrics() for name in ("density", "bits")
    )
    assert density["test/loss"] < 0 < density["test/elbo"]
    assert "log-density" in density["test/kind"]
    assert bits["test/elbo"] < 0 < bits["test/loss"]
    assert "256 levels" in bits["test/kind"]


def test_the_first_table_leads_to_every_section():
    led = set(re.findall(r"\]\(#([\w-]+)\) \|", PAGE.text))
    assert led == PAGE.anchors - {"what-was-tried", "my-vae-is-bad"}


def test_its_pictures_are_small():
    folder = Path(__file__).parents[2] / "docs/images"
    pictures = list(folder.glob("trouble_*"))
    assert len(pictures) >= 3
    assert all(picture.stat().st_size < 40_000 for picture in pictures)
