"""How figures reach the loggers, and the callbacks that watch them."""

from collections import deque
from collections.abc import Mapping
from typing import final

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from vae_lightning.loggers.fetching import Fetched

LOSS_OF_EPOCH = "train/loss_epoch"  # the mean over an epoch's images; train/loss is of one batch


def current_step(trainer: Trainer) -> int:
    """The number of the last optimizer step, counted from 0; 0 before the first. TensorBoard's axis."""
    return max(trainer.global_step - 1, 0)


def log_metrics(trainer: Trainer, metrics: Mapping[str, float | Tensor], step: int | None = None) -> None:
    """Send figures to every logger at a step, the current one if none is given, and to `trainer.callback_metrics`.

    In place of Lightning's `self.log`, which counts calls of `training_step`: here one call may take many steps.
    """
    values = {name: float(value) for name, value in metrics.items()}
    for logger in trainer.loggers:
        logger.log_metrics(values | {"epoch": trainer.current_epoch}, current_step(trainer) if step is None else step)
        logger.save()
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})


@final
class LateFigures:
    """Figures of training that are logged once they have come from the GPU, for which nothing waits meanwhile."""

    def __init__(self) -> None:
        self._coming: deque[tuple[int, dict[str, float | Tensor], Fetched | None]] = deque()

    def take(self, step: int, figures: Mapping[str, float | Tensor]) -> None:
        """Those of an optimizer step."""
        tensors = [value for value in figures.values() if isinstance(value, Tensor)]
        self._coming.append((step, dict(figures), Fetched(torch.stack(tensors)) if tensors else None))

    def log(self, trainer: Trainer, keep: int = 0) -> None:
        """Log all of them but the last `keep`."""
        while len(self._coming) > keep:
            step, figures, fetched = self._coming.popleft()
            numbers = iter([] if fetched is None else fetched.numbers())
            values = {name: next(numbers) if isinstance(one, Tensor) else one for name, one in figures.items()}
            log_metrics(trainer, values, step)
