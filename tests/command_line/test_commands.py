"""Every mistake on the command line is answered with one line that names the key, before anything is written."""

import shlex
from types import SimpleNamespace

import pytest

from vae_lightning.command_line import commands

SMALL = ["data=digits", "model=mlp"]

MISTAKES = {
    "model.latent_dmi=3": "model.latent_dmi: no such key; did you mean latent_dim?",
    "sed=1": "sed: no such key; did you mean seed?",
    "modle=conv": "modle: no such key; did you mean model?",
    "model=null": "model=null: choose an option; valid here: burda, conv, conv5,",
    "model.encoder.hidden=[8,a]": "model.encoder.hidden=[8, 'a']: expected a list of int",
    "data=minst": "data=minst: no such option; did you mean mnist? valid here: anime, caltech101,",
    "callbacks=[default,emma]": "callbacks=emma: no such option; valid here: aggregated_posterior, all, basic, default",
    "model/likelihood=gausian": "model/likelihood=gausian: no such option; did you mean gaussian?",
    "model=vq model/prior=vamp": "model/prior: model=vq has no such part; leave it out, or choose another option of",
    "model=vq model.quantizer.num_codes=1": "model.quantizer.num_codes must be at least 2, got 1",
    "model=fsq model.quantizer.levels=[8,1]": "model.quantizer.levels must be a list of numbers, each at least 3",
    "model=vq model.num_classes=10": "model.num_classes: model=vq has no such key, but of model burda, conv, ",
    "seed=abc": "seed: Value 'abc' of type 'str' could not be converted to Integer",
    "model.latent_dim=abc": "model.latent_dim='abc': expected int",
    "model.latent_dim=0": "model.latent_dim must be at least 1, got 0",
    "model.encoder.hidden=[0]": "hidden must be a list of positive widths, got [0]",
    "objective.beta=-1": "objective.beta must be at least 0, got -1",
    "objective.warmup_steps=1.5": "objective.warmup_steps=1.5: expected int",
    "data.batch_size=5000": "data.batch_size=5000 is larger than the training split of",
    "data.batch_size=0": "data.batch_size must be at least 1, got 0",
    "data.channels=2": "data.channels must be 1 (grey) or 3 (RGB), got 2",
    "data.binarize=maybe": "data.binarize='maybe': expected none, dynamic, fixed",
    "trainer.max_epochs=ten": "trainer.max_epochs='ten': expected int or null",
    "trainer.precision=7": "trainer.precision=7: expected 64, 32, 16",
    "trainer.max_time=00:01:00:00": "trainer.max_time: is not listed, but Trainer takes it: "
    "+trainer.max_time=00:01:00:00 adds it",
    "optimizer.amsgrad=true": "optimizer.amsgrad: is not listed, but Adam takes it: +optimizer.amsgrad=true adds it",
    "trainer.logger=true": "trainer.logger: no such key; valid here: ",
    "optimizer.params=[1]": "optimizer.params: no such key; valid here: ",
    "averaging.decay=0.9": "averaging.decay: no such key, for averaging has none; choose another option of ema, none",
    "averaging=ema averaging.decay=1": "averaging.decay must lie in [0, 1), got 1",
    "averaging=ema averaging.update_every_n_steps=0": "averaging.update_every_n_steps must be at least 1, got 0",
    "averaging=ema callbacks=[basic,ema]": "averaging and callbacks.ema: average the weights twice",
    "+trainer.foo=1": "trainer.foo: no such key; valid here: accelerator",
    "+model.foo=1": "model.foo: no such key; valid here: ",
    "optimizer.lr=-1": "optimizer: Invalid learning rate: -1",
    "optimizer=sgdd": "optimizer=sgdd: no such option; valid here: adam, adamax, adamw",
    "model.encoder._target_=no.such.Class": "model.encoder._target_=no.such.Class: can't be imported",
    "model.latent_dim=[1": "no viable alternative at input '[1'",
    "seed=-1": "seed=-1: choose 0 to 4294967295",
    "trainer.precision=bf16-true": "trainer.precision=bf16-true: the weights stay float32; choose one of auto",
    "trainer.precision=16-mixed trainer.accelerator=cpu": "trainer.precision=16-mixed: fp16 needs a GPU",
    "trainer.sync_batchnorm=true trainer=ddp_cpu": "trainer.sync_batchnorm=true needs GPUs",
    "sweep=nowhere": "sweep=nowhere: a sweep is gone on with by -m and what was typed to start it",
    "trainer.max_epochs=0": "trainer.max_epochs=0: a run trains and then tests; choose at least 1",
    "trainer.limit_test_batches=0": "trainer.limit_test_batches=0: a run trains and then tests",
    "+trainer.fast_dev_run=true": "debug=fast does the same",
    "trainer.num_threads=0": "trainer.num_threads=0: choose auto or a whole number from 1 to 1024",
    "resume=nowhere": "resume=nowhere: no such directory",
    "checkpoint=foo": "checkpoint=foo: give single keys, such as checkpoint.every_minutes=5",
    "checkpoint=null": "checkpoint=null: a run tests its best checkpoint; checkpoint.every_minutes=null has it saved",
    **dict.fromkeys(
        ("trainer.max_epochs=9999999999999999999999", "model.encoder.hidden=[8,9999999999999999999999]"),
        "=99999999999999999999...: has a whole number of more than 64 bits",
    ),
}


@pytest.mark.parametrize("override", MISTAKES)
def test_mistakes_are_told_in_one_line(error_of, tmp_path, override):
    assert MISTAKES[override] in error_of(*SMALL, *override.split())
    assert list(tmp_path.iterdir()) == []


SWEEP_MISTAKES = {
    "resume=nowhere seed=1,2": "resume=nowhere: a sweep trains runs of its own; sweep=<its directory> goes on with one",
    "run_dir=here seed=1,2": "run_dir=here: the jobs of a sweep lie in its directory, sweep_dir",
    "name=a,b": "name=a,b: name can't be swept, for it changes nothing that is trained",
    "seed=1,2,1": "seed=1,2,1: a value is given twice",
    "model.latent_dmi=2,3": "model.latent_dmi: no such key; did you mean latent_dim?",
}


@pytest.mark.parametrize("overrides", SWEEP_MISTAKES)
def test_sweeps_that_cannot_be(error_of, tmp_path, overrides):
    words = overrides.split()
    message = error_of("-m", *SMALL, *words, f"sweep_dir={tmp_path / 'sweep'}")
    assert message.startswith(SWEEP_MISTAKES[overrides])
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_directory_that_cannot_be_made(error_of, tmp_path):
    (tmp_path / "file").touch()
    message = error_of("-m", *SMALL, "seed=1,2", f"sweep_dir={tmp_path / 'file/sweep'}")
    assert message == f"sweep_dir: {tmp_path / 'file/sweep'} can't be made (Not a directory)"


def test_a_folder_that_is_no_sweep(error_of, tmp_path):
    (tmp_path / "other").mkdir()
    message = error_of("-m", *SMALL, "seed=1,2", f"sweep={tmp_path / 'other'}")
    assert message == f"sweep={tmp_path / 'other'}: not a sweep's directory (it has no multirun.yaml)"


@pytest.mark.parametrize("name", ["0", "multirun.yaml", "study.log", ".search.lock"])
def test_a_sweep_directory_whose_links_lead_elsewhere_is_not_gone_on_with(error_of, tmp_path, name):
    sweep, outside = tmp_path / "sweep", tmp_path / "outside"
    sweep.mkdir()
    (sweep / "multirun.yaml").write_text("{}")
    outside.mkdir()
    (outside / "precious").write_text("precious")
    (sweep / "mine").symlink_to(outside)  # which no sweep looks at
    (sweep / name).unlink(missing_ok=True)
    (sweep / name).symlink_to(outside if name == "0" else outside / "precious")
    message = error_of("-m", *SMALL, "seed=1,2", f"sweep={sweep}")
    assert message.startswith(f"sweep_dir: {sweep} can't be used: ")
    assert name in message.removeprefix(f"sweep_dir: {sweep}")
    assert [path.read_text() for path in outside.iterdir()] == ["precious"]


def test_a_users_own_links_may_lie_beside_a_sweep(tmp_path):
    from vae_lightning.sweeps.preparing import _check_place

    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/mine").symlink_to(tmp_path)
    assert _check_place(tmp_path / "sweep") == []


def test_a_key_that_is_not_listed_is_added_as_it_is_shown(train, error_of):
    shown = []
    for key in ("trainer.max_time='00:01:00:00'", "optimizer.amsgrad=true"):
        message = error_of(*SMALL, key)
        shown += shlex.split(message.partition("takes it: ")[2].removesuffix(" adds it"))
    run = train(*shown, "callbacks=none")
    assert run.metrics()["epochs"] == 2
    assert run.config()["trainer"]["max_time"] == "00:01:00:00"
    assert run.config()["optimizer"]["amsgrad"] is True


def test_flags_that_do_not_go_together(error_of):
    assert error_of("-m", *SMALL, "seed=1,2", "--cfg", "job") == "-m, --cfg and --info: choose one of them"


def test_nodes_without_a_launcher_for_them(error_of):
    assert "torchrun or srun starts the ranks of several nodes" in error_of(*SMALL, "+trainer.num_nodes=2")


def test_a_sweep_that_is_not_there(error_of, tmp_path):
    message = error_of("-m", *SMALL, "sweep=nowhere", "seed=1,2")
    assert message == "sweep=nowhere: no such directory; sweep_dir= names the place of a new sweep"
    assert list(tmp_path.iterdir()) == []


def test_image_too_small_for_the_network(error_of, tmp_path):
    message = error_of("data=digits", "model=conv5", "data.image_size=7")
    assert message == "data.image_size=7 is too small for 5 halvings; choose at least 17"


def test_missing_faces(error_of, tmp_path):
    assert "data.root=" in error_of("data=anime", f"data.root={tmp_path / 'nowhere'}")
    assert "data.root" in error_of("data=folder")


def test_gpu_where_there_is_none(error_of):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert error_of(*SMALL, "trainer=gpu").startswith("trainer.accelerator=gpu: PyTorch finds no GPU here")


def test_output_dir_that_cannot_be_made(error_of, tmp_path):
    (tmp_path / "file").touch()
    assert error_of(*SMALL, f"output_dir={tmp_path / 'file'}").startswith("output_dir: ")


def test_full_disk_is_noticed_before_training(error_of, tmp_path, monkeypatch):
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 99, 1_000_000))
    assert "has 1 MB left, the run needs about" in error_of(*SMALL, f"run_dir={tmp_path / 'run'}")
    assert list(tmp_path.iterdir()) == []


def test_full_error_shows_the_traceback(command, monkeypatch):
    from vae_lightning.errors import UserError

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(UserError):
        command(*SMALL, "model.latent_dim=0")


@pytest.mark.parametrize(
    ("launcher", "follow"),
    [
        ("hydra._internal.core_plugins.basic_launcher.BasicLauncher", True),
        ("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", True),
        ("hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", False),
    ],
)
def test_a_launcher_that_submits_each_job_has_none_follow_in_its_process(monkeypatch, launcher, follow):
    monkeypatch.setattr(commands.HydraConfig, "get", lambda: SimpleNamespace(launcher={"_target_": launcher}))
    assert commands.jobs_follow() is follow
