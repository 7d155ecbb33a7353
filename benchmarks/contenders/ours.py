"""The train command of this project, with everything on that is on by default: pictures, logging, checkpoints."""

import functools
import sys
import tempfile
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.contenders.cases import Case
from vae_lightning import train as command


class EpochTimer(Callback):
    """Takes the time from each training epoch's start to the end of its last batch."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self._started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        num_images = trainer.datamodule.num_train_batches * trainer.datamodule.batch_size
        self.rates.append(num_images / (time.perf_counter() - self._started))


def train(case: Case, batch_size: int, num_epochs: int, precision: str) -> list[float]:
    """Images per second of each epoch; precision as `trainer.precision`."""
    timer = EpochTimer()

    @functools.wraps(Trainer.__init__)
    def with_timer(self: Trainer, *arguments: Any, callbacks: list[Callback], **options: Any) -> None:
        initialize(self, *arguments, callbacks=[timer, *callbacks], **options)

    initialize, Trainer.__init__ = Trainer.__init__, with_timer
    with tempfile.TemporaryDirectory() as folder:
        limit = [f"trainer.limit_train_batches={case.num_images // batch_size}"] if case.num_images else []
        sys.argv = [
            "train",
            *case.overrides,
            f"data.batch_size={batch_size}",
            f"trainer.max_epochs={num_epochs}",
            f"trainer.precision={precision}",
            f"output_dir={folder}",
            *limit,
        ]
        command.main()
    return timer.rates
