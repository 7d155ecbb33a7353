"""Which directory a sweep's job has, and what is done there; the training itself is pretended."""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from vae_lightning.disk.locks import hold
from vae_lightning.errors import UserError
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.training_lock import trainer_of
from vae_lightning.sweeps import jobs as sweeps
from vae_lightning.sweeps.jobs import Job, run_job

TRAINER = {"devices": 1, "accelerator": "cpu", "precision": "auto", "gradient_clip_val": None, "compile": False}
CONFIG = {"seed": 0, "trainer": TRAINER, "optimizer": {}, "data": {}, "callbacks": None, "logger": None}


@pytest.fixture
def trained(monkeypatch):
    """Pretends to train, and lists the directories it was done in, with whether they were resumed."""
    calls: list[tuple[str, bool]] = []

    def train(run_dir: RunDir, num_ranks: int, *, resume: bool, trusted: None, **options: object) -> None:
        calls.append((run_dir.path.name, resume))
        run_dir.checkpoints.mkdir(exist_ok=True)
        torch.save({}, run_dir.last)
        reason = run_dir.config().get("reason")
        if reason:
            run_dir.write_status("failed", reason)
            raise UserError(reason)
        run_dir.write_metrics({"val/elbo": -1.0, "seconds": 1.0})
        run_dir.write_status("finished")

    monkeypatch.setattr(sweeps, "train_in_children", train)
    return calls


def job(tmp_path, number: int, *overrides: str, **config) -> Job:
    return Job(CONFIG | config, list(overrides), tmp_path, number)


def test_a_job_trains_in_the_folder_of_its_number(tmp_path, trained):
    assert run_job(job(tmp_path, 3, "seed=1")) == {"val/elbo": -1.0, "seconds": 1.0}
    assert RunDir(tmp_path / "3").overrides() == ["seed=1"]
    assert RunDir(tmp_path / "3").config()["run_dir"] == str(tmp_path / "3")
    assert trained == [("3", False)]


def test_a_finished_job_is_skipped_whatever_its_number_now(tmp_path, trained):
    run_job(job(tmp_path, 0, "seed=1", "model.latent_dim=2"))
    again = job(tmp_path, 5, "model.latent_dim=2", "seed=1", f"sweep={tmp_path}", "name=other")
    assert run_job(again) == {"val/elbo": -1.0, "seconds": 1.0}
    assert trained == [("0", False)]


def test_a_sweep_may_grow(tmp_path, trained):
    for number, dim in enumerate((2, 8)):
        run_job(job(tmp_path, number, f"model.latent_dim={dim}"))
    for number, dim in enumerate((2, 4, 8)):
        run_job(job(tmp_path, number, f"model.latent_dim={dim}"))
    assert trained == [("0", False), ("1", False), ("2", False)]
    assert RunDir(tmp_path / "2").overrides() == ["model.latent_dim=4"]


def test_a_failed_job_is_recorded_and_goes_on_from_its_checkpoint(tmp_path, trained):
    bad = job(tmp_path, 0, "seed=1", reason="a rank died")
    assert run_job(bad) is None
    assert RunDir(tmp_path / "0").status()["reason"] == "a rank died"
    assert run_job(job(tmp_path, 0, "seed=1")) is not None
    assert trained == [("0", False), ("0", True)]


def test_a_job_that_came_to_nothing_starts_anew(tmp_path, trained):
    one = job(tmp_path, 0, "seed=1")
    run_job(replace(one, config=CONFIG | {"reason": "bad value"}))
    RunDir(tmp_path / "0").last.unlink()
    (tmp_path / "0/metrics.csv").write_text("old")
    run_job(one)
    assert trained == [("0", False), ("0", False)]
    assert not (tmp_path / "0/metrics.csv").exists()


def test_a_bug_fails_its_job_only(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a bug\nof two lines")

    monkeypatch.setattr(sweeps, "train_in_children", broken)
    assert run_job(job(tmp_path, 0, "seed=1")) is None
    assert RunDir(tmp_path / "0").status()["status"] == "failed"
    assert RunDir(tmp_path / "0").status()["reason"] == "a bug"


def without_locks(tmp_path) -> None:
    for lock in (tmp_path / "0").glob(".*lock"):
        lock.unlink()


def status_of(tmp_path, **changes) -> None:
    file = tmp_path / "0/status.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_job_that_is_being_trained_is_left_alone(tmp_path, trained):
    run_job(job(tmp_path, 0, "seed=1"))
    here = f"process {os.getpid()} on .* is still training it$"
    with hold(tmp_path / "0/.lock"), pytest.raises(UserError, match=here):
        run_job(job(tmp_path, 0, "seed=1"))
    assert trained == [("0", False)]


def test_a_job_is_locked_while_it_trains_and_no_longer(tmp_path, monkeypatch):
    seen = []

    def train(run_dir: RunDir, num_ranks: int, *, resume: bool, **_) -> None:
        seen.append((resume, trainer_of(run_dir.path)))
        run_dir.checkpoints.mkdir(exist_ok=True)
        run_dir.last.touch()
        run_dir.write_metrics({"val/elbo": -1.0, "seconds": 1.0})

    monkeypatch.setattr(sweeps, "train_in_children", train)
    for _ in range(2):  # the second time it is gone on with: nobody has said that it finished
        run_job(job(tmp_path, 0, "seed=1"))
        assert trainer_of(tmp_path / "0") == ""
    here = f"process {os.getpid()} on {socket.gethostname()}"
    assert seen == [(False, here), (True, here)]


def test_a_job_that_an_earlier_version_is_training_is_left_alone(tmp_path, trained):
    run_job(job(tmp_path, 0, "seed=1"))
    without_locks(tmp_path)
    status_of(tmp_path, status="running", pid=os.getpid())
    with pytest.raises(UserError, match=f"process {os.getpid()} on .* is still training it"):
        run_job(job(tmp_path, 0, "seed=1"))


def test_a_killed_job_is_told_as_interrupted_whoever_has_its_number_now(tmp_path, trained):
    run_job(job(tmp_path, 0, "seed=1"))
    status_of(tmp_path, status="running", pid=os.getpid())
    assert RunDir(tmp_path / "0").real_status()["status"] == "interrupted"


def test_a_killed_job_of_an_earlier_version_is_told_as_interrupted_and_resumed(tmp_path, trained):
    run_job(job(tmp_path, 0, "seed=1"))
    without_locks(tmp_path)
    status_of(tmp_path, status="running", pid=2**22 + 1)
    assert RunDir(tmp_path / "0").real_status()["status"] == "interrupted"
    run_job(job(tmp_path, 0, "seed=1"))
    assert trained == [("0", False), ("0", True)]


def test_a_process_that_ended_and_is_not_taken_note_of_trains_nothing(tmp_path, trained):
    ended = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    ended.stdout.read()  # until its end closes the pipe; nobody waits for it
    run_job(job(tmp_path, 0, "seed=1"))
    without_locks(tmp_path)
    status_of(tmp_path, status="running", pid=ended.pid)
    deadline = time.monotonic() + 10
    while RunDir(tmp_path / "0").is_training() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert RunDir(tmp_path / "0").real_status()["status"] == "interrupted"
    ended.wait()


def test_a_job_that_slurm_requeued_goes_on_on_another_node(tmp_path, trained, monkeypatch):
    run_job(job(tmp_path, 0, "seed=1"))
    status_of(tmp_path, status="running", host="node7", slurm_job="12")
    with pytest.raises(UserError, match="on node7 is still training it"):
        run_job(job(tmp_path, 0, "seed=1"))
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    run_job(job(tmp_path, 0, "seed=1"))
    assert trained == [("0", False), ("0", True)]


def test_the_same_settings_in_other_words_are_the_same_job(tmp_path, trained):
    run_job(job(tmp_path, 0, "seed=2", "objective.beta=1", "optimizer.lr=1e-3", "seed=1"))
    run_job(job(tmp_path, 0, "optimizer.lr=0.001", "++objective.beta=1.0", "seed=1"))
    assert trained == [("0", False)]


def test_what_a_full_disk_left_is_made_up_for(tmp_path, trained):
    (tmp_path / "0").mkdir()
    (tmp_path / "0/status.json").touch()
    run_job(job(tmp_path, 0, "seed=1"))
    assert RunDir(tmp_path / "0").status()["status"] == "finished"
    assert trained == [("0", False)]


def test_a_folder_of_the_user_that_has_a_number_is_left_alone(tmp_path, trained):
    (tmp_path / "0").mkdir()
    (tmp_path / "0/photo.png").touch()
    (tmp_path / "²").mkdir()
    run_job(job(tmp_path, 0, "seed=1"))
    assert (tmp_path / "0/photo.png").exists()
    assert trained == [("1", False)]


def test_a_job_with_a_link_that_leads_out_of_it_is_not_gone_on_with(tmp_path, trained):
    run_job(job(tmp_path / "sweep", 0, "seed=1"))
    (tmp_path / "sweep/0/status.json").unlink()
    (tmp_path / "sweep/0/images").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"^sweep=.*: images is a link that leads out of it"):
        run_job(job(tmp_path / "sweep", 0, "seed=1"))
    assert trained == [("0", False)]


def test_a_damaged_job_is_named(tmp_path, trained):
    run_job(job(tmp_path, 0, "seed=1"))
    (tmp_path / "0/overrides.yaml").write_text("[seed=1")
    with pytest.raises(UserError, match=r"0/overrides.yaml: can't be read; remove"):
        run_job(job(tmp_path, 0, "seed=1"))


def test_a_full_disk_fails_the_job_only(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunDir, "write_config", full)
    with pytest.raises(UserError, match=r"can't be written to \(No space left on device\)"):
        run_job(job(tmp_path, 0, "seed=1"))


@pytest.mark.parametrize(
    ("devices", "num_at_once", "expected"), [(1, 2, (1, "2")), (1, 1, (1, "2,5,6,7")), (-1, 2, (2, "2,5"))]
)
def test_gpus_of_a_job_are_told_before_its_processes_start(tmp_path, monkeypatch, devices, num_at_once, expected):
    seen: list[tuple[int, str]] = []

    def train(run_dir: RunDir, num_ranks: int, **_) -> None:
        seen.append((num_ranks, os.environ["CUDA_VISIBLE_DEVICES"]))
        run_dir.write_metrics({"seconds": 1.0})

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,6,7")
    monkeypatch.setattr(sweeps, "train_in_children", train)
    monkeypatch.setattr(sweeps, "end_with_parent", lambda: None)
    monkeypatch.setattr("vae_lightning.machine.gpus.native_accelerator", lambda accelerator: "cuda")
    monkeypatch.setattr("vae_lightning.machine.gpus._may_have_gpu", lambda: True)
    trainer = TRAINER | {"devices": devices, "accelerator": "gpu"}
    run_job(replace(job(tmp_path, 0, "seed=1", trainer=trainer), num_at_once=num_at_once))
    assert seen == [expected]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,5,6,7"


@pytest.mark.parametrize("others_follow", [False, True])
def test_jobs_are_forked_where_others_follow_in_the_same_process(tmp_path, monkeypatch, others_follow):
    told = []

    def train(run_dir: RunDir, num_ranks: int, *, fork: bool, **_) -> None:
        told.append(fork)
        run_dir.write_metrics({"seconds": 1.0})

    monkeypatch.setattr(sweeps, "train_in_children", train)
    run_job(replace(job(tmp_path, 0, "seed=1"), others_follow=others_follow))
    assert told == [others_follow]


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"val/elbo": -2.0, "test/elbo": -3.0}, "val/elbo -2.00, test/elbo -3.00 nats per image, 1 s"),
        ({"val/elbo": None, "test/elbo": -3.0}, "test/elbo -3.00 nats per image, 1 s"),
        (
            {"val/loss": 2.0, "test/loss": 3.0, "test/distortion": 4.0},
            "val/loss 2.00, test/distortion 4.00 nats per image, 1 s",
        ),
        ({"val/loss": None, "test/distortion": 4.0}, "test/distortion 4.00 nats per image, 1 s"),
    ],
)
def test_a_job_ends_with_figures_that_it_has(metrics, words):
    assert sweeps._in_words(metrics | {"seconds": 1.0}) == words
