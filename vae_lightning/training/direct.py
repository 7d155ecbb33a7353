"""A batch's work without Lightning's calls in it, where none would do anything: in small networks they take long."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from vae_lightning.objectives.terms import Terms
from vae_lightning.training.execution import Unprofiled
from vae_lightning.training.stepper import STEP_HOOKS, Batch, DeviceRates, Pass, Training, float32, step_listeners

_SKIPPED_HOOKS = (
    *("backward", "manual_backward", "optimizers", "toggle_optimizer", "untoggle_optimizer"),
    *("optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping", *STEP_HOOKS),
)
_PROFILERS = (PassThroughProfiler, Unprofiled)  # which measure nothing
_PRECISIONS = (Precision, MixedPrecision)  # which without a scaler only call on


@final
class Direct(Pass):
    """Operator by operator, as `Eager`, to the last bit, with PyTorch's own backward pass and optimizer."""

    def __init__(self, trained: Training):
        self._trained = trained
        self._rates = DeviceRates(trained.optimizer)

    def __call__(self, batch: Batch) -> tuple[Terms, tuple[Tensor, ...]]:
        trained = self._trained
        if batch.completes:
            self._rates.write()
        terms = work(trained, batch, trained.objective, self._rates.in_place)
        if batch.completes:
            count_step(trained.trainer)
        return terms, trained.watch.seen


def work(
    trained: Training,
    batch: Batch,
    objective: Callable[..., Terms],
    updating: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Terms:
    """Forward, backward, and the optimizer's update where the batch completes a step.

    Args:
        trained: what is trained.
        batch: on the device.
        objective: the trained one, or its `forward` alone.
        updating: makes what the optimizer's update is put in.
    """

    def closure() -> Any:  # as Lightning has it: some optimizers want one, and hooks of others come before it
        trained.before_update(trained.optimizer)

    if batch.begins:
        trained.watch.begin()
    terms = trained.terms(batch, objective)
    with float32(trained.module.device):
        if batch.begins:
            trained.optimizer.zero_grad()
        trained.to_minimise(terms).backward()
        if batch.completes:
            with updating():
                trained.optimizer.step(closure=closure)
            trained.after_update(terms)
    return terms


def count_step(trainer: Trainer) -> None:
    """Count an optimizer step, as Lightning counts those that go through its own wrapper."""
    steps = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    steps.increment_ready()
    steps.increment_completed()


def why_asked(module: LightningModule, trainer: Trainer, base: type[LightningModule]) -> str | None:
    """Why Lightning has to be asked within each step; None where it would do nothing but call on.

    Args:
        module: that is trained, set up with its optimizer.
        trainer: that fits it.
        base: the module's class as it is shipped; one that is derived from it may have hooks of its own.
    """
    if trainer.world_size > 1:
        return "several ranks exchange their gradients"
    if getattr(trainer.precision_plugin, "scaler", None) is not None:
        return f"trainer.precision={trainer.precision} has a scaler, which the host steers"
    listeners = step_listeners(trainer)
    if listeners:
        return f"{type(listeners[0]).__name__} listens within a step"
    if isinstance(trainer.optimizers[0], LightningOptimizer):
        return "the optimizer is wrapped by Lightning"
    own = [hook for hook in _SKIPPED_HOOKS if is_overridden(hook, module, base)]
    return f"{type(module).__name__} has a {own[0]} of its own" if own else None


def goes_directly(module: LightningModule, trainer: Trainer, base: type[LightningModule]) -> bool:
    """Whether steps may be taken directly; arguments as for `why_asked`."""
    plain = type(trainer.strategy) is SingleDeviceStrategy and type(trainer.precision_plugin) in _PRECISIONS
    return plain and type(trainer.profiler) in _PROFILERS and why_asked(module, trainer, base) is None
