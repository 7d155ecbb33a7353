"""Sweeps as a user starts them: whatever happens to one job, the others finish, and what is missing can be made up."""

import json
import os
import signal
import subprocess

import pytest

from tests import loky_workers, warm
from tests.conftest import TINY
from tests.end_to_end.runs import (
    assert_equal_weights,
    parent_of,
    processes_of,
    ranks_of,
    run_command,
    started,
    wait_for,
)
from vae_lightning.runs.records import RunDir

JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
QUICK = ["trainer.max_epochs=2", "callbacks=none"]
LONG = ["trainer.max_epochs=3000", "callbacks=none"]


def jobs(tmp_path, *numbers: int) -> list[RunDir]:
    return [RunDir(tmp_path / f"sweep/{number}") for number in numbers]


def sweep(tmp_path, *arguments: str, **options) -> subprocess.CompletedProcess:
    return run_command("-m", *TINY, *arguments, f"sweep_dir={tmp_path / 'sweep'}", cwd=tmp_path, **options)


def statuses(tmp_path) -> list[str]:
    return [RunDir(path).real_status()["status"] for path in sorted((tmp_path / "sweep").glob("[0-9]*"))]


def test_jobs_train_as_they_would_alone_and_one_that_fails_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # else it would depend on how many cores a job is given
    monkeypatch.setenv(loky_workers.ANEW, "1")  # as everywhere but in the other tests
    one_by_one, beside, alone = (RunDir(tmp_path / place) for place in ("one_by_one/1", "beside/0", "alone"))
    for run, launcher, values in ((one_by_one, [], "0,5"), (beside, JOBLIB, "5,0")):
        done = sweep(tmp_path, *QUICK, *launcher, f"model.latent_dim={values}")
        assert_one_has_failed(done, tmp_path, values.split(","))
        (tmp_path / "sweep").rename(run.path.parent)
    done = run_command(*TINY, *QUICK, "model.latent_dim=5", f"run_dir={alone.path}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert one_by_one.config()["model"]["latent_dim"] == 5
    assert_equal_weights(one_by_one, alone)
    assert_equal_weights(beside, alone)


def assert_one_has_failed(done: subprocess.CompletedProcess, tmp_path, values: list[str]) -> None:
    failed = values.index("0")
    assert done.returncode == 1
    assert statuses(tmp_path) == ["failed" if value == "0" else "finished" for value in values]
    assert "latent_dim must be at least 1" in jobs(tmp_path, failed)[0].status()["reason"]
    assert f"error: 1 of {len(values)} jobs have not finished: {failed}" in done.stderr
    assert "failed: model.latent_dim must be at least 1, got 0" in done.stdout
    assert "Traceback" not in done.stderr
    # Best first, then what failed.
    table = done.stdout[done.stdout.index("val ELBO") :]
    assert table.index("finished") < table.index("failed: ")
    assert (tmp_path / "sweep/index.html").is_file()
    assert len((tmp_path / "sweep/summary.csv").read_text().splitlines()) == 1 + len(values)


def test_jobs_of_two_ranks_are_one_run_directory_each(tmp_path):
    done = sweep(tmp_path, "trainer=ddp_cpu", "trainer.max_epochs=1", "callbacks=none", "model.latent_dim=2,3")
    assert done.returncode == 0, done.stderr
    assert statuses(tmp_path) == ["finished"] * 2
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == ["0", "1"]
    for run in jobs(tmp_path, 0, 1):
        assert json.loads((run.path / "environment.json").read_text())["num_ranks"] == 2
        assert run.metrics()["test/num_images"] == 360


def test_a_killed_job_fails_alone_and_is_made_up_for(tmp_path):
    first, second = jobs(tmp_path, 0, 1)
    arguments = ["callbacks=none", "model.latent_dim=2,3", "trainer.max_epochs=40"]
    process = started("-m", *TINY, *arguments, f"sweep_dir={tmp_path / 'sweep'}", cwd=tmp_path)
    wait_for(first.last.is_file)
    os.kill(ranks_of(first)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "1 of 2 jobs have not finished: 0" in errors
    assert statuses(tmp_path) == ["failed", "finished"]
    assert "was killed by SIGKILL" in first.status()["reason"]
    ended = second.status()["time"]

    again = run_command("-m", *TINY, *arguments, "sweep=sweep", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "(resumed)" in again.stdout
    assert "(finished before)" in again.stdout
    assert statuses(tmp_path) == ["finished", "finished"]
    assert second.status()["time"] == ended
    whole = run_command(*TINY, *arguments[::2], "model.latent_dim=2", "run_dir=whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert_equal_weights(first, RunDir(tmp_path / "whole"))


@pytest.mark.parametrize("launcher", [[], JOBLIB], ids=["basic", "joblib"])
def test_ctrl_c_stops_every_process_and_says_how_to_go_on(tmp_path, launcher):
    process = started("-m", *TINY, *LONG, *launcher, "seed=1,2,3", f"sweep_dir={tmp_path / 'sweep'}", cwd=tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("sweep/*/checkpoints/last.ckpt"))) == (2 if launcher else 1))
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: Ctrl-C; go on with python -m vae_lightning.train -m" in errors
    assert f"sweep={tmp_path / 'sweep'}" in errors
    assert "Traceback" not in errors
    wait_for(lambda: not processes_of(tmp_path), within_s=15)
    assert set(statuses(tmp_path)) == {"interrupted"}


def test_sighup_ends_a_sweep_but_under_nohup(tmp_path):
    arguments = ["-m", *TINY, *LONG, "seed=1,2", f"sweep_dir={tmp_path / 'sweep'}"]
    # As nohup starts it.
    process = warm.Warm("vae_lightning.train", *arguments, cwd=tmp_path, ignored=[signal.SIGHUP])
    first = jobs(tmp_path, 0)[0]
    wait_for(first.last.is_file)
    before = first.last.stat().st_mtime_ns
    os.killpg(process.pid, signal.SIGHUP)
    wait_for(lambda: first.last.stat().st_mtime_ns > before + 1_000_000_000)  # it trains on
    assert process.poll() is None
    assert first.status()["status"] == "running"
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143  # as a shell says of SIGTERM, and tells it from Ctrl-C
    assert "interrupted: SIGTERM; go on with" in errors


def test_a_killed_sweep_leaves_no_process_behind(tmp_path):
    process = started("-m", *TINY, *LONG, *JOBLIB, "seed=1,2,3", f"sweep_dir={tmp_path / 'sweep'}", cwd=tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("sweep/*/checkpoints/last.ckpt"))) == 2)
    process.kill()
    process.communicate(timeout=15)  # its workers have its pipes; nothing holds them up once it is gone
    wait_for(lambda: not processes_of(tmp_path), within_s=15)


def test_a_launcher_that_fails_is_told_and_what_there_is_is_summarized(tmp_path):
    process = started("-m", *TINY, *LONG, *JOBLIB, "seed=1,2", f"sweep_dir={tmp_path / 'sweep'}", cwd=tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("sweep/*/checkpoints/last.ckpt"))) == 2)
    (first,) = ranks_of(jobs(tmp_path, 0)[0]).values()
    os.kill(parent_of(first), signal.SIGKILL)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: the sweep's launcher failed: TerminatedWorkerError" in errors
    assert "Traceback" not in errors
    assert "val ELBO" in printed
    wait_for(lambda: not processes_of(tmp_path), within_s=40)
    assert statuses(tmp_path) == ["interrupted"] * 2


def test_a_sweep_whose_lines_nobody_reads_goes_on_to_its_end(tmp_path):
    arguments = ["-m", *TINY, "trainer.max_epochs=1", "model.latent_dim=2,0", "sweep_dir=sweep"]
    assert warm.Warm("vae_lightning.train", *arguments, cwd=tmp_path, read=False).wait(timeout=120) == 1
    assert statuses(tmp_path) == ["finished", "failed"]
    assert "epoch 1/1" in (tmp_path / "sweep/0/train.log").read_text()
    assert (tmp_path / "sweep/index.html").is_file()


def test_submitit_runs_a_sweep(tmp_path, tmp_path_factory, monkeypatch):
    # What the Slurm launcher does, without Slurm: pickled to other processes, with results sent back.
    pytest.importorskip("submitit")
    _, variables = warm.stand_in(tmp_path_factory.mktemp("program"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = sweep(tmp_path, *QUICK, "hydra/launcher=submitit_local", "optimizer.lr=0.001,1e30")
    assert done.returncode == 1
    assert statuses(tmp_path) == ["finished", "failed"]
    assert "the loss was not finite at step" in jobs(tmp_path, 1)[0].status()["reason"]
    assert "1 of 2 jobs have not finished: 1" in done.stderr
