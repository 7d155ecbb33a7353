"""Steps captured as a CUDA graph do what steps taken operator by operator do; only where there is an NVIDIA GPU.

What a recording has to get right is tested on the CPU, too: tests/training/test_captured.py.
"""

import itertools
import logging
import subprocess
import sys

import pytest
import torch
from hydra import compose, initialize_config_dir

from vae_lightning.command_line.schema import CONF_DIR, register
from vae_lightning.config import plain
from vae_lightning.errors import UserError
from vae_lightning.runs.records import RunDir
from vae_lightning.training.run import build

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")

NUM_STEPS = 50
MODELS = {
    "mlp": ["model=mlp"],
    "conv": ["model=conv"],
    "conv5": ["model=conv5", "data.image_size=64", "data.channels=3", "data.horizontal_flip=true"],
    "augmented": ["model=conv", "data.channels=3", "data.augmentations=[shift,crop,{name:colour,hue:0.1}]"],
    "upsample": ["model=upsample", "data.image_size=64", "data.channels=3"],
    "ladder": ["model=ladder"],
    "burda": ["model=burda", "data.binarize=dynamic"],
    "labels": ["model=mlp", "+model.num_classes=10"],
    "mixture": ["model=mlp", "model/prior=mixture"],
    "vamp": ["model=mlp", "model/prior=vamp", "model.prior.num_components=20"],
    "flow prior": ["model=mlp", "model/prior=flow"],
    "flow posterior": ["model=mlp", "model/posterior=flow"],
    "full covariance": ["model=mlp", "model/posterior=full_covariance"],
    "log scale": ["model=mlp", "model/posterior=log_scale_gaussian"],
    "gaussian": ["model=mlp", "model/likelihood=gaussian"],
    "learned scale": ["model=mlp", "model/likelihood=gaussian", "model.likelihood.scale=learned"],
    "levels": ["model=mlp", "model/likelihood=discretized_logistic"],
    "mixed levels": ["model=conv", "model/likelihood=discretized_logistic_mixture"],
}
OBJECTIVES = {
    "elbo": ["objective=elbo"],
    "warm-up": ["objective.warmup_steps=30", "objective.beta=2"],
    "iwae": ["objective=iwae", "objective.num_samples=3"],
    "geco": ["objective=geco"],
}
SCHEDULES = {"constant": [], "cosine": ["schedule=cosine", "schedule.warmup=0.2"]}


@pytest.fixture(scope="module")
def composed():
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        yield lambda overrides: plain(compose("train", overrides=overrides))


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    yield
    torch.use_deterministic_algorithms(False)


def parts_of(composed, folder, overrides):
    few = [f"trainer.limit_train_batches={NUM_STEPS}", "trainer.max_epochs=1", "data.batch_size=16"]
    quiet = ["callbacks=none", "logger=none", "trainer.deterministic=true", "trainer.limit_val_batches=0"]
    place = ["name=test", f"run_dir={folder}"]
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    return build(composed(["data=digits", "trainer=gpu", *few, *quiet, *place, *overrides]), RunDir(folder))


def trained(composed, folder, overrides):
    parts = parts_of(composed, folder, overrides)
    parts.trainer.fit(parts.module, parts.data, weights_only=True)
    assert parts.trainer.global_step > 0
    return parts.module.state_dict()


def assert_same(one, other):
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def both(composed, folder, overrides, caplog):
    eager = trained(composed, folder / "eager", [*overrides, "trainer.capture=false"])
    caplog.set_level(logging.INFO)
    captured = trained(composed, folder / "captured", [*overrides, "trainer.capture=auto"])
    told = [each.message for each in caplog.records if "CUDA graph" in each.message]
    assert told == []
    return eager, captured


CASES = [(model, "elbo", "constant") for model in MODELS]
CASES += [("mlp", *rest) for rest in itertools.product(OBJECTIVES, SCHEDULES)][1:]
CASES += [(model, "iwae", "cosine") for model in ("conv5", "ladder", "vamp")]


@pytest.mark.parametrize(("model", "objective", "schedule"), CASES)
def test_fifty_captured_steps_are_fifty_eager_ones(model, objective, schedule, composed, tmp_path, caplog):
    overrides = MODELS[model] + OBJECTIVES[objective] + SCHEDULES[schedule]
    assert_same(*both(composed, tmp_path, overrides, caplog))


STEPPINGS = {
    "accumulated": ["trainer.accumulate_grad_batches=3"],
    "clipped": ["trainer.gradient_clip_val=1"],
    "skipping": ["trainer.on_nan=skip", "trainer.gradient_clip_val=1"],
    "averaged": ["averaging=ema"],
    "float32": ["trainer.precision=32-true"],
    "adamw": ["optimizer=adamw"],
    "on the host": ["data.binarize=dynamic", "trainer.steps_per_execution=4"],
}


@pytest.mark.parametrize("stepping", STEPPINGS)
def test_whatever_makes_a_step(stepping, composed, tmp_path, caplog):
    assert_same(*both(composed, tmp_path, ["model=conv", *STEPPINGS[stepping]], caplog))


def test_a_compiled_model_is_captured(tmp_path):
    # In a process without the tests' type checker, which torch.compile can't look through.
    command = [sys.executable, "-m", "vae_lightning.train", "data=digits", "model=mlp", "trainer=gpu", "debug=fast"]
    command += ["trainer.compile=true", "trainer.capture=true", "data.batch_size=16", f"run_dir={tmp_path / 'run'}"]
    subprocess.run(command, check=True)
    assert RunDir(tmp_path / "run").metrics()["test/elbo"] < 0


AGAINST = {
    "optimizer.fused=false": "not fused",
    "trainer.precision=16-mixed": "scaler",
    "+trainer.detect_anomaly=true": "detect_anomaly",
}


@pytest.mark.parametrize("override", AGAINST)
def test_what_can_not_be_captured_is_told_and_trained(override, composed, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    trained(composed, tmp_path / "auto", ["model=mlp", override])
    told = [each.message for each in caplog.records if "CUDA graph" in each.message]
    assert len(told) == 1
    assert AGAINST[override] in told[0]
    with pytest.raises(UserError, match=r"trainer\.capture=true"):
        trained(composed, tmp_path / "true", ["model=mlp", override, "trainer.capture=true"])


def waits_for_the_host(module):
    forward = module.vae.decode

    def decode(z, *rest):
        return forward(z * float(z.abs().max() >= 0), *rest)

    module.vae.decode = decode


def test_a_model_that_asks_the_gpu_is_told_with_its_line_and_trained(composed, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    states = []
    for capture in ("false", "auto"):
        parts = parts_of(composed, tmp_path / capture, ["model=mlp", f"trainer.capture={capture}"])
        waits_for_the_host(parts.module)
        parts.trainer.fit(parts.module, parts.data, weights_only=True)
        states.append(parts.module.state_dict())
    assert_same(*states)
    told = [each.message for each in caplog.records if "CUDA graph" in each.message]
    assert len(told) == 1
    assert "test_captured_on_a_gpu.py:" in told[0]


def test_a_nan_at_step_7_is_named(composed, tmp_path):
    parts = parts_of(composed, tmp_path, ["model=mlp"])
    plain_images, loader = parts.data.training_images, parts.data.train_dataloader()
    loader.batches.set_epoch(0)
    bad = list(loader.batches)[7].images.long().sum()

    def spoiled(images):
        x = plain_images(images)
        return torch.where(images.long().sum() == bad.to(images.device), torch.full_like(x, float("nan")), x)

    parts.data.training_images = spoiled
    with pytest.raises(UserError, match="the loss was not finite at step 7 "):
        parts.trainer.fit(parts.module, parts.data, weights_only=True)
