"""What needs no PyTorch to be refused is refused before it is imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vae_lightning.building.early import check_early
from vae_lightning.errors import UserError
from vae_lightning.machine.gpus import check_gpu

REFUSED = {  # by the words after the command
    "train data=digits model.latent_dimm=3": "model.latent_dimm: no such key; did you mean latent_dim?",
    "train data=digits trainer.max_time=1": "trainer.max_time: is not listed, but Trainer takes it",
    "train data=digits model.latent_dim=0": "model.latent_dim must be at least 1, got 0",
    "train data=digits model=mlp model.encoder.activation=elu": "model.encoder.activation='elu': expected relu, tanh",
    "train data=digits trainer.max_epochs=abc": "trainer.max_epochs='abc': expected int or null",
    "train data=digits trainer.max_epochs=0": "trainer.max_epochs=0: a run trains and then tests",
    "train data=digits data.batch_size=0": "data.batch_size must be at least 1, got 0",
    "train data=digits data.image_size=[4,0]": "data.image_size must be a positive number of pixels, or two as [",
    "train data=digits data.image_size=[4,x]": "data.image_size=[4, 'x']: expected int or a list of int",
    "train data=digits data.fit=tile": "data.fit='tile': expected crop, pad, stretch",
    "train data=digits optimizer.lr=abc": "optimizer.lr='abc': expected float or Tensor",
    "train data=digits optimizer.lr=-1": "optimizer: Invalid learning rate: -1",
    "train data=digits optimizer=adamw optimizer.weight_decay=-0.5": "optimizer: Invalid weight_decay value: -0.5",
    "train data=digits optimizer.betas=[0.9,1.5]": "optimizer: Invalid beta parameter at index 1: 1.5",
    "train data=digits callbacks.samples.num_images=0": "callbacks.samples.num_images must be at least 1, got 0",
    "train data=folder": "data.root must be a folder of images (.bmp, .gif, ",
    "train data=folder data.root=nowhere": "data.root=nowhere: there is no folder ",
    "train data=digits resume=nowhere": "resume=nowhere: no such directory",
    "evaluate run=nowhere": "run=nowhere: no such directory",
    "evaluate run=RUN nll.num_samples=many": "nll.num_samples='many': expected int or null",
    "generate mode=samples": "run: give a run directory",
    "generate run=RUN mode=manifold": "mode=manifold is for two latent dimensions, and this run has 4",
    "generate run=RUN mode=reconstructions images=nowhere.png": "images: nowhere.png: no such file",
    "generate run=RUN mode=encode images=[first.png,there]": "images: first.png: no such file",
    "generate run=RUN mode=samples num_images=0": "num_images must be at least 1, got 0",
}
CALL_EACH = """
import importlib, json, sys
from tests.composed import remember
remember()
told = []
for command, *words in json.load(sys.stdin):
    sys.argv = [command, *words]
    try:
        importlib.import_module(f"vae_lightning.{command}").main()
    except SystemExit as end:
        told.append([str(end.code), "torch" in sys.modules])
print(json.dumps(told))
"""


def test_torch_is_not_imported_for_it(tmp_path, digits_run):
    lines = [[word.replace("RUN", str(digits_run.path)) for word in line.split()] for line in REFUSED]
    done = subprocess.run(
        [sys.executable, "-c", CALL_EACH],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for expected, (told, has_torch) in zip(REFUSED.values(), json.loads(done.stdout), strict=True):
        assert told.startswith(f"error: {expected}")
        assert not has_torch, told


def test_what_may_be_right_passes():
    check_early({"_target_": "no.such.Class", "width": -1})
    check_early({"_target_": "vae_lightning.models.priors.mixture.MixturePrior", "_partial_": True, "unknown": 1})
    check_early({"encoder": {"_target_": "vae_lightning.models.networks.mlp.MLPEncoder", "_partial_": True}})


def test_parts_are_named_by_their_place():
    node = {"parts": [{"_target_": "vae_lightning.objectives.iwae.IWAE", "num_samples": 0}]}
    with pytest.raises(UserError, match=r"^model\.parts\[0\]\.num_samples must be at least 1, got 0$"):
        check_early(node, "model")


def test_a_class_goes_by_its_name_of_earlier_versions():
    with pytest.raises(UserError, match=r"^nll\.num_samples='a': expected int or null$"):
        check_early({"_target_": "vae_lightning.scoring.likelihood.LogLikelihood", "num_samples": "a"}, "nll")


@pytest.mark.parametrize("found", [None, "device", "tool", "driver", "elsewhere"])
def test_a_gpu_is_refused_where_plainly_there_is_none(monkeypatch, found):
    (seen,) = [Path("/dev/nvidia0")] if found == "device" else [None]
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter([seen] if seen and pattern == "nvidia*" else []))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if found == "tool" else None)
    monkeypatch.setattr(sys, "platform", "darwin" if found == "elsewhere" else "linux")

    def load(name):
        assert name == "libcuda.so.1"
        if found != "driver":
            raise OSError

    monkeypatch.setattr("ctypes.CDLL", load)
    check_gpu("cpu")
    check_gpu("auto")
    if found is not None:
        check_gpu("gpu")
        return
    for accelerator in ("gpu", "cuda"):
        with pytest.raises(UserError, match=rf"^trainer\.accelerator={accelerator}: PyTorch finds no GPU here; "):
            check_gpu(accelerator)
