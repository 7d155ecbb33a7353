"""Callbacks of Lightning's that a user adds: what can't work here, and what takes the place of a shipped one."""

import logging
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    StochasticWeightAveraging,
)
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar

from vae_lightning.callbacks.progress import ProgressBar
from vae_lightning.errors import UserError

log = logging.getLogger("vae_lightning")

# Each wants Lightning to take the steps, or to begin again with settings that no stored config would tell of.
_INSTEAD: dict[type[Callback], str] = {
    GradientAccumulationScheduler: "gradients are accumulated by trainer.accumulate_grad_batches, in all epochs alike",
    StochasticWeightAveraging: "its averages would be in no checkpoint; choose averaging=ema",
    LearningRateFinder: "give optimizer.lr, and compare some: -m optimizer.lr=0.0003,0.001,0.003",
    BatchSizeFinder: "the config is to say what a run was trained with; give data.batch_size",
}


def working(callbacks: dict[str, Any]) -> dict[str, Any]:
    """The callbacks, by name, without a shipped progress bar where another one is to be in its place.

    Args:
        callbacks: as the config has them, pictures among them.

    Raises:
        UserError: one that can't work here; says what is to be chosen instead.
    """
    for name, callback in callbacks.items():
        for kind, instead in _INSTEAD.items():
            if isinstance(callback, kind):
                raise UserError(f"callbacks.{name}: {kind.__name__} can't work here: {instead}")
    bars = [name for name, callback in callbacks.items() if isinstance(callback, LightningProgressBar)]
    others = [name for name in bars if not isinstance(callbacks[name], ProgressBar)]
    if len(others) > 1:
        raise UserError(f"callbacks.{others[1]}: a second progress bar beside callbacks.{others[0]}; leave one out")
    if not others:
        return callbacks
    for name in set(bars) - set(others):
        log.info("callbacks.%s: left out, for callbacks.%s shows the progress", name, others[0])
    return {name: callback for name, callback in callbacks.items() if name not in bars or name in others}
