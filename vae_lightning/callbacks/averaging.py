"""Averages of the weights that are trained: validated, drawn, tested and kept in checkpoints in their place."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from vae_lightning.errors import require_at_least

_WARM_UP = 10  # the first updates forget this much faster


class EMA(WeightAveraging):
    """An exponential moving average of all weights and buffers, with a warm-up, so that a short run has trained ones.

    The first update takes the weights as they are. The n-th after it is

        average <- decay_n * average + (1 - decay_n) * weights        decay_n = min(decay, (1 + n) / (10 + n))

    Args:
        decay: what an update keeps of the average in the long run: 0.999 forgets over some 1,000 updates.
        update_every_n_steps: so many optimizer steps make an update; the first one does.

    Raises:
        ValueError: a decay outside of [0, 1), or an update_every_n_steps below 1.
    """

    def __init__(self, decay: float = 0.999, update_every_n_steps: int = 1):
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        require_at_least("update_every_n_steps", update_every_n_steps, 1)
        super().__init__(multi_avg_fn=warmed_up(decay))
        self.decay = decay
        self.update_every_n_steps = update_every_n_steps

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx % self.update_every_n_steps == 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device  # where the module will be: it is still on the CPU
        super().setup(trainer, pl_module, stage)


def warmed_up(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor | int], None]:
    """How PyTorch's `AveragedModel` is to update tensors of one type, by the decay of `EMA`, after n updates."""

    def update(averages: list[Tensor], weights: list[Tensor], num_updates: Tensor | int) -> None:
        share = (9.0 / (_WARM_UP + torch.as_tensor(num_updates))).clamp(min=1 - decay)
        for average, weight in zip(averages, weights, strict=True):
            if average.is_floating_point():
                average.lerp_(weight, share.to(average.dtype))
            else:  # a count, such as BatchNorm's of its batches
                average.copy_(weight)

    return update


def averages(trainer: Trainer) -> bool:
    """Whether the training keeps averages of its weights."""
    return bool(_averaging(trainer))


@contextmanager
def exchanged(trainer: Trainer, module: LightningModule) -> Iterator[None]:
    """Have the module hold the averages, where there are any, and afterwards what it is trained on, bit for bit.

    Within a validation, where it holds the averages already, it is the other way round.
    """
    _exchange(trainer, module)
    try:
        yield
    finally:
        _exchange(trainer, module)


def _exchange(trainer: Trainer, module: LightningModule) -> None:
    for callback in _averaging(trainer):
        callback.on_validation_epoch_start(trainer, module)  # which does nothing before the training begins


def _averaging(trainer: Trainer) -> list[WeightAveraging]:
    return [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]
