"""A whole optimizer step as one CUDA graph, launched at once: small networks are bound by Python, not by the GPU.

The first steps are real ones, taken operator by operator. Then a step is recorded, from the uint8 images to the
optimizer's update, and every further one copies its batch to where the recorded one lay and replays. What is a number
of the host changes by buffers on the device: an objective's scheduled values (`Objective.prepare`), the learning rate.
Random numbers come from the device's generator, which replays move on as the operators would have done.
"""

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar, final

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from vae_lightning.errors import UserError, first_line
from vae_lightning.objectives.terms import Terms
from vae_lightning.training.direct import Direct, count_step, goes_directly, why_asked, work
from vae_lightning.training.stepper import Batch, DeviceRates, Eager, Pass, Training

log = logging.getLogger("vae_lightning")

T = TypeVar("T")

_WARM_UP_STEPS = 3  # what is made at the first use, such as the optimizer's state, must not be made in a graph


class Recorder(ABC):
    """Records what a function does on the device, to be done again."""

    @abstractmethod
    def warming_up(self) -> AbstractContextManager[object]:
        """Around the steps before a recording."""

    @abstractmethod
    def record(self, function: Callable[[], T]) -> tuple[Callable[[], object], T]:
        """What replays the function, and what it returned, whose tensors each replay writes anew.

        Nothing has been computed by then. Raises RuntimeError for what can't be recorded.
        """


@final
class CudaGraphs(Recorder):
    """By PyTorch's CUDA graphs."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()

    @contextmanager
    def warming_up(self) -> Iterator[None]:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield
        torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, function: Callable[[], T]) -> tuple[Callable[[], object], T]:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        # Other threads of this process may use the GPU meanwhile: pictures are drawn beside training.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            result = function()
        return graph.replay, result


@dataclass(frozen=True)
class _Recorded:
    replay: Callable[[], object]
    terms: Terms
    seen: Tensor | None  # side by side


@final
class Captured(Pass):
    """Replays recorded steps; a step that can't be recorded is taken operator by operator, and so are all after it.

    Args:
        trained: what is trained.
        recorder: records and replays.
        needed: whether a step that can't be recorded is an error.
    """

    def __init__(self, trained: Training, recorder: Recorder, *, needed: bool = False):
        self._trained = trained
        self._recorder = recorder
        self._needed = needed
        self._eager = Eager(trained)
        self._steps_left = _WARM_UP_STEPS
        self._recorded: dict[tuple[bool, bool], _Recorded] = {}  # by whether a batch begins and completes a step
        self._images: Tensor | None = None  # where a replay finds them
        self._labels: Tensor | None = None
        self._rates = DeviceRates(trained.optimizer, everywhere=True)
        self._gradients: dict[Tensor, Tensor] = {}  # those that batches after the first one of a step add to
        self._gave_up = False
        self._depends: Any = None  # what the recordings hold as constants

    def prepare(self) -> None:
        """Record anew where weights lie elsewhere, or settings have changed that a recording holds as constants."""
        if self._recorded and self._depends != _constants(self._trained):
            self._recorded.clear()

    def __call__(self, batch: Batch) -> tuple[Terms, tuple[Tensor, ...]]:
        if self._gave_up or self._steps_left or (not batch.begins and not self._recorded):
            return self._eagerly(batch)
        static = self._written(batch)
        recorded = self._recorded.get((batch.begins, batch.completes)) or self._record(static)
        if recorded is None:
            return self._eagerly(batch)
        recorded.replay()
        if not batch.completes:
            for parameter, gradient in self._gradients.items():
                parameter.grad = gradient
        else:
            count_step(self._trained.trainer)
        return recorded.terms, () if recorded.seen is None else recorded.seen.clone().unbind()

    def _eagerly(self, batch: Batch) -> tuple[Terms, tuple[Tensor, ...]]:
        if self._gave_up:
            return self._eager(batch)
        with self._recorder.warming_up(), _told_of_waits(self._steps_left == 1 and batch.begins) as waits:
            result = self._eager(batch)
        if waits:
            self._give_up(f"the host waits for the GPU at {waits[0]}")
        begun = bool(self._trained.optimizer.state)  # else all steps so far were dropped, for which the host waited
        if batch.completes and self._steps_left and begun:
            self._steps_left -= 1
        return result

    def _record(self, batch: Batch) -> _Recorded | None:
        trained = self._trained
        if not self._recorded:
            self._depends = _constants(trained)
        try:
            with self._rates.in_place(capturable=True):
                replay, (terms, seen) = self._recorder.record(lambda: self._work(batch))
        except (RuntimeError, NotImplementedError) as error:
            self._give_up(first_line(error))
            return None
        if batch.begins and not batch.completes:
            self._gradients = {one: one.grad for one in trained.module.parameters() if one.grad is not None}
        made = self._recorded[batch.begins, batch.completes] = _Recorded(replay, terms, seen)
        return made

    def _work(self, batch: Batch) -> tuple[Terms, Tensor | None]:
        """All that is recorded."""
        # Not by a call of the objective, whose hook writes the scheduled values.
        terms = work(self._trained, batch, self._trained.objective.forward)
        seen = self._trained.watch.seen
        return terms, torch.stack(seen) if seen else None

    def _written(self, batch: Batch) -> Batch:
        """The batch where a replay finds it, as it is to find learning rates and scheduled values."""
        if self._images is None:
            self._images = torch.empty_like(batch.images)
            self._labels = None if batch.labels is None else torch.empty_like(batch.labels)
        self._images.copy_(batch.images)
        if self._labels is not None and batch.labels is not None:
            self._labels.copy_(batch.labels)
        self._rates.write()
        self._trained.objective.prepare(batch.progress)
        return replace(batch, images=self._images, labels=self._labels)

    def _give_up(self, reason: str) -> None:
        self._gave_up = True
        if self._needed:
            raise UserError(f"trainer.capture=true: the step can't be captured as a CUDA graph ({reason})")
        log.info("steps are not captured as a CUDA graph: %s", reason)


def capturing(
    choice: bool | str, module: LightningModule, trainer: Trainer, base: type[LightningModule]
) -> Callable[[Training], Pass]:
    """How the work of a batch is to be launched.

    Args:
        choice: `trainer.capture`: "auto" captures wherever it can be, and tells why it can't.
        module: that is trained, set up with its optimizer.
        trainer: that fits it.
        base: the module's class as it is shipped; one that is derived from it may have hooks of its own.

    Raises:
        UserError: trainer.capture=true where something is known to stand against it.
    """
    on_cuda = _is_on_cuda(trainer)
    reason = _reason_against(module, trainer, base) if on_cuda else "there is no NVIDIA GPU"
    if choice is True and reason:
        raise UserError(f"trainer.capture=true: {reason}; choose auto or false")
    if choice is False or reason:
        if choice is not False and on_cuda and trainer.is_global_zero:
            log.info("steps are not captured as a CUDA graph: %s", reason)
        return Direct if goes_directly(module, trainer, base) else Eager
    return lambda trained: Captured(trained, CudaGraphs(), needed=choice is True)


def _is_on_cuda(trainer: Trainer) -> bool:
    return trainer.strategy.root_device.type == "cuda"


def _reason_against(module: LightningModule, trainer: Trainer, base: type[LightningModule]) -> str | None:
    asked = why_asked(module, trainer, base)
    if asked:
        return asked
    if trainer._detect_anomaly:
        return "trainer.detect_anomaly=true looks at every operator"
    waits = next((why for part in module.modules() if (why := getattr(part, "host_waits", None))), None)
    return waits or _optimizer_against(trainer.optimizers[0])


def _optimizer_against(optimizer: Optimizer) -> str | None:
    if "capturable" not in optimizer.defaults:
        return f"{type(optimizer).__name__} is an optimizer that PyTorch can't capture"
    if not all(group.get("fused") for group in optimizer.param_groups):
        return "the optimizer is not fused (optimizer.fused=true)"
    return None


def _constants(trained: Training) -> Any:
    """What a recording holds as it was: where tensors lie, the optimizer's settings, and who is in training mode."""
    state = [value for one in trained.optimizer.state.values() for value in one.values() if isinstance(value, Tensor)]
    tensors = [*trained.module.parameters(), *trained.module.buffers(), *state]
    settings = [
        {name: value for name, value in group.items() if name not in ("params", "lr")}
        for group in trained.optimizer.param_groups
    ]
    modes = [one.training for one in trained.module.modules()]
    return [(each.data_ptr(), each.requires_grad) for each in tensors], settings, modes


@contextmanager
def _told_of_waits(wanted: bool) -> Iterator[list[str]]:
    """Where the host waits for the device, `file:line` each; filled when the context ends."""
    places: list[str] = []
    if not wanted or not torch.cuda.is_available():
        yield places
        return
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode(before)
    told = [each for each in caught if "synchronizing CUDA operation" in str(each.message)]
    places += [f"{each.filename}:{each.lineno}" for each in told]
    for each in caught:
        if each not in told and "prototype feature" not in str(each.message):  # as this way of being told is
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
