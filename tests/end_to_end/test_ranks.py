"""Several ranks do what one does: the same shards, gradients and figures, and one end for all."""

import csv
import fcntl
import os
import shlex
import signal
import time
from itertools import accumulate

import numpy as np
import pytest
import torch
from PIL import Image

from tests.callbacks.test_same_pictures import FEW
from tests.conftest import TINY
from tests.end_to_end.runs import (
    TORCHRUN,
    all_listening,
    assert_equal_weights,
    evaluate,
    listening,
    processes_of,
    ranks_of,
    run_command,
    started,
    wait_for,
    weights,
)
from tests.end_to_end.test_readme import OF_KIND
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.tested_images import read_test_images

SGD = """
_target_: torch.optim.SGD
_partial_: true
lr: 1.0e-4
"""
# Noise by the image's index instead of the rank's stream, so that both ways train on the same z.
INDEXED_NOISE = """
_target_: tests.end_to_end.indexed_noise.IndexedNoise
"""

HIERARCHY = ["data=digits", "model=hvae", "model.groups=[1,1]", "model.channels=4", "trainer=cpu"]


def rows(run: RunDir, column: str) -> list[dict[str, str]]:
    with (run.path / "metrics.csv").open() as stream:
        return [row for row in csv.DictReader(stream) if row.get(column)]


@pytest.fixture(scope="module")
def odd_folder(tmp_path_factory):
    """Images of which two ranks can't take equal shares."""
    folder = tmp_path_factory.mktemp("odd")
    generator = np.random.default_rng(0)
    for number in range(203):
        Image.fromarray(generator.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{number}.png")
    return folder


def test_two_ranks_count_every_image_once(tmp_path, odd_folder):
    # With BatchNorm, of whose running statistics each rank has its own.
    arguments = ["data=folder", f"data.root={odd_folder}", f"data.cache_dir={tmp_path / 'cache'}", "data.channels=1"]
    arguments += ["data.image_size=28", "model=conv", "data.batch_size=16", "trainer=ddp_cpu", "trainer.max_epochs=1"]
    arguments += ["callbacks=none", "model.encoder.channels=[4,8]", "model.encoder.hidden=16"]
    done = run_command(*arguments, f"run_dir={tmp_path / 'run'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = RunDir(tmp_path / "run")
    assert run.metrics()["test/num_images"] % 2 == 1
    alone = evaluate(run)
    for name in ("test/elbo", "test/rate", "test/distortion"):
        assert run.metrics()[name] == pytest.approx(alone[name], rel=1e-6)
    tested = read_test_images(run)
    assert tested is not None
    assert tested.indices.tolist() == list(range(run.metrics()["test/num_images"]))
    assert tested.elbo.mean(dtype=np.float64) == pytest.approx(run.metrics()["test/elbo"], rel=1e-9)
    validated = evaluate(run, "val", run.last)
    (row,) = rows(run, "val/elbo")
    for name in ("val/elbo", "val/rate", "val/distortion"):
        assert float(row[name]) == pytest.approx(validated[name], rel=1e-6)


def test_ranks_find_the_same_in_the_data_and_one_of_them_tells_it(tmp_path):
    generator = np.random.default_rng(0)
    for number in range(60):
        clip, split = number // 5, "Train" if number < 45 else "valid"
        place = tmp_path / "images" / split / "cat" if clip % 3 else tmp_path / "images" / split / "dog"
        place.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 4001, (30, 34)).astype(np.uint16)
        Image.fromarray(pixels).save(place / f"{'abcdefghijkl'[clip]}_{number}.png")
    arguments = [
        "data=folder",
        f"data.root={tmp_path / 'images'}",
        f"data.cache_dir={tmp_path / 'cache'}",
        "data.channels=1",
        "data.image_size=[14,16]",
    ]
    arguments += [
        "data.channels=1",
        "data.image_size=[14,16]",
        "data.fit=tile",
        "data.group_by='^.*/(.)_'",
        "data.test_fraction=0.2",
        "model=mlp",
    ]
    arguments += ["model.num_classes=auto", "data.batch_size=16", "trainer=ddp_cpu", "trainer.max_epochs=1"]
    done = run_command(*arguments, "callbacks=none", "run_dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run, told = RunDir(tmp_path / "run"), done.stdout + done.stderr
    for line in (
        "value_range: 16-bit files",
        "by the folders Train, valid; test is taken out",
        "labels: the 2 folders",
    ):
        assert told.count(line) == 1
        assert (run.path / "train.log").read_text().count(line) == 1
    assert run.config()["model"]["num_classes"] == 2
    assert run.config()["data"]["value_range"] == [0, 4095]
    alone = evaluate(run)
    assert run.metrics()["test/num_images"] % 4 == 0  # tiles of a picture
    assert run.metrics()["test/elbo"] == pytest.approx(alone["test/elbo"], rel=1e-6)
    program = [*TORCHRUN[:-1], "vae_lightning.evaluate"]
    done = run_command("run=run", "metrics=elbo", f"data.cache_dir={tmp_path / 'new'}", cwd=tmp_path, program=program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("labels: the 2 folders") == 1
    assert len(list((tmp_path / "new").glob("values-*.json"))) == 1


@pytest.mark.parametrize("model", [[], HIERARCHY], ids=["plain", "hierarchy"])
def test_one_step_of_two_ranks_is_one_step_of_one_on_the_joined_batch(tmp_path, monkeypatch, model):
    for folder, text in {"optimizer/sgd": SGD, "callbacks/indexed_noise": INDEXED_NOISE}.items():
        file = tmp_path / f"conf/{folder}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text if "optimizer" in folder else f"indexed_noise:\n  {text.strip()}\n")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    one_step = ["--config-dir", "conf", *(model or TINY), "trainer.precision=32-true", "trainer.max_epochs=1"]
    one_step += ["trainer.limit_train_batches=1", "optimizer=sgd", "callbacks=indexed_noise"]
    for name, options in {"one": ["data.batch_size=64"], "two": ["data.batch_size=32", "trainer=ddp_cpu"]}.items():
        done = run_command(*one_step, *options, f"run_dir={name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    begin = run_command(*one_step, "optimizer.lr=0", "data.batch_size=64", "run_dir=begin", cwd=tmp_path)
    assert begin.returncode == 0, begin.stderr
    before, one, two = (weights(RunDir(tmp_path / name)) for name in ("begin", "one", "two"))
    moved = {name for name in before if not torch.equal(one[name], before[name])}
    if model:  # what lies before zeros does not move at first
        assert {name.split(".")[1] for name in moved} >= {"blocks", "decoder"}
    else:
        assert moved == before.keys()
    for name in before:
        step = one[name] - before[name]
        assert torch.linalg.vector_norm(two[name] - one[name]) <= 1e-5 * step.norm() + 1e-7 * before[name].norm()


def test_ranks_skip_the_same_steps_for_their_gradients_norm(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    agreeing = "+callbacks.agreeing={_target_:tests.end_to_end.agreeing_ranks.AgreeingRanks}"
    options = ["trainer.skip_gradient_norm=25", "trainer.log_every_n_steps=1", "trainer.max_epochs=2", "run_dir=run"]
    done = run_command(*TINY, "trainer=ddp_cpu", *options, agreeing, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = rows(RunDir(tmp_path / "run"), "train/skipped")
    over = [float(row["train/gradient_norm"]) > 25 for row in found]
    half = len(over) // 2
    assert [float(row["train/skipped"]) for row in found] == [*accumulate(over[:half]), *accumulate(over[half:])]
    assert 0 < sum(over) < len(over)


def test_ranks_train_alike_however_they_do_it_and_leave_one_run_directory(tmp_path):
    # Four steps and a half an epoch: some gradients are summed over the ranks, others are kept until the next batch.
    (typed,) = OF_KIND["ranks"]  # as the README has it
    arguments = [*TINY[3:], *shlex.split(typed), "data.batch_size=64", "trainer.accumulate_grad_batches=2"]
    arguments += ["data.binarize=dynamic", "trainer.gradient_clip_val=10", "trainer.log_every_n_steps=2"]
    whole, parted = RunDir(tmp_path / "whole"), RunDir(tmp_path / "parted")
    bare = ["callbacks=none", "logger=csv", "trainer.steps_per_execution=1", "trainer.max_epochs=2"]
    full = ["callbacks=default", "trainer.steps_per_execution=3", "trainer.max_epochs=1"]
    full += [f"callbacks.{each}" for each in FEW]
    for run, options in ((whole, bare), (parted, full)):
        done = run_command(*arguments, *options, f"run_dir={run.path}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert_holds_one_epoch_of_two_ranks(parted)
    done = run_command("resume=parted", "trainer.max_epochs=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((parted.path / "images/training").iterdir())) == 3
    assert [row["epoch"] for row in rows(parted, "val/elbo")] == ["0", "1"]
    assert_equal_weights(whole, parted)
    for name in ("train/loss", "val/elbo"):  # the figures of both kinds of rows, whatever else is in them
        logged = rows(whole, name)
        assert len(logged) == {"train/loss": 5, "val/elbo": 2}[name]
        assert [{name: row[name] for name in logged[0]} for row in rows(parted, name)] == logged
    assert parted.metrics()["test/elbo"] == whole.metrics()["test/elbo"]
    assert [run.metrics()["steps"] for run in (whole, parted)] == [2 * 5] * 2


def assert_holds_one_epoch_of_two_ranks(run: RunDir) -> None:
    assert run.status()["status"] == "finished"
    assert run.metrics()["test/num_images"] == 360
    kinds = list((run.path / "images").iterdir())
    assert {"samples", "traversals", "tsne", "neighbours"} <= {kind.name for kind in kinds}
    assert all(len(list(kind.glob("*.png"))) == 1 for kind in kinds if kind.name != "training")
    assert [path.name for path in (run.path / "projector").glob("epoch_*")] == ["epoch_0001.tsv"]


def test_a_failing_rank_tells_why_once(tmp_path):
    arguments = [*TINY, "trainer=ddp_cpu", "trainer.max_epochs=3", "optimizer.lr=1e30", f"run_dir={tmp_path / 'run'}"]
    done = run_command(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("the loss was not finite at step") == 1
    assert "Traceback" not in done.stderr
    assert RunDir(tmp_path / "run").status()["status"] == "failed"


def test_a_killed_rank_ends_the_run_and_leaves_nothing(tmp_path):
    run = RunDir(tmp_path / "run")
    process = started(*TINY, "trainer=ddp_cpu", "trainer.max_epochs=5000", f"run_dir={run.path}", cwd=tmp_path)
    wait_for(run.last.is_file)
    sockets = listening(processes_of(run.path))
    assert sockets
    killed = time.monotonic()
    os.kill(ranks_of(run)[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - killed < 30
    assert process.returncode == 1
    assert "rank 1 was killed by SIGKILL" in errors
    assert "Traceback" not in errors
    assert run.status()["status"] == "failed"
    assert "rank 1 was killed by SIGKILL" in run.status()["reason"]
    wait_for(lambda: not processes_of(run.path), within_s=5)
    assert not sockets & all_listening()
    for lock in run.path.rglob("*.lock"):  # what is left is held by nobody
        with lock.open("r+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_mistake_under_torchrun_is_told_once_and_leaves_nothing(tmp_path):
    done = run_command(*TINY, "model.latent_dim=0", cwd=tmp_path, program=TORCHRUN)
    assert done.returncode != 0
    assert done.stderr.count("error: model.latent_dim must be at least 1, got 0") == 1
    assert list(tmp_path.iterdir()) == []


def test_ranks_of_torchrun_refuse_a_sweep_and_one_of_them_says_so(tmp_path, monkeypatch):
    errors = ""
    for rank in ("0", "1"):
        world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        for name, value in (world | {"TORCHELASTIC_RUN_ID": "none"}).items():
            monkeypatch.setenv(name, value)
        done = run_command("-m", *TINY, "seed=1,2", cwd=tmp_path)
        assert done.returncode == 1
        errors += done.stderr
    assert errors.count("torchrun has started 2 processes, and each would run the sweep") == 1
    assert list(tmp_path.iterdir()) == []
