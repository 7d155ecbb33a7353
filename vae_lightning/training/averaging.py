"""What a dropped step must not touch besides the model: the average of its weights."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging

from vae_lightning.training.finiteness import Undo


class AverageOfTaken(Callback):
    """Takes a step that was dropped out of the average again; to stand behind the averaging callback.

    Args:
        averaging: keeps the average.
    """

    def __init__(self, averaging: WeightAveraging):
        self._averaging = averaging
        self._undo: Undo | None = None

    def on_train_batch_start(self, *_: Any) -> None:
        average = self._averaging._average_model
        if self._undo is None and average is not None:
            self._undo = Undo([*average.parameters(), *average.buffers()])
        if self._undo is not None:
            self._undo.keep()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self._undo is not None and pl_module.dropped is not None:
            self._undo.put_back(pl_module.dropped)
