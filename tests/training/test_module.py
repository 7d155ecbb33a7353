"""The LightningModule: evaluation that can't be fooled, training that stops at a NaN."""

import csv
import json
from contextlib import nullcontext

import pytest
import torch

from tests.conftest import TINY
from tests.given import fresh
from vae_lightning.data.loader import ImageBatch
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.vae import build_vae
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.terms import Progress
from vae_lightning.runs.records import RunDir
from vae_lightning.training.evaluating import Evaluator
from vae_lightning.training.module import VAEModule


def test_evaluation_does_not_depend_on_the_batch_size(train):
    runs = [train(f"data.eval_batch_size={size}", "callbacks=none", name=f"of_{size}") for size in (7, 360)]
    figures = [run.metrics() for run in runs]
    for name in ("test/elbo", "test/rate", "test/distortion", "test/elbo_stderr"):
        assert figures[0][name] == pytest.approx(figures[1][name], rel=1e-6)


@pytest.mark.parametrize("averaging", ["none", "ema"])
def test_the_test_is_of_what_best_ckpt_holds(train, averaging):
    from tests.end_to_end.runs import evaluate

    run = train("callbacks=none", f"averaging={averaging}", "trainer.max_epochs=3")
    assert torch.load(run.best, weights_only=True)["config"] == run.config()
    assert run.metrics()["test/elbo"] == pytest.approx(evaluate(run)["test/elbo"], rel=1e-6)
    assert run.metrics()["test/num_images"] == 360


def test_each_checkpoint_holds_the_units_of_its_own_validation(train):
    from vae_lightning.latents.encoding import encode
    from vae_lightning.latents.units import unit_statistics
    from vae_lightning.runs.trained import open_trained

    run = train("callbacks=none", "optimizer.lr=0.01", "trainer.max_epochs=3", "data.eval_batch_size=70")
    stored = {}
    for checkpoint in ("best", "last"):
        opened = open_trained(str(run.path), checkpoint, "cpu")
        images = torch.cat([batch.images for batch in opened.data.stream("val")])
        expected = unit_statistics(encode(opened.vae, images))
        assert opened.units is not None
        torch.testing.assert_close(opened.units.rate, expected.rate, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(opened.units.variance, expected.variance, rtol=1e-4, atol=1e-5)
        stored[checkpoint] = torch.load(getattr(run, checkpoint), weights_only=True)["units"]
    assert set(stored["last"]) == {"rate", "variance"}
    assert all(type(figure) is float for figure in stored["last"]["rate"])
    with (run.path / "metrics.csv").open() as stream:
        rates = [float(row["val/rate"]) for row in csv.DictReader(stream) if row["val/rate"]]
    assert sum(stored["last"]["rate"]) == pytest.approx(rates[-1], rel=1e-4)


def test_units_of_an_earlier_epoch_are_not_kept_beside_later_weights(train, recwarn):
    run = train("trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2", "callbacks=none")
    assert not [warning for warning in recwarn if "val/elbo" in str(warning.message)]
    kept = {path.stem: torch.load(path, weights_only=True)["units"] for path in (run.best, run.last)}
    assert kept["best"] is not None
    assert kept["last"] is None


def test_settings_of_a_callback_that_was_not_chosen_are_told_and_left_out(train, capsys):
    run = train("callbacks=none", "+callbacks.samples.every_n_epochs=5", "trainer.max_epochs=1")
    assert run.is_tested()
    told = "callbacks.samples: settings without effect, for callbacks has none of this name"
    assert told in capsys.readouterr().out.splitlines()


def test_a_run_without_validation_has_no_units(train):
    run = train("callbacks=none", "trainer.max_epochs=1", "trainer.limit_val_batches=0")
    assert torch.load(run.last, weights_only=True)["units"] is None


def test_the_importance_weighted_bound_is_trained_and_tested(train):
    options = ["objective=iwae", "objective.num_samples=4", "data.binarize=dynamic", "callbacks=none"]
    run = train(*options, "optimizer.lr=0.01")
    metrics = run.metrics()
    gap = -metrics["test/elbo"] - metrics["test/loss"]
    assert gap > 10 * abs(metrics["test/elbo"] + metrics["test/rate"] + metrics["test/distortion"])
    with (run.path / "metrics.csv").open() as stream:
        losses = [float(row["val/loss"]) for row in csv.DictReader(stream) if row["val/loss"]]
    assert losses[-1] < losses[0]


def test_selection_is_on_the_plain_elbo(train):
    # With a warm-up the loss is smallest while beta is small; the plain ELBO is not fooled.
    options = ["objective.beta=20", "objective.warmup_steps=100", "trainer.max_epochs=12", "callbacks=none"]
    run = train(*options, "optimizer.lr=0.01")
    with (run.path / "metrics.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["val/elbo"]]
    by_elbo = max(rows, key=lambda row: float(row["val/elbo"]))
    by_loss = min(rows, key=lambda row: float(row["val/loss"]))
    assert by_elbo["epoch"] != by_loss["epoch"]
    assert torch.load(run.best, weights_only=True)["epoch"] == int(by_elbo["epoch"])
    metrics = run.metrics()
    assert metrics["test/elbo"] == pytest.approx(-metrics["test/rate"] - metrics["test/distortion"], rel=1e-6)


@pytest.mark.parametrize(
    "option", ["trainer.limit_val_batches=1.0", "trainer.limit_val_batches=0", "trainer.steps_per_execution=16"]
)
def test_a_nan_stops_the_run_and_names_the_step(error_of, tmp_path, monkeypatch, option):
    plain = ELBO.forward

    def poisoned(self, output, x, progress):
        terms = plain(self, output, x, progress)
        if progress.step == 13 and torch.is_grad_enabled():
            terms.loss.mul_(float("nan"))
        return terms

    monkeypatch.setattr(ELBO, "forward", poisoned)
    message = error_of(*TINY, "trainer.max_epochs=3", option, f"run_dir={tmp_path / 'run'}")
    assert "the loss was not finite at step 13 (epoch 2)" in message
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert status["status"] == "failed"
    assert "step 13" in status["reason"]
    weights = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert weights["epoch"] == 0
    assert all(value.isfinite().all() for value in weights["state_dict"].values())


def test_too_little_memory_is_told_in_one_line(error_of, tmp_path, monkeypatch):

    def hungry(self, output, x, progress):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n2 GiB")

    monkeypatch.setattr(ELBO, "forward", hungry)
    message = error_of(*TINY, f"run_dir={tmp_path / 'run'}")
    assert message == "out of memory; try a smaller data.batch_size; before the first checkpoint"
    assert json.loads((tmp_path / "run/status.json").read_text())["reason"] == message


def test_log_probabilities_are_float32_under_autocast():
    shape = (1, 8, 8)
    vae = build_vae(shape, 3, MLPEncoder, DiagonalGaussian, StandardNormal, MLPDecoder, BernoulliLikelihood())
    module = VAEModule(vae, ELBO(), torch.optim.Adam)
    x = torch.rand(4, *shape)
    with torch.autocast("cpu", torch.bfloat16):
        terms = module.objective(module.vae(x, fresh(1, len(x))), x, Progress(0))
    assert {value.dtype for value in terms.by_name().values()} == {torch.float32}


def test_evaluation_is_float32_whatever_the_training_precision():
    shape = (1, 8, 8)
    vae = build_vae(shape, 3, MLPEncoder, DiagonalGaussian, StandardNormal, MLPDecoder, BernoulliLikelihood())
    module = VAEModule(vae, ELBO(), torch.optim.Adam)
    module._trainer = type("Fake", (), {"global_step": 0})()
    batch = ImageBatch(torch.rand(4, *shape), torch.arange(4), None)
    found = []
    with torch.no_grad():
        for precision in (nullcontext(), torch.autocast("cpu", torch.bfloat16)):
            evaluator = Evaluator(module, "test")
            with precision:
                evaluator.add(batch)
            found.append(evaluator._means.compute()["elbo"].value)
    assert found[0] == found[1]


def test_synchronized_batchnorm_takes_the_place_of_each_and_keeps_the_checkpoint_keys():
    # What Lightning does for trainer.sync_batchnorm=true; PyTorch computes it on GPUs only.
    from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm

    from vae_lightning.models.networks.conv5 import Conv5Decoder, Conv5Encoder

    vae = build_vae((3, 32, 32), 3, Conv5Encoder, DiagonalGaussian, StandardNormal, Conv5Decoder, BernoulliLikelihood())
    module = VAEModule(vae, ELBO(), torch.optim.Adam)
    keys = list(module.state_dict())
    converted = TorchSyncBatchNorm().apply(module)
    kinds = {type(part).__name__ for part in converted.modules()}
    assert "SyncBatchNorm" in kinds
    assert "BatchNorm2d" not in kinds
    assert list(converted.state_dict()) == keys


def test_conv_weights_are_channels_last():
    from vae_lightning.models.networks.conv5 import Conv5Decoder, Conv5Encoder

    shape = (3, 32, 32)
    vae = build_vae(shape, 3, Conv5Encoder, DiagonalGaussian, StandardNormal, Conv5Decoder, BernoulliLikelihood())
    module = VAEModule(vae, ELBO(), torch.optim.Adam)
    weights = [value for value in module.parameters() if value.dim() == 4]
    assert weights
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in weights)


def test_what_was_found_of_the_units_is_known_again_when_a_run_goes_on(tmp_path):
    from tests.test_config import composed
    from vae_lightning.training.run import build

    module = build(composed(*TINY), RunDir(tmp_path)).module
    stored = {"rate": [1.0, 0.5], "variance": [0.3, 0.0]}
    module.on_load_checkpoint({"units": stored})
    assert module.units is not None
    assert module.units.as_dict() == stored
    module.on_load_checkpoint({})
    assert module.units is None
