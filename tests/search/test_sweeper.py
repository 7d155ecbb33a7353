"""A hyperparameter search: its space, its trials and how it is gone on with, under a launcher that trains nothing."""

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from optuna.trial import TrialState

from vae_lightning.building.trust import Trust
from vae_lightning.callbacks.pruning import open_storage
from vae_lightning.command_line.schema import CONF_DIR
from vae_lightning.config import instantiate
from vae_lightning.errors import UserError

BASE = ["-m", "hparams_search=optuna", "data=digits", "model=mlp"]
RATE = "optimizer.lr=tag(log,interval(1e-4,1e-2))"


def parse(*overrides: str) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


class FakeLauncher:
    """Answers each job with `outcome(values, number)`, as a launcher of Hydra's would."""

    def __init__(self, outcome):
        self.outcome = outcome
        self.batches: list[list[int]] = []
        self.jobs: dict[int, dict] = {}

    def launch(self, job_overrides, initial_job_idx):
        numbers = list(range(initial_job_idx, initial_job_idx + len(job_overrides)))
        self.batches.append(numbers)
        return [self._run(number, job) for number, job in zip(numbers, job_overrides, strict=True)]

    def _run(self, number, job):
        values = {override.key_or_group: override.value() for override in parse(*job)}
        assert values["trial"] == number
        self.jobs[number] = values
        result = JobReturn(overrides=job, status=JobStatus.COMPLETED)
        try:
            result.return_value = self.outcome(values, number)
        except Exception as error:
            result.return_value, result.status = error, JobStatus.FAILED
        return result


@pytest.fixture
def search(command, monkeypatch, tmp_path):
    """`search(outcome, *overrides)` runs the train command in `tmp_path/sweep` and returns the launcher."""

    def call(outcome, *overrides: str, place: str = "sweep") -> FakeLauncher:
        launcher = FakeLauncher(outcome)
        monkeypatch.setattr(Plugins, "instantiate_launcher", lambda *_, **__: launcher)
        key = "sweep" if (tmp_path / place).is_dir() else "sweep_dir"
        command(*BASE, f"{key}={tmp_path / place}", *overrides)
        return launcher

    return call


def trials_in(sweep: Path, storage: str | None = None, name: str = "search") -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=open_storage(storage, sweep)).get_trials()


def elbo(values: dict, number: int) -> dict[str, float]:
    """A parabola around lr = 1e-3."""
    return {"val/elbo": -(math.log10(values["optimizer.lr"] / 1e-3) ** 2), "test/elbo": 0.0}


def interrupted_at(last: int):
    def outcome(values, number):
        if number == last:
            raise KeyboardInterrupt
        return elbo(values, number)

    return outcome


# The search


def test_a_search_asks_launches_and_tells(search, tmp_path):
    launcher = search(elbo, RATE, "model.encoder.hidden=choice([16],[32,16])", "hydra.sweeper.n_trials=12")
    assert launcher.batches == [[number] for number in range(12)]
    trials = trials_in(tmp_path / "sweep")
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 12
    for trial in trials:
        job = launcher.jobs[trial.number]
        assert trial.params["optimizer.lr"] == job["optimizer.lr"]
        assert job["model.encoder.hidden"] in ([16], [32, 16])
        assert job["data"] == "digits"
        assert trial.value == elbo(job, 0)["val/elbo"]
        assert trial.user_attrs["directory"] == str(tmp_path / "sweep" / str(trial.number))
    best = max(trials, key=lambda trial: trial.value)
    text = (tmp_path / "sweep/best_params.yaml").read_text()
    assert text.startswith(f"# trial {best.number}: val/elbo")
    (hidden,) = parse(f"model.encoder.hidden={best.params['model.encoder.hidden']}")
    assert {override.key_or_group: override.value() for override in parse(*yaml.safe_load(text))} == {
        "optimizer.lr": best.params["optimizer.lr"],
        "model.encoder.hidden": hidden.value(),
    }


def test_it_learns(search, tmp_path):
    wide = "optimizer.lr=tag(log,interval(1e-9,1e3))"
    jobs = search(elbo, wide, "hydra.sweeper.n_trials=40").jobs
    misses = [abs(math.log10(job["optimizer.lr"] / 1e-3)) for job in jobs.values()]
    assert sum(misses[-10:]) < 0.7 * sum(misses[:10])


def test_outcomes_become_states(search, tmp_path, capsys):
    values = [-1.0, None, math.nan, -math.inf]

    def outcome(_, number):
        if number == 4:
            raise UserError("job 4: no such luck")
        return None if number == 5 else {"val/elbo": values[number]}

    search(outcome, RATE, "hydra.sweeper.n_trials=6")
    states = [trial.state.name for trial in trials_in(tmp_path / "sweep")]
    assert states == ["COMPLETE", "FAIL", "FAIL", "FAIL", "FAIL", "FAIL"]
    printed, errors = capsys.readouterr()
    assert "trial 4: job 4: no such luck" in printed
    assert "trial 2 failed: val/elbo is nan" in printed
    assert "best of 6 trials (1 finished, 5 failed)" in printed
    assert "Error executing job" not in errors


def test_a_minimum_can_be_searched(search, tmp_path):
    def rate(values, number):
        return {"val/rate": float(number)}

    search(rate, RATE, "hydra.sweeper.n_trials=3", "hydra.sweeper.metric=val/rate", "hydra.sweeper.direction=minimize")
    assert "# trial 0: val/rate 0.00" in (tmp_path / "sweep/best_params.yaml").read_text()


def test_a_pruned_trial_is_told_as_such(search, tmp_path):
    def outcome(values, number):
        study = optuna.load_study(study_name="search", storage=open_storage(None, tmp_path / "sweep"))
        trial = optuna.trial.Trial(study, study.trials[number]._trial_id)
        trial.report(-5.0, 0)
        if number == 1:
            trial.set_user_attr("pruned_after_epoch", 1)
        return {"val/elbo": -4.0}

    search(outcome, RATE, "hydra.sweeper.n_trials=2")
    trials = trials_in(tmp_path / "sweep")
    assert [(trial.state.name, trial.value) for trial in trials] == [("COMPLETE", -4.0), ("PRUNED", -5.0)]


def test_batches_are_as_large_as_asked_for(search):
    assert search(elbo, RATE, "hydra.sweeper.n_trials=7", "hydra.sweeper.n_jobs=3").batches == [
        [0, 1, 2],
        [3, 4, 5],
        [6],
    ]


def test_batches_fill_the_joblib_launcher(search):
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert search(elbo, RATE, "hydra.sweeper.n_trials=3", *joblib).batches == [[0, 1], [2]]


def test_a_seed_repeats_a_search(search, tmp_path):
    def values(*overrides):
        jobs = search(elbo, RATE, "hydra.sweeper.n_trials=14", *overrides).jobs
        (tmp_path / "sweep").rename(tmp_path / f"sweep_{len(list(tmp_path.iterdir()))}")
        return [job["optimizer.lr"] for job in jobs.values()]

    first = values()
    assert len(set(first)) == 14
    assert values() == first
    assert values("seed=1") != first


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_an_interrupted_search_repeats_a_whole_one(search, tmp_path, sampler):
    space = (RATE, "model.latent_dim=int(interval(2,64))", f"hydra/sweeper/sampler={sampler}")
    whole = search(elbo, *space, "hydra.sweeper.n_trials=14").jobs
    (tmp_path / "sweep").rename(tmp_path / "whole")
    with pytest.raises(SystemExit) as exit_info:
        search(interrupted_at(11), *space, "hydra.sweeper.n_trials=14")
    assert exit_info.value.code == 130
    assert [trial.state.name for trial in trials_in(tmp_path / "sweep")] == ["COMPLETE"] * 11 + ["RUNNING"]
    rest = search(elbo, *space, "hydra.sweeper.n_trials=14")
    assert rest.batches == [[11], [12], [13]]
    for key in ("optimizer.lr", "model.latent_dim"):
        assert [rest.jobs[number][key] for number in (11, 12, 13)] == [whole[number][key] for number in (11, 12, 13)]
    assert [trial.state.name for trial in trials_in(tmp_path / "sweep")] == ["COMPLETE"] * 14
    assert search(elbo, *space, "hydra.sweeper.n_trials=14").batches == []
    assert search(elbo, *space, "hydra.sweeper.n_trials=15").batches == [[14]]


@pytest.mark.parametrize("settings", [[], ["hydra.sweeper.storage=sqlite:///search.db", "hydra.sweeper.study_name=a"]])
def test_a_search_that_was_moved_goes_on_with_its_trials(search, tmp_path, settings):
    with pytest.raises(SystemExit):
        search(interrupted_at(1), RATE, *settings)
    (tmp_path / "sweep").rename(tmp_path / "moved")
    rest = search(elbo, RATE, *settings, "hydra.sweeper.n_trials=3", place="moved")
    assert rest.batches == [[1], [2]]


def test_an_interrupted_batch_is_launched_again_with_what_is_new(search, tmp_path):
    settings = (RATE, "hydra.sweeper.n_trials=9", "hydra.sweeper.n_jobs=3")
    with pytest.raises(SystemExit):
        search(interrupted_at(5), *settings)
    before = {trial.number: trial.params for trial in trials_in(tmp_path / "sweep")}
    rest = search(elbo, RATE, "hydra.sweeper.n_trials=9", "hydra.sweeper.n_jobs=4")
    assert rest.batches == [[3, 4, 5, 6], [7, 8]]
    for number in (3, 4, 5):
        assert rest.jobs[number]["optimizer.lr"] == before[number]["optimizer.lr"]


def test_killed_between_asking_and_launching(search, tmp_path):
    search(elbo, RATE, "hydra.sweeper.n_trials=2")
    study = optuna.load_study(study_name="search", storage=open_storage(None, tmp_path / "sweep"))
    study.ask()  # has no values yet, and is not signed
    rest = search(elbo, RATE, "hydra.sweeper.n_trials=4")
    assert rest.batches == [[2], [3]]
    assert len({trial.params["optimizer.lr"] for trial in trials_in(tmp_path / "sweep")}) == 4


def test_gaps_between_numbers_split_a_batch(search, tmp_path):
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    settings = (RATE, "hydra.sweeper.n_jobs=8", f"hydra.sweeper.storage={storage}", "hydra.sweeper.study_name=mine")

    def interrupted(values, number):
        # Meanwhile the search of another directory asks for a trial of this study, and is running it.
        optuna.load_study(study_name="mine", storage=storage).ask().set_user_attr("search", "another")
        raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        search(interrupted, *settings, "hydra.sweeper.n_trials=2")
    rest = search(elbo, *settings, "hydra.sweeper.n_trials=5")
    assert rest.batches == [[0, 1], [3, 4]]
    states = [trial.state.name for trial in trials_in(tmp_path, storage, "mine")]
    assert states == ["COMPLETE", "COMPLETE", "RUNNING", "COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("storage", ["sqlite:///search.db", "shared.log"])
def test_a_storage_can_be_named(search, tmp_path, storage):
    settings = (RATE, f"hydra.sweeper.storage={storage}", "hydra.sweeper.study_name=mine")
    search(elbo, *settings, "hydra.sweeper.n_trials=2")
    assert search(elbo, *settings, "hydra.sweeper.n_trials=3").batches == [[2]]
    assert len(trials_in(tmp_path, storage, "mine")) == 3
    assert not (tmp_path / "sweep/study.log").exists()


def test_two_directories_make_up_one_study(search, tmp_path):
    settings = (RATE, "hydra.sweeper.storage=sqlite:///search.db", "hydra.sweeper.study_name=mine")
    search(elbo, *settings, "hydra.sweeper.n_trials=3")
    (tmp_path / "sweep").rename(tmp_path / "other")
    assert search(elbo, *settings, "hydra.sweeper.n_trials=5").batches == [[3], [4]]


def test_a_grid_ends_when_it_is_done(search, tmp_path):
    grid = (
        "hydra/sweeper/sampler=random",
        "hydra.sweeper.sampler._target_=optuna.samplers.GridSampler",
        "+hydra.sweeper.sampler.search_space={model.latent_dim:['2','8','32']}",
    )
    jobs = search(lambda values, number: {"val/elbo": -1.0}, "model.latent_dim=2,8,32", *grid).jobs
    assert sorted(job["model.latent_dim"] for job in jobs.values()) == [2, 8, 32]


def test_a_quasi_random_sequence_goes_on_where_it_stopped(search, tmp_path):
    qmc = ("hydra/sweeper/sampler=random", "hydra.sweeper.sampler._target_=optuna.samplers.QMCSampler")
    settings = ("optimizer.lr=interval(0,1)", *qmc, "hydra.sweeper.n_trials=9")
    search(lambda values, number: {"val/elbo": 0.0}, *settings[:-1], "hydra.sweeper.n_trials=4")
    search(lambda values, number: {"val/elbo": 0.0}, *settings)
    # Its first trial aside, which is random: eight numbers of a Sobol sequence, one in each eighth.
    rates = [trial.params["optimizer.lr"] for trial in trials_in(tmp_path / "sweep")][1:]
    assert sorted(int(8 * rate) for rate in rates) == list(range(8))


def test_own_yaml_of_a_space(search, tmp_path):
    folder = tmp_path / "my_conf/hparams_search"
    folder.mkdir(parents=True)
    params = "{optimizer.lr: 'tag(log,interval(1e-4,1e-2))', model.latent_dim: 'choice(2,8,32)'}"
    text = f"# @package _global_\ndefaults: [optuna]\nhydra: {{sweeper: {{params: {params}}}}}\n"
    (folder / "mine.yaml").write_text(text)
    options = ("hparams_search=mine", f"hydra.searchpath=[file://{tmp_path / 'my_conf'}]", "hydra.sweeper.n_trials=2")
    jobs = search(elbo, *options, "model.latent_dim=8").jobs
    assert [job["model.latent_dim"] for job in jobs.values()] == [8, 8]
    assert 1e-4 <= jobs[0]["optimizer.lr"] <= 1e-2


@pytest.mark.parametrize("group", ["sampler", "pruner"])
def test_every_sampler_and_pruner_can_be_searched_with(search, tmp_path, group):
    for file in sorted((CONF_DIR / "hydra/sweeper" / group).glob("*.yaml")):
        sweep = f"hydra.sweep.dir={tmp_path / file.stem}"
        assert (
            len(search(elbo, RATE, "hydra.sweeper.n_trials=2", f"hydra/sweeper/{group}={file.stem}", sweep).jobs) == 2
        )


# Mistakes


def one_line(search, *arguments) -> str:
    with pytest.raises(SystemExit) as exit_info:
        search(*arguments)
    assert "\n" not in str(exit_info.value.code)
    return str(exit_info.value.code)


def test_a_metric_that_runs_do_not_have(search):
    message = one_line(search, elbo, RATE, "hydra.sweeper.metric=val/elb")
    assert message == "error: hydra.sweeper.metric=val/elb: no such figure of a run; valid here: test/elbo, val/elbo"


def test_a_search_in_which_nothing_finishes(search):
    message = one_line(search, lambda values, number: None, RATE, "hydra.sweeper.n_trials=2")
    assert message.endswith("none of the search's 2 trials has finished")


def test_a_study_that_cannot_be_gone_on_with(search):
    space = "model.latent_dim=choice(2,8)"
    search(lambda values, number: {"val/elbo": 0.0}, space, "hydra.sweeper.n_trials=1")
    more = "hydra.sweeper.n_trials=2"
    message = one_line(search, elbo, "model.latent_dim=choice(2,8,32)", more)
    assert "model.latent_dim: trial 0 of this study was searched in choice(2,8)" in message
    message = one_line(search, elbo, space, more, "hydra.sweeper.direction=minimize")
    assert "hydra.sweeper.direction=minimize: the study search is there already, and is to maximize" in message


def test_what_another_process_is_running_is_not_run_again(search, tmp_path):
    from filelock import FileLock

    search(elbo, RATE, "hydra.sweeper.n_trials=1")
    with FileLock(tmp_path / "sweep/.search.lock"):
        assert "another process is running this search" in one_line(search, elbo, RATE)


def test_a_trial_that_outlived_its_search_is_not_run_again(search, tmp_path):
    def killed(values, number):
        (tmp_path / "sweep/0").mkdir()
        status = {"status": "running", "host": socket.gethostname(), "pid": os.getpid()}  # which is alive
        (tmp_path / "sweep/0/status.json").write_text(json.dumps(status))
        raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        search(killed, RATE)
    one_line(search, lambda values, number: pytest.fail("launched again"), RATE)
    assert [trial.state.name for trial in trials_in(tmp_path / "sweep")] == ["RUNNING"]


def test_a_stored_config_may_prune():
    pruner = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 3}
    node = {"_target_": "vae_lightning.callbacks.pruning.PruneTrial", "trial": 0, "pruner": pruner}
    assert isinstance(instantiate(node, "callbacks.pruning", trusted=Trust()).pruner, optuna.pruners.MedianPruner)


def test_other_commands_do_not_import_optuna():
    register = "from vae_lightning.command_line.schema import register; register()"
    script = f"import sys; {register}; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
