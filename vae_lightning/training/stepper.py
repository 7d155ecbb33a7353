"""Batches become optimizer steps: gradients, accumulation, clipping, learning rate, and the watch over all of it.

Nothing else swaps or overwrites attributes of Lightning's trainer. How the work of one batch is launched is a `Pass`:
operator by operator, with Lightning's calls (`Eager`) or without (`direct`), or as one CUDA graph (`captured`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import torch
from jaxtyping import Int64, UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.optim import Optimizer

from vae_lightning.loggers.figures import LOSS_OF_EPOCH
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.noise import Fresh
from vae_lightning.objectives.terms import Objective, Progress, Terms, with_penalties
from vae_lightning.training.epoch_mean import EpochMean
from vae_lightning.training.finiteness import Watch, watch
from vae_lightning.training.stepping import Stepping

STEP_HOOKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")


@dataclass(frozen=True)
class Batch:
    """One batch to train on, uint8 on the device.

    Attributes:
        labels: for a model that is told them.
        progress: when its optimizer step begins.
        begins: whether it is the first of that step.
        completes: whether it is the last.
    """

    images: UInt8[Tensor, "B C H W"]
    labels: Int64[Tensor, " B"] | None
    progress: Progress
    begins: bool
    completes: bool


@dataclass(frozen=True)
class Training:
    """What is trained, and what keeps an eye on it."""

    module: LightningModule
    vae: LatentModel
    objective: Objective
    stepping: Stepping
    trainer: Trainer
    watch: Watch
    epoch_loss: EpochMean

    @property
    def optimizer(self) -> Optimizer:
        """PyTorch's own, without Lightning's wrapper."""
        return self.trainer.optimizers[0]

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        """The module's, looked for once: a walk through a hierarchy's hundreds of modules would be one in each step."""
        return list(self.module.parameters())

    def terms(self, batch: Batch, objective: Callable[..., Terms]) -> Terms:
        """The forward pass."""
        x = self.trainer.datamodule.training_images(batch.images)
        noise = Fresh(self.objective.num_samples, len(x), x.device)
        output = self.vae(x, noise, batch.labels)
        terms = with_penalties(objective(output, x, batch.progress), output)
        self.epoch_loss.add(terms.loss)
        return terms

    def to_minimise(self, terms: Terms) -> Tensor:
        """What is differentiated, of one of the batches that make a step."""
        loss = self.watch.loss(terms.loss.mean())
        num_batches = self.stepping.accumulate_grad_batches
        return loss / num_batches if num_batches > 1 else loss

    def before_update(self, optimizer: Optimizer) -> None:
        """Once a step's gradients are there."""
        self.watch.gradient(optimizer)
        self.stepping.clip(self.parameters)

    @torch.no_grad()
    def after_update(self, terms: Terms) -> None:
        """Once the optimizer has taken them."""
        self.objective.after_step(terms)
        self.watch.end(self.optimizer)


class Pass(ABC):
    """The work on one batch: forward, backward, and the optimizer's update where it completes a step."""

    def prepare(self) -> None:
        """Before some batches that come at once: weights and settings may have changed since the last ones."""
        return

    @abstractmethod
    def __call__(self, batch: Batch) -> tuple[Terms, tuple[Tensor, ...]]:
        """The batch's terms, and what the watch has seen of it."""


@final
class Eager(Pass):
    """Operator by operator, as Lightning's manual optimization does it, with all its hooks."""

    def __init__(self, trained: Training):
        self._trained = trained
        self._rates = DeviceRates(trained.optimizer)

    def __call__(self, batch: Batch) -> tuple[Terms, tuple[Tensor, ...]]:
        trained, optimizer = self._trained, self._trained.module.optimizers()
        if batch.begins:
            trained.watch.begin()
        terms = trained.terms(batch, trained.objective)
        with float32(trained.module.device):
            if batch.begins:
                optimizer.zero_grad()
            self._backward(trained.to_minimise(terms), optimizer, batch.completes)
            if batch.completes:
                self._rates.write()
                with self._rates.in_place():
                    optimizer.step()
                trained.after_update(terms)
        return terms, trained.watch.seen

    def _backward(self, loss: Tensor, optimizer: Any, completes: bool) -> None:
        accumulating = nullcontext() if completes else optimizer.toggle_model(sync_grad=False)
        with accumulating, self._trained.trainer.profiler.profile("backward_pass"):
            self._trained.module.manual_backward(loss)


class DeviceRates:
    """Learning rates in the memory of a GPU, where a captured step reads what they are at its time.

    An update that is not captured takes them from there too, so that both compute the same, to the last bit: a rate is
    float32 there and float64 on the host. Only fused optimizers can; for others it does nothing.

    Args:
        optimizer: whose they are.
        everywhere: on other devices than CUDA, too.
    """

    def __init__(self, optimizer: Optimizer, *, everywhere: bool = False):
        parameter: nn.Parameter = optimizer.param_groups[0]["params"][0]
        fused = all(group.get("fused") for group in optimizer.param_groups)
        self._optimizer = optimizer
        self._values: list[float] = []
        self._rates: list[Tensor] = []
        if fused and (everywhere or parameter.device.type == "cuda"):
            self._values = [float(group["lr"]) for group in optimizer.param_groups]
            self._rates = [torch.tensor(value, device=parameter.device) for value in self._values]

    def write(self) -> None:
        """Bring them up to date with the optimizer's own."""
        for number, rate in enumerate(self._rates):
            wanted = float(self._optimizer.param_groups[number]["lr"])
            if wanted != self._values[number]:
                self._values[number] = wanted
                rate.fill_(wanted)

    @contextmanager
    def in_place(self, **settings: Any) -> Iterator[None]:
        """Have the optimizer take them in place of its own, with these settings besides."""
        groups = self._optimizer.param_groups[: len(self._rates)]
        before = [{name: group[name] for name in ("lr", *settings)} for group in groups]
        try:
            for group, rate in zip(groups, self._rates, strict=True):
                group.update(lr=rate, **settings)
            yield
        finally:
            for group, values in zip(groups, before, strict=True):
                group.update(values)


@final
class Stepper:
    """Takes one batch after another.

    Args:
        module: with `vae`, `objective` and `stepping`, on its device.
        trainer: that fits it.
        schedule: the factor of the optimizer's learning rate at a progress in [0, 1]; None leaves it as it is.
        make_pass: how the work of a batch is launched.

    Attributes:
        num_accumulated: batches since the last optimizer step.
        watch: over losses and gradients that are not finite.
        epoch_loss: the mean of this epoch's losses so far.
        learning_rate: of the last step.
    """

    def __init__(
        self,
        module: Any,
        trainer: Trainer,
        schedule: Callable[[float], float] | None,
        make_pass: Callable[[Training], Pass] = Eager,
    ):
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        self.watch = watch(module, module.stepping, scaled)
        self.epoch_loss = EpochMean(module.device, skips=module.stepping.on_nan == "skip")
        self.num_accumulated = 0
        parts = module.vae, module.objective, module.stepping
        self._trained = Training(module, *parts, trainer, self.watch, self.epoch_loss)
        self._schedule = schedule
        self._listeners = step_listeners(trainer)
        self._pass = make_pass(self._trained)
        self.learning_rate = self._next_learning_rate

    def start(self, progress: Progress, num_steps: int) -> None:
        """As training starts, or goes on, at that place, with so many steps an epoch."""
        trainer = self._trained.trainer
        # At least one training figure an epoch, however few steps it has.
        trainer.log_every_n_steps = min(trainer.log_every_n_steps, max(num_steps, 1))
        # By this Lightning knows which batches are of one step. Before the training it would take it for a wish.
        trainer.accumulate_grad_batches = self._trained.stepping.accumulate_grad_batches
        self._schedule_for(progress)

    def end(self) -> None:
        """As training has ended: the trainer may be told to fit again."""
        self._trained.trainer.accumulate_grad_batches = 1

    def begin_epoch(self) -> None:
        """Forget the batches of the last one."""
        self.num_accumulated = 0
        self.epoch_loss.reset()
        self._trained.trainer.callback_metrics.pop(LOSS_OF_EPOCH, None)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Around batches that come at once."""
        self._pass.prepare()
        with asking_only(self._listeners, self._trained.trainer):
            yield
        if self.num_accumulated == 0:
            # Where its own plug-ins log, counted by it in calls; it is told of the last step and adds one later on.
            self._trained.trainer.fit_loop.epoch_loop._batches_that_stepped = self._trained.trainer.global_step - 1

    def take(
        self,
        images: UInt8[Tensor, "B C H W"],
        labels: Int64[Tensor, " B"] | None,
        progress: Progress,
        is_last: bool,
    ) -> Terms | None:
        """Train on a batch, of an epoch whose `is_last` makes a step of what there is.

        Returns:
            Its terms where it completes an optimizer step, which the next batch may overwrite; else None.
        """
        begins = self.num_accumulated == 0
        self.num_accumulated += 1
        completes = is_last or self.num_accumulated == self._trained.stepping.accumulate_grad_batches
        if completes:
            self.learning_rate = self._next_learning_rate
        terms, seen = self._pass(Batch(images, labels, progress, begins, completes))
        self.watch.note(progress.step, seen)
        self.epoch_loss.count(len(images))
        if completes:
            self.num_accumulated = 0
            self._schedule_for(replace(progress, step=progress.step + 1))
        return terms if completes else None

    def before_update(self, optimizer: Optimizer) -> None:
        """Lightning's hook: the gradients are there, unscaled if they are of fp16."""
        self._trained.before_update(optimizer)

    @property
    def _next_learning_rate(self) -> float:
        return float(self._trained.optimizer.param_groups[0]["lr"])

    def _schedule_for(self, progress: Progress) -> None:
        """Set the learning rate of a step before it begins, when callbacks look at it."""
        if self._schedule is None or progress.step >= progress.num_steps:
            return
        factor, optimizer = self._schedule(progress.step / progress.num_steps), self._trained.optimizer
        for group in optimizer.param_groups:
            group["lr"] = factor * optimizer.defaults["lr"]


def float32(device: torch.device) -> AbstractContextManager[object]:
    """Out of the autocast that Lightning puts around every step in mixed precision."""
    inside = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if inside else nullcontext()


def step_listeners(trainer: Trainer) -> list[Callback]:
    """The trainer's callbacks that do something within an optimizer step."""
    return [one for one in trainer.callbacks if any(is_overridden(hook, one, Callback) for hook in STEP_HOOKS)]


@contextmanager
def asking_only(listeners: list[Callback], trainer: Trainer) -> Iterator[None]:
    """Lightning asks each callback three times a step, which takes as long as a small network's forward pass."""
    everyone, trainer.callbacks = trainer.callbacks, listeners
    try:
        yield
    finally:
        trainer.callbacks = everyone


def take_limit(trainer: Trainer) -> int | float:
    """The trainer's limit on the batches of an epoch, which it would apply to calls; it has none afterwards."""
    limit, trainer.limit_train_batches = trainer.limit_train_batches, 1.0
    return limit


def leave_signals(trainer: Trainer) -> None:
    """Have the trainer not answer SIGTERM by a broadcast in the midst of another one: see `interruption`."""
    trainer._signal_connector.register_signal_handlers = lambda: None


def introduce(trainer: Trainer, data: Any) -> None:
    """Make trainer and data known to each other, as Lightning does when it begins to fit."""
    data.trainer, trainer.datamodule = trainer, data
