"""How figures reach the loggers, and the callbacks that watch them."""

from collections.abc import Mapping

import torch
from lightning.pytorch import Trainer
from torch import Tensor

LOSS_OF_EPOCH = "train/loss_epoch"  # the mean over an epoch's images; train/loss is of one batch


def current_step(trainer: Trainer) -> int:
    """The number of the last optimizer step, counted from 0; 0 before the first. TensorBoard's axis."""
    return max(trainer.global_step - 1, 0)


def log_metrics(trainer: Trainer, metrics: Mapping[str, float | Tensor]) -> None:
    """Send figures to every logger at the current step, and to whoever reads `trainer.callback_metrics`.

    In place of Lightning's `self.log`, which counts calls of `training_step`: here one call may take many steps.
    """
    values = {name: float(value) for name, value in metrics.items()}
    for logger in trainer.loggers:
        logger.log_metrics(values | {"epoch": trainer.current_epoch}, current_step(trainer))
        logger.save()
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
