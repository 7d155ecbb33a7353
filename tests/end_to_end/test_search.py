"""The search command as a user calls it, on the digits: its trials are ordinary jobs of a sweep."""

import json
import signal
import subprocess
from pathlib import Path

import optuna
import pytest
import yaml

from tests.conftest import TINY
from tests.end_to_end.runs import run_command, started, wait_for
from vae_lightning.callbacks.pruning import open_storage
from vae_lightning.runs.records import RunDir

SEARCH = ["hparams_search=optuna", "callbacks=none", "optimizer.lr=tag(log,interval(1e-4,1e-2))"]


def run(cwd: Path, *arguments: str) -> subprocess.CompletedProcess:
    return run_command("-m", *SEARCH, *arguments, cwd=cwd)


def trials_in(sweep: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="search", storage=open_storage(None, sweep)).trials


def test_trials_are_jobs_of_a_sweep(tmp_path):
    # Beside each other; tests/end_to_end/test_readme.py has a search of one after the other.
    arguments = ["data=digits", "trainer=cpu", "debug=fast", "model=mlp,conv", "optimizer=adam,adamw"]
    arguments += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = run(tmp_path, *arguments, "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "outputs/sweeps").glob("*/*")  # though it is named for the model, which the trials vary
    assert {trial.params["model"] for trial in trials_in(sweep)} == {"mlp", "conv"}
    assert_trials_are_jobs(sweep, 3, done.stdout)


def assert_trials_are_jobs(sweep: Path, num_trials: int, printed: str) -> None:
    """Each trial is a run with the trial's values, and the best is told."""
    trials = trials_in(sweep)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * num_trials
    for trial in trials:
        job = RunDir(sweep / str(trial.number))
        assert job.status()["status"] == "finished"
        assert job.config()["optimizer"]["lr"] == trial.params["optimizer.lr"]
        assert "model" not in trial.params or f"model={trial.params['model']}" in job.overrides()
        assert trial.value == job.metrics()["val/elbo"]
        assert trial.intermediate_values == {0: pytest.approx(trial.value)}
    best = max(trials, key=lambda trial: trial.value)
    overrides = yaml.safe_load((sweep / "best_params.yaml").read_text())
    assert f"optimizer.lr={best.params['optimizer.lr']!r}" in overrides
    assert f"trial {best.number}: val/elbo" in printed


def test_an_interrupted_search_goes_on_in_a_directory_that_was_moved(tmp_path):
    settings = [*TINY, "trainer.max_epochs=30", "hydra.sweeper.n_trials=1"]
    process = started("-m", *SEARCH, *settings, f"sweep_dir={tmp_path / 'sweep'}", cwd=tmp_path)
    wait_for(RunDir(tmp_path / "sweep/0").last.is_file)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    (before,) = trials_in(tmp_path / "sweep")
    assert before.state.name == "RUNNING"
    (tmp_path / "sweep").rename(tmp_path / "moved")
    done = run(tmp_path, *settings, f"sweep={tmp_path / 'moved'}")
    assert done.returncode == 0, done.stderr
    (after,) = trials_in(tmp_path / "moved")
    assert (after.state.name, after.params) == ("COMPLETE", before.params)
    assert list(after.intermediate_values) == list(range(30))
    assert json.loads((tmp_path / "moved/0/metrics.json").read_text())["epochs"] == 30
    assert not (tmp_path / "sweep").exists()


def test_all_ranks_of_a_pruned_trial_stop(tmp_path):
    below = ["hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner", "+hydra.sweeper.pruner.lower=0.0"]
    settings = [*TINY, "trainer=ddp_cpu", "trainer.max_epochs=5", "hydra.sweeper.n_trials=1"]
    done = run(tmp_path, *settings, "hydra/sweeper/pruner=none", *below, f"sweep_dir={tmp_path / 'sweep'}")
    (trial,) = trials_in(tmp_path / "sweep")
    assert trial.state.name == "PRUNED", done.stderr
    assert trial.user_attrs["pruned_after_epoch"] == 1
    job = RunDir(tmp_path / "sweep/0")
    assert job.status()["status"] == "finished"
    assert job.metrics()["epochs"] == 1
    assert trial.value == pytest.approx(job.metrics()["val/elbo"])
    assert done.returncode == 1
    assert "none of the search's 1 trials has finished" in done.stderr
