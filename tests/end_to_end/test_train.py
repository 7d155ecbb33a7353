"""The train command as a user calls it, on the digits."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.callbacks.test_same_pictures import FEW
from tests.conftest import TINY
from tests.end_to_end.runs import assert_equal_weights, run_command, started, wait_for, weights
from tests.end_to_end.test_readme import OF_KIND
from vae_lightning.loggers.tensorboard import tag_of
from vae_lightning.runs.records import RunDir

# All pictures that there are by default, of few images.
PICTURES = ["callbacks=default", *(f"callbacks.{each}" for each in FEW)]


def test_a_run_directory_tells_everything(train, capsys):
    run = train("seed=3", "objective.warmup_steps=12")
    printed = capsys.readouterr().out
    assert str(run.path) in printed
    assert "test elbo" in printed
    assert "training.gif" in printed
    assert run.status()["status"] == "finished"
    assert run.config()["model"]["latent_dim"] == 4
    assert run.config()["seed"] == 3
    assert "model.latent_dim=4" in yaml.safe_load((run.path / "overrides.yaml").read_text())
    environment = json.loads((run.path / "environment.json").read_text())
    assert torch.__version__.startswith(environment["versions"]["torch"])
    assert environment["device"].startswith("CPU")
    assert environment["num_ranks"] == 1
    assert (run.path / "training.gif").is_file()
    for name in ("reconstructions", "samples"):
        assert sorted(file.name for file in (run.path / "images" / name).iterdir()) == [
            "epoch_0001.png",
            "epoch_0002.png",
        ]
    assert "epoch" in (run.path / "train.log").read_text()
    with (run.path / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sum(row["val/elbo"] != "" for row in rows) == 2
    assert not list(run.path.rglob("hparams.yaml"))


def test_tensorboard_holds_curves_pictures_and_hyperparameters(train):
    run = train("objective.warmup_steps=12", *PICTURES)
    events = EventAccumulator(str(run.path), size_guidance={"images": 0, "scalars": 0}).Reload()
    scalars = set(events.Tags()["scalars"])
    for split in ("train", "val"):
        assert {tag_of(f"{split}/{name}") for name in ("loss", "elbo", "rate", "distortion")} <= scalars
    assert {*map(tag_of, ("learning_rate", "beta", "train/images_per_s")), "(final)/elbo"} <= scalars
    assert "hp_metric" not in scalars
    # 9 steps an epoch: training and validation figures of one epoch stand at the same step.
    assert [event.step for event in events.Scalars(tag_of("train/elbo"))] == [
        event.step for event in events.Scalars(tag_of("val/elbo"))
    ]
    assert [round(event.value, 4) for event in events.Scalars(tag_of("beta"))] == [0.75, 1.0]
    kinds = {file.parent.name for file in (run.path / "images").rglob("epoch_*.png")}
    assert kinds >= {"reconstruction_history", "transition", "traversals", "latent_units", "tsne", "pca", "neighbours"}
    moving = {"animations/training", "animations/transition", "animations/traversals"}
    assert set(events.Tags()["images"]) == {f"images/{kind}" for kind in kinds - {"training"}} | moving
    assert {"config/text_summary", "model/text_summary", "_hparams_/session_start_info"} <= set(
        events.summary_metadata
    ) | set(events.Tags()["tensors"])


def test_seeds_repeat_bitwise_and_pictures_change_nothing(train):
    first, again = train(name="first"), train(name="again")
    assert_equal_weights(first, again)
    assert_equal_weights(first, train("callbacks=none", name="bare"))
    assert_equal_weights(first, train(*PICTURES, name="full"))
    assert {name: value for name, value in first.metrics().items() if name.startswith("test/")} == {
        name: value for name, value in again.metrics().items() if name.startswith("test/")
    }
    other = train("seed=1", "callbacks=none", name="other")
    assert not torch.equal(*(weights(run)["vae.posterior.loc.weight"] for run in (first, other)))


@pytest.mark.parametrize("model", ["conv", "conv5", "upsample"])
def test_every_model_trains_on_the_digits(command, tmp_path, model):
    few = ["data.batch_size=8", "data.eval_batch_size=8", "callbacks=none"]
    command("data=digits", f"model={model}", "trainer=cpu", "debug=fast", *few, f"run_dir={tmp_path / 'run'}")
    assert RunDir(tmp_path / "run").metrics()["steps"] == 3


def test_a_resumed_run_repeats_an_uninterrupted_one_bitwise(train, command, tmp_path):
    whole = train("trainer.max_epochs=4", "callbacks=training_gif", name="whole")
    part = train("trainer.max_epochs=2", "callbacks=training_gif", name="part")
    command(f"resume={part.path}", "trainer.max_epochs=4")
    assert_equal_weights(whole, part)
    assert part.metrics()["test/elbo"] == whole.metrics()["test/elbo"]
    with (part.path / "metrics.csv").open() as stream:
        epochs = [row["epoch"] for row in csv.DictReader(stream) if row["val/elbo"]]
    assert epochs == ["0", "1", "2", "3"]
    assert (part.path / "training.gif").read_bytes() == (whole.path / "training.gif").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_goes_on_within_its_epoch(train, command, tmp_path, monkeypatch, capsys, number):
    from vae_lightning.training.module import VAEModule

    plain = VAEModule._train_on

    def struck(self, x, labels):
        if self.global_step == 13:  # of the second epoch of nine
            os.kill(os.getpid(), number)
        plain(self, x, labels)

    options = ["callbacks=[training_gif,early_stopping]", "trainer.steps_per_execution=2"]
    options += ["trainer.log_every_n_steps=2", "objective.warmup_steps=20", "logger=default"]
    whole = train(*options, "trainer.max_epochs=3", name="whole")
    monkeypatch.setattr(VAEModule, "_train_on", struck)
    with pytest.raises(SystemExit) as leaving:
        train(*options, "trainer.max_epochs=3", name="part")
    monkeypatch.setattr(VAEModule, "_train_on", plain)
    part = RunDir(tmp_path / "part")
    assert leaving.value.code == 128 + number
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert capsys.readouterr().err == f"interrupted: {name}; go on with resume={part.path}\n"
    assert part.status()["reason"] == f"{name}; go on with resume={part.path}"
    stored = torch.load(part.last, weights_only=True)
    assert (stored["global_step"], stored["within_epoch"]["batches"]) == (15, 6)
    command(f"resume={part.path}")
    assert_equal_weights(whole, part)
    assert (part.path / "metrics.csv").read_text() == (whole.path / "metrics.csv").read_text()
    assert (part.path / "training.gif").read_bytes() == (whole.path / "training.gif").read_bytes()
    figures = [
        {k: v for k, v in run.metrics().items() if k not in ("seconds", "peak_memory_mb")} for run in (whole, part)
    ]
    assert figures[0] == figures[1]
    events = [EventAccumulator(str(run.path), size_guidance={"scalars": 0}).Reload() for run in (whole, part)]
    for tag in ("train/elbo", "val/elbo"):
        steps = [[(event.step, event.value) for event in reader.Scalars(tag_of(tag))] for reader in events]
        assert steps[0] == steps[1]


def test_a_run_of_an_earlier_version_goes_on_with_the_checkpoints_of_this_one(train, command):
    run = train("callbacks=none")
    config = run.config()
    target = "lightning.pytorch.callbacks.ModelCheckpoint"
    best = {"_target_": target, "filename": "../best", "monitor": "val/elbo", "mode": "max"}
    config["checkpoint"] = {"best": best, "last": {"_target_": target, "filename": "last", "every_n_epochs": 1}}
    run.write_config(config, run.overrides())
    state = torch.load(run.last, weights_only=True)
    keys = [f"ModelCheckpoint{{'monitor': {name}, 'mode': '{mode}', " for name, mode in OLD]
    paths = {"best_model_path": "/any/best.ckpt", "best_k_models": {"/any/best.ckpt": torch.tensor(0.0)}}
    state["callbacks"] = {key: {"best_model_score": torch.tensor(0.0), **paths} for key in keys}
    torch.save(state, run.last)
    command(f"resume={run.path}", "trainer.max_epochs=3")
    assert run.metrics()["epochs"] == 3
    assert run.metrics()["val/elbo"] == 0.0  # which no later epoch has reached
    assert list(torch.load(run.last, weights_only=True)["callbacks"]) == ["Checkpoints"]
    assert run.config()["checkpoint"]["_target_"] == "vae_lightning.callbacks.checkpoints.Checkpoints"


OLD = [("'val/elbo'", "max"), ("None", "min")]


def test_the_keys_of_earlier_versions_are_told_apart(error_of):
    message = error_of(*TINY, "+checkpoint.last.every_n_train_steps=64")
    assert message.startswith("checkpoint.last: no such key any more; checkpoint.every_steps and checkpoint.every_m")
    assert "valid here: _target_, every_minutes, every_steps" in error_of(*TINY, "checkpoint.last.every_n_epochs=2")
    assert error_of(*TINY, "checkpoint.every_steps=0") == "checkpoint.every_steps must be at least 1, got 0"
    assert error_of(*TINY, "checkpoint.every_minutes=x") == "checkpoint.every_minutes='x': expected float or null"


def test_resume_refuses_what_it_cannot_do(train, error_of, tmp_path):
    run = train("callbacks=none")
    rows = (run.path / "metrics.csv").read_text()
    assert "trainer.max_epochs=2: the run has trained 2 epochs already" in error_of(f"resume={run.path}")
    more = (f"resume={run.path}", "trainer.max_epochs=3")
    assert "was trained with another, which a resumed run keeps" in error_of(*more, "model=conv")
    assert "was trained with another, which a resumed run keeps" in error_of(*more, "model.latent_dim=8")
    assert "give single keys" in error_of(*more, "trainer=ddp_cpu")
    assert "images of shape [1, 32, 32], but the model is for [1, 28, 28]" in error_of(*more, "data.image_size=32")
    assert (run.path / "metrics.csv").read_text() == rows
    torn = run.path / "checkpoints/last.ckpt"
    torn.write_bytes(torn.read_bytes()[:1000])
    assert "last.ckpt can't be read" in error_of(f"resume={run.path}", "trainer.max_epochs=3")
    torn.unlink()
    assert "no checkpoint there" in error_of(f"resume={run.path}", "trainer.max_epochs=3")
    (tmp_path / "empty").mkdir()
    assert "not a run directory" in error_of(f"resume={tmp_path / 'empty'}")


def test_a_moved_run_still_knows_its_best(train, command, tmp_path):
    run = train("callbacks=none", name="before")
    best = run.metrics()["val/elbo"]
    moved = RunDir(run.path.rename(tmp_path / "after"))
    relative = moved.path.relative_to(tmp_path)  # the folder that commands are called in
    command(f"resume={relative}", "trainer.max_epochs=3", "optimizer.lr=0.0001", "data.batch_size=1000")
    assert moved.metrics()["val/elbo"] >= best
    saved = torch.load(moved.last, weights_only=True)
    state = saved["callbacks"]
    assert saved["optimizer_states"][0]["param_groups"][0]["lr"] == 0.0001  # as typed
    assert state["Checkpoints"]["best_score"] == moved.metrics()["val/elbo"]
    assert str(tmp_path) not in str(state)  # so that it may be moved again


def test_the_command_that_began_a_run_may_be_repeated_to_resume_it(train, command):
    run = train("callbacks=none")
    command(*TINY, "callbacks=none", f"resume={run.path}", "trainer.max_epochs=3")
    assert run.metrics()["epochs"] == 3


def test_runs_that_start_at_once_do_not_share_a_directory(tmp_path):
    from vae_lightning.runs.directories import reserved

    with reserved(tmp_path / "a/run") as first, reserved(tmp_path / "a/run") as second:
        assert (first.path.name, second.path.name) == ("run", "run_2")
    with pytest.raises(RuntimeError), reserved(tmp_path / "b/c/run"):
        raise RuntimeError
    assert not (tmp_path / "b").exists()


def test_a_checkpoint_of_another_model_is_refused(train, error_of):
    run, other = train("callbacks=none", name="run"), train("callbacks=none", "model.latent_dim=5", name="other")
    run.last.write_bytes(other.last.read_bytes())
    assert "last.ckpt is of another model" in error_of(f"resume={run.path}", "trainer.max_epochs=3")


def test_early_stopping_stops(train):
    metrics = train(
        "callbacks=[early_stopping]",
        "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=1e6",
        "trainer.max_epochs=9",
    ).metrics()
    assert metrics["epochs"] == 2


def test_early_stopping_on_what_is_not_measured_is_told_in_a_line(error_of, tmp_path):
    stopping = ["callbacks=[early_stopping]", "callbacks.early_stopping.monitor=val/nothing"]
    message = error_of(*TINY[:-1], *stopping, "trainer.max_epochs=1", f"run_dir={tmp_path / 'run'}")
    assert "callbacks: Early stopping conditioned on metric `val/nothing` which is not available" in message


def test_whether_to_compile_is_true_or_false(error_of):
    assert "trainer.compile='some/where': expected true or false" in error_of(*TINY, "trainer.compile=some/where")


def test_accumulation_makes_fewer_steps_and_still_logs(train):
    run = train("trainer.accumulate_grad_batches=3", "callbacks=none")
    assert run.metrics()["steps"] == 2 * 3
    with (run.path / "metrics.csv").open() as stream:
        assert sum(row["train/loss"] != "" for row in csv.DictReader(stream)) == 2


@pytest.mark.parametrize(
    "option",
    [
        "trainer.gradient_clip_val=1",
        "averaging=ema",
        "trainer.precision=bf16-mixed",
        "trainer.precision=32-true",
        "data.binarize=dynamic",
        "debug=overfit trainer.max_epochs=2",
        "debug=limit",
    ],
)
def test_options_of_training(train, option):
    metrics = train(*option.split(), "callbacks=none").metrics()
    assert metrics["test/elbo"] < 0
    assert torch.isfinite(torch.tensor(metrics["test/elbo"]))


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
def test_a_compiled_run_draws_the_same_noise_and_keeps_plain_checkpoint_keys(command, tmp_path):
    (typed,) = OF_KIND["compile"]  # as the README has it, but of few kernels: each takes a second of g++
    options = ["data=digits", "trainer=cpu", "callbacks=none", "trainer.max_epochs=2", *shlex.split(typed)]
    options += ["model=mlp", "model.encoder.hidden=[8]", "model.decoder.hidden=[8]"]
    assert "trainer.compile=true" in options
    command(*options, "trainer.compile=false", f"run_dir={tmp_path / 'plain'}")
    # In a process of its own, where nothing was computed before; and type checks that tests run can't be compiled.
    done = run_command(*options, f"run_dir={tmp_path / 'compiled'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plain, compiled = RunDir(tmp_path / "plain"), RunDir(tmp_path / "compiled")
    assert weights(compiled).keys() == weights(plain).keys()
    for name in ("test/elbo", "test/rate", "val/elbo"):
        assert compiled.metrics()[name] == pytest.approx(plain.metrics()[name], rel=1e-5, abs=1e-4), name
    assert compiled.metrics()["test/num_images"] == 360


def test_overfit_learns_its_batches_by_heart(train):
    run = train(
        "debug=overfit",
        "callbacks=none",
        "trainer.max_epochs=40",
        "data.batch_size=8",
        "model.latent_dim=20",
        "model.encoder.hidden=[200]",
        "model.decoder.hidden=[200]",
        "optimizer.lr=0.01",
    )
    with (run.path / "metrics.csv").open() as stream:
        losses = [float(row["train/loss"]) for row in csv.DictReader(stream) if row["train/loss"]]
    assert losses[-1] < 0.75 * losses[0]


def test_killed_and_resumed(tmp_path):
    arguments = [*TINY, "trainer.max_epochs=200", "callbacks=training_gif", f"run_dir={tmp_path / 'run'}"]
    process = started(*arguments, cwd=tmp_path)
    run = RunDir(tmp_path / "run")
    wait_for(run.last.is_file)
    process.kill()
    process.communicate()
    reached = torch.load(run.last, weights_only=True)["epoch"] + 1
    assert reached < 200
    done = run_command(f"resume={run.path}", f"trainer.max_epochs={reached + 2}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run.status()["status"] == "finished"
    assert run.metrics()["epochs"] == reached + 2


def test_ctrl_c_leaves_a_run_that_says_so(tmp_path):
    arguments = [*TINY, "trainer.max_epochs=500", "callbacks=none", f"run_dir={tmp_path / 'run'}"]
    process = started(*arguments, cwd=tmp_path)
    run = RunDir(tmp_path / "run")
    wait_for(run.last.is_file)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "resume=" in errors
    assert run.status()["status"] == "interrupted"


def test_help_answers_at_once_and_lists_the_groups(tmp_path):
    script = """
import atexit, sys
from vae_lightning.train import main
large = {"torch", "lightning", "numpy", "PIL", "jaxtyping"}
atexit.register(lambda: print(sorted(large.intersection(sys.modules))))
sys.argv = ["vae-train", "--help"]
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.rstrip().endswith("[]")
    assert "model: " in done.stdout
    assert "conv5" in done.stdout
    assert "objective.beta=0.5,1,4" in done.stdout


def test_real_mnist_and_faces(command, tmp_path, real_data):
    for data, model in (("mnist", "conv"), ("anime", "conv5")):
        if data == "anime":
            faces = tmp_path / "faces"
            faces.mkdir()
            for number in range(300):
                os.symlink(real_data / f"anime-faces/{number}.jpg", faces / f"{number}.jpg")
            extra = [f"data.root={faces}", f"data.cache_dir={tmp_path / 'cache'}"]
            extra += ["model.encoder.channels=[4,8,8,16,16]"]
        else:
            extra = [f"data.root={real_data}"]
        extra += ["data.batch_size=8", "data.eval_batch_size=8"]
        run = tmp_path / data
        command(f"data={data}", f"model={model}", "trainer=cpu", "debug=fast", f"run_dir={run}", *extra)
        assert RunDir(run).metrics()["test/elbo"] != 0
