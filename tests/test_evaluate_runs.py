"""evaluate on a sweep, or on several runs: each is a job, what is recorded is left out, and each fails alone."""

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import refusal
from tests.end_to_end.runs import run_command, started, wait_for
from tests.trained import write_pictures
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.training_lock import locked

EVALUATE = [sys.executable, "-m", "vae_lightning.evaluate"]
FIGURES = "metrics=[elbo,units]"


@pytest.fixture
def evaluate(monkeypatch, tmp_path, capsys) -> Callable[..., str]:
    """Call the evaluate command in an empty folder, `here`, and return what it printed."""
    from vae_lightning.evaluate import main

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-evaluate", "device=cpu", *arguments])
        main()
        return capsys.readouterr().out

    return call


@pytest.fixture
def sweep(plane_run, tmp_path) -> Path:
    """Two finished runs, and one that has failed."""
    for number in (0, 1):
        shutil.copytree(plane_run.path, tmp_path / f"a sweep/{number}")
    (tmp_path / "a sweep/2").mkdir()
    (tmp_path / "a sweep/2/config.yaml").write_bytes((plane_run.path / "config.yaml").read_bytes())
    RunDir(tmp_path / "a sweep/2").write_status("failed", "the loss was not finite")
    return tmp_path / "a sweep"


def figures(run: Path, name: str = "metrics.json") -> dict[str, object]:
    return json.loads((run / name).read_text())


def test_each_finished_run_of_a_sweep_gets_its_figures_and_the_sweep_its_report(evaluate, sweep):
    printed = evaluate(f"sweep='{sweep}'", FIGURES)
    for number in (0, 1):
        assert figures(sweep / f"{number}")["test/active_units_stderr"] is not None
        assert f"recorded in {sweep}/{number}/metrics.json" in printed
    assert "job 2 is left out: it has not finished (failed): the loss was not finite" in printed
    assert (sweep / "index.html").is_file()
    assert printed.count("best validation ELBO first") == 1
    assert list(Path.cwd().iterdir()) == []
    assert sorted(path.name for path in sweep.iterdir()) == ["0", "1", "2", "index.html", "summary.csv"]


def test_what_is_recorded_is_left_out_unless_it_was_asked_for_otherwise(evaluate, sweep):
    evaluate(f"run='{sweep}/0'", "metrics=units")
    first = evaluate(f"sweep='{sweep}'", FIGURES)
    assert f"{sweep}/0: recorded already: units; again=true computes that anew" in first
    assert [line for line in first.splitlines() if line.startswith("computed")] == [
        "computed now: elbo",
        "computed now: elbo, units",
    ]
    assert "computed now" not in evaluate(f"sweep='{sweep}'", FIGURES)
    changes = (["elbo.num_samples=2"], ["seed=1"], ["split=val"], ["ckpt=last"], ["again=true"])
    for change in changes:
        assert evaluate(f"sweep='{sweep}'", "metrics=elbo", *change).count("computed now: elbo") == 2
    assert figures(sweep / "0", "metrics_last.json")["test/elbo_checkpoint"] == "last.ckpt"
    assert "computed now" not in evaluate(f"sweep='{sweep}'", "metrics=elbo", "ckpt=last")


def test_figures_of_another_checkpoint_of_other_images_or_of_an_earlier_version_are_not_taken(evaluate, sweep):
    run = RunDir(sweep / "0")
    evaluate(f"run='{run.path}'", "metrics=units")
    recorded = run.metrics()
    assert "computed now" not in evaluate(f"runs=['{run.path}']", "metrics=units")
    other = {"num_images": 360, "digest": "other"}
    for change in ({"epoch": 7}, {"checkpoint": "x.ckpt"}, {"images": other}, {"images": None}, {"settings": None}):
        changed = recorded | {f"test/units_{fact}": value for fact, value in change.items()}
        known = {name: value for name, value in changed.items() if value is not None}
        (run.path / "metrics.json").write_text(json.dumps(known))
        assert "computed now: units" in evaluate(f"runs=['{run.path}']", "metrics=units")


def test_images_that_have_moved_are_known_again_and_others_are_not(evaluate, colour_run, tmp_path):
    shutil.copytree(colour_run.path, tmp_path / "sweep/0")
    for name, count in (("moved", 60), ("fewer", 50)):
        write_pictures(tmp_path / name, count)
    moved, fewer = (
        [f"sweep={tmp_path}/sweep", "metrics=units", f"data.root={tmp_path}/{to}"] for to in ("moved", "fewer")
    )
    assert "computed now: units" in evaluate(*moved)
    assert "computed now" not in evaluate(*moved)
    assert "computed now" not in evaluate(*moved[:2])
    assert "computed now: units" in evaluate(*fewer)
    assert "computed now: units" in evaluate(*moved)
    gone = refusal(evaluate, *moved[:2], f"data.root={tmp_path}/gone")
    assert gone == "1 of 1 runs could not be evaluated: 0"


def test_a_training_that_tests_again_does_not_pass_for_an_evaluation_with_other_settings(evaluate, sweep):
    run = RunDir(sweep / "0")
    evaluate(f"run='{run.path}'", "metrics=elbo", "elbo.num_samples=7")
    run.write_metrics({"test/elbo": -1.0}, run.metrics()["test/elbo_epoch"])
    assert run.metrics()["test/elbo_num_samples"] == 7
    assert "computed now: elbo" in evaluate(f"runs='{run.path}'", "metrics=elbo", "elbo.num_samples=7")


def test_a_run_that_fails_is_told_and_does_not_stop_the_others(evaluate, sweep, capsys):
    shutil.rmtree(sweep / "0/checkpoints")
    message = refusal(evaluate, f"runs=['{sweep}/*']", FIGURES)
    assert message == f"2 of 3 runs could not be evaluated: {sweep}/0, {sweep}/2"
    printed = capsys.readouterr().out
    assert "it has no checkpoint yet (checkpoints/best.ckpt)" in printed
    assert f"{sweep}/2 is left out: it has not finished (failed): the loss was not finite" in printed
    assert f"recorded in {sweep}/1/metrics.json" in printed
    assert f"""runs="['{sweep}/*']\"""" in printed.splitlines()[-3]
    assert not (sweep / "index.html").exists()
    assert list(Path.cwd().iterdir()) == []


def test_a_run_that_is_trained_right_now_is_left_out(evaluate, sweep):
    RunDir(sweep / "1").write_status("running")
    with locked(sweep / "1", "run_dir"):
        assert "job 1 is left out: it is still being trained" in evaluate(f"sweep='{sweep}'", "metrics=units")
    RunDir(sweep / "0").write_status("interrupted", "Ctrl-C")
    assert refusal(evaluate, f"sweep='{sweep}'") == f"sweep={sweep}: none of its 3 runs has finished"


def test_mistakes_are_told_in_a_line_and_once(evaluate, sweep, tmp_path):
    sweep = sweep.rename(tmp_path / "sw")
    expected = {
        f"sweep={sweep} run={sweep}/0": f"run={sweep}/0 and sweep={sweep}: give one of run=, sweep= and runs=",
        f"sweep={sweep} runs=[x]": f"sweep={sweep} and runs=['x']: give one of run=, sweep= and runs=",
        f"sweep={sweep} out=x.json": "out=x.json: is one run's; the figures of several go into the directory of each",
        "sweep=nowhere": "sweep=nowhere: no such directory",
        "runs=nowhere*": "runs=nowhere*: no such directory",
        f"sweep={sweep}/0": f"sweep={sweep}/0: this is a run, not a sweep; run={sweep}/0 names it",
        f"-m sweep={sweep}": "-m: evaluate takes one run; several runs are given as sweep=<a sweep's directory> or",
        f"sweep={sweep} metrics=elbo,nll": 'metrics=elbo,nll: one value is taken, or a list: metrics="[elbo,nll]"',
        f"sweep={sweep} split=tset": "split='tset': expected train, val, test",
        f"sweep={sweep} again=2": "again=2: expected true or false",
        f"run={sweep}/0 again=2": "again=2: expected true or false",
        f"sweep={sweep} metrics=xx": "metrics=xx: no such metric; valid here: all, elbo",
    }
    for words, message in expected.items():
        assert refusal(evaluate, *words.split(" ")).startswith(message), words
    assert figures(sweep / "0").keys() == figures(sweep / "1").keys()
    assert "test/units_seed" not in figures(sweep / "0")


def test_ranks_take_one_run(evaluate, sweep, monkeypatch):
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "1"}
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    assert refusal(evaluate, f"sweep='{sweep}'").startswith("torchrun has started 2 processes, which share one run")


def test_jobs_run_at_once_as_a_sweeps_do(sweep, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = run_command(f"sweep='{sweep}'", "device=cpu", "metrics=units", *joblib, cwd=here, program=EVALUATE)
    assert done.returncode == 0, done.stderr
    for number in (0, 1):
        assert f"[{number}] recorded in {sweep}/{number}/metrics.json" in done.stdout
        assert "test/units_seed" in figures(sweep / f"{number}")
    assert (sweep / "index.html").is_file()
    assert list(here.iterdir()) == []


def test_ctrl_c_ends_it_with_the_command_that_goes_on(sweep, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    words = [f"sweep='{sweep}'", "device=cpu", "metrics=[elbo,nll]", "nll.num_samples=1000000000"]
    process = started(*words, cwd=here, program=EVALUATE)
    wait_for(lambda: "test/elbo_seed" in figures(sweep / "0"))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    told = "interrupted: Ctrl-C; what is recorded stays; go on with python -m vae_lightning.evaluate"
    assert errors.strip().splitlines()[-1].startswith(told)
    assert "Traceback" not in errors
    assert "test/elbo_seed" not in figures(sweep / "1")
    assert list(here.iterdir()) == []
