"""A run is gone on with from its own checkpoint only, and nothing else that the file names is touched."""

import os

import pytest
import torch

from tests.checkpoints.changing import ADAM, FIRST, GONE, NAN, edit, put
from tests.trained import OWN_CHECKPOINTS
from vae_lightning.errors import UserError
from vae_lightning.training.run import build

RESUMED = {
    "empty": (lambda run: run.last.write_bytes(b""), "last.ckpt can't be read (File is not a zip file)"),
    "no epoch": (lambda run: edit(run.last, put("epoch", GONE)), "last.ckpt can't be read (it has no epoch)"),
    "weights of texts": (
        lambda run: edit(run.last, put("state_dict", {FIRST: "x"})),
        "last.ckpt can't be read (state_dict is not a dict of tensors)",
    ),
    "weights of another shape": (
        lambda run: edit(run.last, put(f"state_dict/{FIRST}", torch.zeros(2))),
        f"last.ckpt is of another model than its config.yaml says (it differs in {FIRST})",
    ),
    "NaN": (
        lambda run: edit(run.last, put(f"state_dict/{FIRST}", torch.full((4, 784), NAN))),
        f"last.ckpt has values that are not finite (state_dict.{FIRST}): its training has diverged",
    ),
    "another optimizer's state": (
        lambda run: edit(run.last, put(f"{ADAM}/exp_avg", torch.zeros(2))),
        "last.ckpt can't be read (optimizer_states[0].state.0.exp_avg is a tensor [2] of float32, "
        "not [4, 784] of float32)",
    ),
    "a fixed tensor of another shape": (
        lambda run: edit(run.last, put("callbacks/Reconstructions/fixed", torch.zeros(64, 3))),
        "last.ckpt can't be read (callbacks.Reconstructions.fixed is a tensor [64, 3] of float32, "
        "not [up to 1000, 1, 28, 28] of uint8)",
    ),
    "a best one that is cut": (lambda run: os.truncate(run.best, 900), "best.ckpt can't be read ("),
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_run_is_refused_before_anything_of_it_is_touched(stateful_run, moved, name):
    damage, told = RESUMED[name]
    copied = moved(stateful_run)
    damage(copied)
    config = stateful_run.config()
    config["trainer"]["max_epochs"] = 2
    before = {path: path.stat().st_mtime_ns for path in copied.path.rglob("*")}
    with pytest.raises(UserError) as error:
        build(config, copied, resume=True)
    assert str(error.value).startswith(f"resume={copied.path}: {told}")
    assert "\n" not in str(error.value)
    assert {path: path.stat().st_mtime_ns for path in copied.path.rglob("*")} == before


def test_resuming_removes_nothing_that_a_checkpoint_names(train, command, tmp_path):
    own = OWN_CHECKPOINTS.replace("filename:own,monitor:val/elbo,mode:max,", "filename:own,")
    trained = train("callbacks=none", "logger=none", own)
    canary = tmp_path / "canary"
    (canary / "below").mkdir(parents=True)
    checkpoint = torch.load(trained.last, weights_only=True)
    (key,) = [key for key in checkpoint["callbacks"] if key.startswith("ModelCheckpoint")]
    checkpoint["callbacks"][key]["best_model_path"] = f"local://{canary}"
    torch.save(checkpoint, trained.last)
    trust = "trust=[lightning.pytorch.callbacks.ModelCheckpoint]"
    command(f"resume={trained.path}", "trainer.max_epochs=3", trust)
    assert trained.metrics()["epochs"] == 3
    assert (canary / "below").is_dir()
