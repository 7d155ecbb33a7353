"""Why a run has ended is told, whatever of it can't be written; and what its model's code is good for."""

import errno
import math
import re
import time
from contextlib import suppress

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from tests.disk.full import failing
from tests.loggers.test_tracker import Service
from tests.test_config import composed
from vae_lightning.callbacks.checkpoints import Checkpoints
from vae_lightning.command_line.schema import CONF_DIR
from vae_lightning.config import instantiate
from vae_lightning.latents.units import UnitStatistics
from vae_lightning.machine.interruption import Interrupted
from vae_lightning.runs.records import RunDir
from vae_lightning.training.outcome import _ending, _told_by_means, rates_bound_means, recorded, told_of_units


@pytest.fixture
def run(tmp_path) -> RunDir:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("name: x\nlogger: {}\n")
    return RunDir(tmp_path / "run")


def test_why_a_run_has_ended_is_told_though_it_cannot_be_recorded(run, monkeypatch):
    def end():
        with recorded(run, Trainer(accelerator="cpu", devices=1, logger=False, default_root_dir=run.path)):
            monkeypatch.setattr(RunDir, "write_status", lambda *_: failing(errno.EIO))
            raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        end()


@pytest.mark.parametrize(("name", "is_told"), [(None, True), ("run/metrics.csv", True), ("cache/pixels.npy", False)])
def test_another_disk_that_is_full_is_not_told_as_the_runs(run, tmp_path, name, is_told):
    error = OSError(errno.ENOSPC, "No space left", *([] if name is None else [str(tmp_path / name)]))
    _, told = _ending(error, run)
    assert str(told).startswith("output_dir: the disk of ") is is_told


def units(rate: float, variance: float) -> UnitStatistics:
    return UnitStatistics(torch.full((4,), rate).double(), torch.full((4,), variance).double())


def composed_objective(option: str) -> dict:
    return yaml.safe_load((CONF_DIR / f"objective/{option}.yaml").read_text())


TRY = "try a smaller optimizer.lr"  # clipping was tried: it cures neither
TRIED = {"beta", "warmup_steps", "tolerance", "max_capacity", "free_nats"}


@pytest.mark.parametrize("option", sorted(file.stem for file in (CONF_DIR / "objective").glob("*.yaml")))
def test_a_code_that_is_not_used_is_told_with_keys_that_the_objective_has(option):
    objective = composed_objective(option)
    told = told_of_units(units(0.01, 0.0), objective, None, 784, 100)
    assert told is not None
    assert told.startswith("none of the 4 latent units is active, at a rate of 0.04 nats: the posterior has")
    assert ("; try a longer training" in told) is (not set(objective) & TRIED)
    keys = re.findall(r"objective\.(\w+)", told)
    assert set(keys) == set(objective) & TRIED
    assert "trainer.max_epochs" in told
    assert "every image gets the same reconstruction" in told
    assert "every image of a label gets" in str(told_of_units(units(0.01, 0.0), objective, 10, 784, 100))


def test_a_code_that_tells_a_little_is_not_told_to_be_none():
    told = str(told_of_units(units(0.13, 0.001), composed_objective("elbo"), None, 784, 100))
    assert "at a rate of 0.52 nats: the code is hardly used, and every image gets nearly the same" in told
    assert "collapsed" not in told


@pytest.mark.parametrize(
    "found", [units(0.01, 0.02), units(3.0, 0.001), None], ids=["active", "narrow", "no validation"]
)
def test_a_code_that_is_used_is_not_told_to_be_none(found):
    assert told_of_units(found, composed_objective("elbo"), None, 784, 100) is None


@pytest.mark.parametrize(("rate", "is_told"), [(10_000.0, False), (11_000.0, True), (math.inf, True), (math.nan, True)])
def test_a_rate_above_an_images_own_bytes_by_far_is_told(rate, is_told):
    told = told_of_units(units(rate, 1.0), composed_objective("elbo"), None, 784, 100)
    assert (told is not None) is is_told
    where = "nats per image, where the bytes of an image are 4,347: the training has diverged"
    assert told in (None, *(f"the rate is {each} {where}; {TRY}" for each in ("4.4e+04", "inf", "nan")))


@pytest.mark.parametrize("num_images", [0, 1, 9])
def test_a_few_images_may_be_alike(num_images):
    assert told_of_units(units(3.0, 0.0), composed_objective("elbo"), None, 784, num_images) is None


def test_one_code_of_all_images_is_told_whatever_its_rate():
    told = str(told_of_units(units(3.0, 0.0), composed_objective("elbo"), None, 784, 100))
    assert told.startswith("all images have the same code, at a rate of 12.00 nats that tells nothing: the encoder no ")
    assert told.endswith(f"; {TRY}")


@pytest.mark.parametrize(("variance", "is_told"), [(1e-3, False), (1e-4, True), (1e-8, True)])
def test_codes_that_lie_within_each_other_are_told_beside_a_unit_prior(variance, is_told):
    options = composed_objective("elbo"), None, 784, 100
    told = told_of_units(units(3.0, variance), *options, lambda: True)
    assert (told is not None) is is_told
    nearly = "all images have nearly the same code, at a rate of 12.00 nats that tells next to nothing: the encoder "
    assert told is None or (told.startswith(f"{nearly}hardly depends") and f"; {TRY}, or a longer training" in told)
    assert told_of_units(units(3.0, variance), *options) is None  # a narrow prior has such codes


def test_of_active_units_no_rate_is_too_little():
    found = units(0.3, 0.03)
    assert _told_by_means(found.rate, found.variance) < 1
    assert told_of_units(found, composed_objective("elbo"), None, 784, 100, lambda: True) is None


@pytest.mark.parametrize(
    ("options", "do"),
    [
        ("", True),
        ("model/prior=learned_gaussian", False),
        ("model/prior=mixture", False),
        ("model/posterior=full_covariance", False),
        ("model/posterior=point objective=rae", False),
        ("model=ladder", False),
        ("model=vq", False),
    ],
)
def test_rates_bound_means_of_independent_gaussians_beside_a_unit_prior(options, do):
    vae = instantiate(composed("data=digits", "model=mlp", *options.split())["model"], "model")
    assert rates_bound_means(vae) is do


@pytest.mark.parametrize("prior", ["standard_normal", "learned_gaussian"])
def test_a_run_says_of_its_own_model_whether_rates_bound_means(train, monkeypatch, prior):
    asked = []
    monkeypatch.setattr("vae_lightning.training.run.told_of_units", lambda *given: asked.append(given[-1]()))
    train("callbacks=none", f"model/prior={prior}", "trainer.max_epochs=1")
    assert asked == [prior == "standard_normal"]


@pytest.mark.parametrize("deviation", [1.5, 1.0, 0.3, 1e-3])
@pytest.mark.parametrize("variance", [4.0, 1e-2, 1e-6, 0.0])
def test_means_tell_no_more_than_is_said(deviation, variance):
    rate = (variance + deviation**2 - 1) / 2 - math.log(deviation)
    through = math.log1p(variance / deviation**2) / 2  # of a Gaussian channel
    most = _told_by_means(torch.tensor([rate]).double(), torch.tensor([variance]).double())
    assert most >= through
    largest = _told_by_means(torch.tensor([1e9]).double(), torch.tensor([variance]).double())
    assert math.isfinite(largest)
    assert largest > 100 or variance == 0


@pytest.mark.parametrize("beta", [1, 200])
def test_a_run_says_at_its_end_how_many_units_are_active(train, capsys, beta):
    run = train("callbacks=none", f"objective.beta={beta}", "optimizer.lr=0.01", "trainer.max_epochs=6")
    number = run.metrics()["val/active_units"]
    assert f"active units    {number} of 4\n" in capsys.readouterr().out
    assert (number == 0) is (beta == 200)
    assert ("the code is not used" in (run.path / "train.log").read_text()) is (beta == 200)


def test_a_run_that_validates_nothing_says_nothing_of_its_units(train, capsys):
    run = train("callbacks=none", "trainer.limit_val_batches=0", "trainer.max_epochs=1")
    assert "val/active_units" not in run.metrics()
    assert "active units" not in capsys.readouterr().out


def told_by(logger, run: RunDir) -> Trainer:
    return Trainer(accelerator="cpu", devices=1, logger=logger, default_root_dir=run.path)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, ("finished", None, {"test/elbo": -1.0})),
        (KeyError("why"), ("failed", "'why'", {})),
        (KeyboardInterrupt(), ("interrupted", "Ctrl-C; before the first checkpoint", {})),
    ],
)
def test_the_loggers_are_told_how_a_run_has_ended(run, error, end):
    service = Service(run.path)
    run.write_metrics({"test/elbo": -1.0})
    service.log_hyperparams({})
    with suppress(KeyError, Interrupted), recorded(run, told_by(service, run)):
        if error is not None:
            raise error
    assert service.of("end") == [end]


def test_a_run_that_is_interrupted_while_its_end_is_told_has_not_finished(run):
    service = Service(run.path)
    run.write_metrics({})
    service.log_hyperparams({})
    service.send_end = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with suppress(Interrupted), recorded(run, told_by(service, run)):
        pass
    assert run.status()["status"] == "interrupted"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left"), MemoryError()])
@pytest.mark.parametrize("seconds", [0, 40])
def test_what_has_not_been_saved_is_told_where_a_run_ends_early(run, error, seconds):
    run.checkpoints.mkdir()
    run.last.touch()
    checkpoints = Checkpoints()
    checkpoints._saved_at = time.monotonic() - seconds
    trainer = told_by(False, run)
    trainer.callbacks.append(checkpoints)
    with pytest.raises(BaseException) as ended, recorded(run, trainer):  # noqa: PT011  (the very error is looked at)
        raise torch.OutOfMemoryError if isinstance(error, MemoryError) else error
    assert ("; go on with resume=" in str(ended.value)) is True
    assert str(ended.value).endswith(", the last 40 s are done again") is (seconds == 40)
    assert run.status()["reason"] == str(ended.value)


def test_nothing_is_unsaved_before_the_training_begins():
    assert Checkpoints().unsaved_seconds == 0


def test_the_peak_of_memory_is_told_and_kept(train, capsys):
    run = train("callbacks=none", "trainer.max_epochs=1")
    kept = run.metrics()["peak_memory_mb"]
    assert 50 < kept < 100_000
    assert f"peak memory {kept * 1e6 / 2**30:.1f} GiB\n" in capsys.readouterr().out
    assert "peak memory " in (run.path / "train.log").read_text()
