"""Batches become optimizer steps: gradients, accumulation, clipping, learning rate, and the watch over all of it.

Nothing else reaches into Lightning's trainer for a step. How the work of one batch is launched is a `Pass`: operator by
operator (`Eager`), or as one CUDA graph (`captured`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Int64, UInt8
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from vae_lightning.models.latent_model import LatentModel
from vae_lightning.noise import Fresh
from vae_lightning.objectives.terms import Objective, Progress, Terms
from vae_lightning.training.epoch_mean import EpochMean
from vae_lightning.training.execution import asking_only, step_listeners
from vae_lightning.training.finiteness import Skip, Watch, watch
from vae_lightning.training.stepping import Stepping


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

    def terms(self, batch: Batch, objective: Callable[..., Terms]) -> Terms:
        """The forward pass."""
        x = self.trainer.datamodule.training_images(batch.images)
        noise = Fresh(self.objective.num_samples, len(x), x.device)
        terms = objective(self.vae(x, noise, batch.labels), x, batch.progress)
        self.epoch_loss.add(terms.loss)
        return terms

    def to_minimise(self, terms: Terms) -> Tensor:
        """What is differentiated, of one of the batches that make a step."""
        loss = self.watch.loss(terms.loss.mean())
        num_batches = self.stepping.accumulate_grad_batches
        return loss / num_batches if num_batches > 1 else loss

    def before_update(self, optimizer: Optimizer) -> None:
        """Once a step's gradients are there."""
        self.stepping.clip(self.module.parameters())
        self.watch.gradient(optimizer)

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
        self.epoch_loss = EpochMean(module.device, skips=isinstance(self.watch, Skip))
        self.num_accumulated = 0
        parts = module.vae, module.objective, module.stepping
        self._trained = Training(module, *parts, trainer, self.watch, self.epoch_loss)
        self._schedule = schedule
        self._listeners = step_listeners(trainer)
        self._pass = make_pass(self._trained)

    def begin_epoch(self) -> None:
        """Forget the batches of the last one."""
        self.num_accumulated = 0
        self.epoch_loss.reset()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Around batches that come at once."""
        self._pass.prepare()
        with asking_only(self._listeners, self._trained.trainer):
            yield

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
            self._set_learning_rate(progress)
        terms, seen = self._pass(Batch(images, labels, progress, begins, completes))
        self.watch.note(progress.step, seen)
        self.epoch_loss.count(len(images))
        if completes:
            self.num_accumulated = 0
        return terms if completes else None

    def before_update(self, optimizer: Optimizer) -> None:
        """Lightning's hook: the gradients are there, unscaled if they are of fp16."""
        self._trained.before_update(optimizer)

    @property
    def learning_rate(self) -> float:
        """The optimizer's, as of the last step."""
        return float(self._trained.optimizer.param_groups[0]["lr"])

    def _set_learning_rate(self, progress: Progress) -> None:
        if self._schedule is None:
            return
        factor, optimizer = self._schedule(progress.step / progress.num_steps), self._trained.optimizer
        for group in optimizer.param_groups:
            group["lr"] = factor * optimizer.defaults["lr"]


def float32(device: torch.device) -> AbstractContextManager[object]:
    """Out of the autocast that Lightning puts around every step in mixed precision."""
    inside = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if inside else nullcontext()
