"""Run directories, sweeps and searches that an earlier layout of the package left are used as they were then."""

import functools
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import refusal
from vae_lightning.command_line.schema import CONF_DIR
from vae_lightning.config import instantiate
from vae_lightning.runs.records import RunDir

ARCHIVE = Path(__file__).parents[1] / "earlier/2026-11.tar.xz"
RUNS = ("mlp", "conv", "iwae", "interrupted")
MODES = sorted(file.stem for file in (CONF_DIR / "mode").glob("*.yaml") if not file.stem.startswith("group_"))
FEW = ["nll.num_samples=20", "nll.num_images=20", "aggregate.num_images=50"]


@pytest.fixture
def outputs(command, tmp_path) -> Path:
    """What that version left, in the folder `outputs` of the current one."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "outputs", filter="data")
    return tmp_path / "outputs"


@pytest.fixture
def call(monkeypatch):
    """Call one of the commands in this process: `call("evaluate", "run=...")`."""

    def call(name: str, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [f"vae-{name}", *arguments])
        __import__(f"vae_lightning.{name}", fromlist=["main"]).main()

    return call


def expected(outputs: Path, name: str, kind: str) -> dict[str, Any]:
    return json.loads((outputs / "expected.json").read_text())[name][kind]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_evaluated_to_the_same_figures(outputs, call, name):
    metrics = "metrics=[elbo,nll,units,aggregate,reconstruction]"
    call("evaluate", f"run=outputs/{name}", "device=cpu", metrics, *FEW, f"out={name}.json")
    found, then = json.loads(Path(f"{name}.json").read_text()), expected(outputs, name, "evaluated")
    assert {key: found[key] for key in then} == {
        key: pytest.approx(value, rel=1e-4, abs=1e-6) for key, value in then.items()
    }


@pytest.mark.parametrize("name", RUNS)
def test_a_run_goes_on_to_the_same_figures(outputs, command, name):
    then = expected(outputs, name, "resumed")
    command(f"resume=outputs/{name}", f"trainer.max_epochs={then['epochs']}")
    run = RunDir(outputs / name)
    assert {key: run.metrics()[key] for key in then} == {key: pytest.approx(then[key], rel=1e-3) for key in then}
    assert run.status()["status"] == "finished"


@pytest.mark.parametrize("mode", MODES)
def test_a_run_shows_what_it_has_learned(outputs, call, mode):
    few = {"embedding": ["num_images=50"], "encode": [], "samples": ["num_images=4"]}.get(mode, [])
    call("generate", "run=outputs/mlp", "device=cpu", f"mode={mode}", *few)
    assert len(list((outputs / "mlp/generated" / mode).iterdir())) > 1


def test_runs_and_jobs_are_laid_side_by_side(outputs, call, capsys):
    call("report", "runs=[outputs/mlp,outputs/conv,outputs/iwae,outputs/interrupted]", "output=compared")
    call("report", "sweep=outputs/sweep", "output=swept")
    told = capsys.readouterr().out
    assert all(name in told for name in (*RUNS, "interrupted", "failed: the loss was not finite"))
    assert Path("compared/index.html").is_file()
    assert len(Path("swept/summary.csv").read_text().splitlines()) == 5


# Quoted as a shell takes it from `overrides.yaml` of that version.
SMALL = ["data=digits", "data.image_size=8", "trainer=cpu", "trainer.max_epochs=1", "trainer.precision=32-true"]
MLP = ["model=mlp", "model.encoder.hidden=[16]", "model.decoder.hidden=[16]", "callbacks=none"]


def test_a_sweep_is_gone_on_with(outputs, command, capsys):
    swept = ["model.latent_dim=2,3", "optimizer.lr=0.001,1e30", "sweep=outputs/sweep"]
    before = [(outputs / f"sweep/{job}/checkpoints/last.ckpt").stat().st_mtime_ns for job in (0, 2)]
    told = refusal(functools.partial(command, "-m", *SMALL, *MLP), *swept)
    assert told == "2 of 4 jobs have not finished: 1, 3"
    assert [(outputs / f"sweep/{job}/checkpoints/last.ckpt").stat().st_mtime_ns for job in (0, 2)] == before
    assert "(finished before)" in capsys.readouterr().out


def test_a_search_is_gone_on_with(outputs, command):
    pytest.importorskip("optuna")
    searched = ["hparams_search=optuna", "model.latent_dim=choice(2,3)", "hydra.sweeper.n_trials=3"]
    command("-m", *SMALL, *MLP, *searched, "sweep=outputs/search")
    jobs = sorted(path.name for path in (outputs / "search").iterdir() if path.name.isdecimal())
    assert jobs == ["0", "1", "2"]
    assert RunDir(outputs / "search/2").status()["status"] == "finished"


def test_yaml_of_ones_own_may_name_classes_where_they_were():
    schedule = instantiate({"_target_": "vae_lightning.learning_rates.Cosine", "warmup": 0.25}, "schedule")
    assert (type(schedule).__module__, schedule.warmup) == ("vae_lightning.training.schedules", 0.25)
    mode = instantiate({"_target_": "vae_lightning.generation.samples.Samples", "num_images": 3}, "")
    assert (type(mode).__name__, mode.num_images) == ("WriteSamples", 3)
