"""Steps without Lightning's calls are those with them, to the last bit, and are taken where nobody misses the calls."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.profilers import PassThroughProfiler, SimpleProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy

from tests.tiny import NUM_BATCHES, SGD, Noise, differing, fit, module
from vae_lightning.objectives.geco import GECO
from vae_lightning.training import epochs
from vae_lightning.training.direct import Direct
from vae_lightning.training.module import VAEModule
from vae_lightning.training.schedules import Cosine
from vae_lightning.training.stepper import Eager

CASES = {
    "plain": {},
    "accumulated": {"accumulate_grad_batches": 3},
    "clipped": {"gradient_clip_val": 0.5, "accumulate_grad_batches": 2},
    "clipped by value": {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
    "skipping": {"on_nan": "skip"},
    "skipping by norm": {"skip_gradient_norm": 0.5},
    "not fused": {"optimizer": SGD},
}


@pytest.fixture
def passes(monkeypatch) -> list[type]:
    """How the batches of trainings are launched."""
    made: list[type] = []
    choose = epochs.capturing

    def noted(*options):
        made.append(choose(*options))
        return made[-1]

    monkeypatch.setattr(epochs, "capturing", noted)
    return made


def both(monkeypatch, make, **options):
    """Trained directly, and with Lightning's calls."""
    fitted = []
    for kind in (Direct, Eager):
        monkeypatch.setattr(epochs, "capturing", lambda *_, kind=kind: kind)
        data = Noise(horizontal_flip=True, binarize="dynamic")
        fitted.append(fit(4, trained=make(), data=data, **options))
    return fitted


def assert_the_same(direct, eager):
    assert differing(direct.weights, eager.weights) == []
    assert direct.rows == eager.rows
    assert direct.trainer.global_step == eager.trainer.global_step > 0


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("case", ["plain", "clipped"])
def test_steps_of_each_precision_are_those_with_lightnings_calls(case, precision, monkeypatch):
    options = {"precision": precision, "log_every_n_steps": 1}
    assert_the_same(*both(monkeypatch, lambda: module(**CASES[case]), **options))


@pytest.mark.parametrize("case", CASES)
def test_steps_are_those_with_lightnings_calls(case, monkeypatch):
    def make():
        trained = module(**CASES[case])
        trained.objective, trained.schedule = GECO(tolerance=0.2), Cosine(warmup=0.3)
        return trained

    assert_the_same(*both(monkeypatch, make, log_every_n_steps=1))


class Listens(Callback):
    def on_after_backward(self, trainer, pl_module):
        self.heard = True


class OnTrainingsEnd(Callback):
    def on_train_end(self, trainer, pl_module):
        self.heard = True


class OwnStep(VAEModule):
    def on_before_optimizer_step(self, optimizer):
        super().on_before_optimizer_step(optimizer)
        self.heard = True


class OwnBackward(VAEModule):
    def manual_backward(self, *arguments, **options):
        super().manual_backward(*arguments, **options)
        self.heard = True


class OwnProfiler(PassThroughProfiler):
    heard = False

    def start(self, action_name):
        self.heard |= action_name == "backward_pass"


class OwnStrategy(SingleDeviceStrategy):
    heard = False

    def backward(self, *arguments, **options):
        self.heard = True
        return super().backward(*arguments, **options)


class OwnPrecision(MixedPrecision):
    heard = False

    def optimizer_step(self, *arguments, **options):
        self.heard = True
        return super().optimizer_step(*arguments, **options)


class WantsClosure(torch.optim.SGD):
    def step(self, *, closure):
        return super().step(closure)


def hooked(parameters) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(parameters, lr=1e-3)

    def enlarge(optimizer, *_):
        for each in optimizer.param_groups[0]["params"]:
            each.grad.mul_(10)

    optimizer.register_step_pre_hook(enlarge)
    return optimizer


@pytest.mark.parametrize("optimizer", [partial(WantsClosure, lr=1e-3), hooked], ids=["closure", "hook"])
def test_optimizers_find_a_step_as_lightning_makes_it(optimizer, monkeypatch):
    make = partial(module, optimizer, gradient_clip_val=0.5)
    assert_the_same(*both(monkeypatch, make, max_epochs=1, log_every_n_steps=1))


def test_an_optimizer_that_lightning_has_wrapped_already_is_counted_once(passes):
    trained = module(lambda parameters: LightningOptimizer(SGD(parameters)))
    assert fit(4, trained=trained, max_epochs=1).trainer.global_step == NUM_BATCHES
    assert passes == [Eager]


@pytest.mark.parametrize("capture", ["auto", False])
def test_they_are_taken_where_nobody_listens(passes, capture):
    trained, listener = module(), OnTrainingsEnd()
    trained.capture = capture
    fitted = fit(4, listener, trained=trained, max_epochs=1)
    assert passes == [Direct]
    assert listener.heard
    assert fitted.trainer.global_step == NUM_BATCHES


def test_who_listens_within_a_step_is_asked(passes):
    listener = Listens()
    fit(1, listener, max_epochs=1)
    own, other = module(), module()
    own.__class__, other.__class__ = OwnStep, OwnBackward
    fit(4, trained=own, max_epochs=1)
    fit(4, trained=other, max_epochs=1)
    profiler = OwnProfiler()
    fit(4, profiler=profiler, max_epochs=1)
    strategy = OwnStrategy(torch.device("cpu"))
    fit(4, strategy=strategy, max_epochs=1)
    precision = OwnPrecision("bf16-mixed", "cpu")
    fit(4, plugins=[precision], max_epochs=1)
    assert [each.heard for each in (listener, own, other, profiler, strategy, precision)] == [True] * 6
    assert passes == [Eager] * 6


def test_a_profiler_measures_the_backward_pass_and_the_step(passes):
    profiler = SimpleProfiler()
    fit(4, profiler=profiler, max_epochs=1)
    assert passes == [Eager]
    measured = profiler.recorded_durations
    assert len(measured["backward_pass"]) == NUM_BATCHES
    assert len(measured["optimizer_step"]) == NUM_BATCHES
