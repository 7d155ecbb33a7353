"""Turns for whatever trains with Lightning."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.contenders.turns import Turns


class EpochTurns(Callback):
    """A turn for each training epoch, from its start to the end of its last batch; what follows is not timed."""

    def __init__(self, turns: Turns, batch_size: int) -> None:
        self.turns = turns
        self.batch_size = batch_size
        self._training = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.turns.begin()
        self._training = True

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end(trainer, pl_module)  # where nothing is validated

    def _end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._training:
            return
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        data = trainer.datamodule  # a step of Lightning's may take several batches of it
        num_batches = trainer.num_training_batches if data is None else data.num_train_batches
        self.turns.end(num_batches * self.batch_size)
        self._training = False
