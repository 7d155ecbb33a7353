"""What a run tells its terminal: one line an epoch, and below them a bar where there is a terminal."""

import logging
import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from vae_lightning.callbacks.throughput import Throughput
from vae_lightning.errors import require_at_least
from vae_lightning.loggers.figures import LOSS_OF_EPOCH

log = logging.getLogger("vae_lightning")  # goes to the terminal, above the bar, and to train.log
_ON_BAR = {"loss": "train/loss", "elbo": "train/elbo", "img/s": "train/images_per_s"}


class ProgressBar(TQDMProgressBar):
    """A bar with loss, ELBO and images per second, and a line after each epoch that stays.

    Where stdout is a file or a pipe there is no bar, only the lines:

        epoch 3/20  train loss 101.2  val elbo -99.8  18200 images/s  4.1 s

    The training loss is the mean over the epoch's images, and so is their number a second.

    Args:
        refresh_rate: at least so many batches between two refreshes; each one waits for the device.

    Raises:
        ValueError: `refresh_rate` is below 1.
    """

    def __init__(self, refresh_rate: int = 20):
        require_at_least("refresh_rate", refresh_rate, 1)
        super().__init__(refresh_rate=refresh_rate)
        self._epoch_start = 0.0
        self._validated = False
        self._num_batches = 0

    @property
    def total_train_batches(self) -> int:
        return self.trainer.datamodule.num_train_batches  # a step of Lightning's may take several

    @property
    def is_enabled(self) -> bool:
        return super().is_enabled and sys.stdout.isatty()

    def init_train_tqdm(self) -> Tqdm:
        bar = super().init_train_tqdm()
        bar.leave = False  # the lines remain, and say more
        return bar

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = trainer.callback_metrics
        return {label: _short(metrics[name]) for label, name in _ON_BAR.items() if name in metrics}

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description(_epoch(trainer))
        self._epoch_start = time.perf_counter()
        self._validated = False
        self._num_batches = trainer.datamodule.first_batch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        before, self._num_batches = self._num_batches, self._num_batches + len(batch.images)
        due = before // self.refresh_rate != self._num_batches // self.refresh_rate
        if due or self._num_batches == self.total_train_batches:
            self.train_progress_bar.n = self._num_batches
            self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.is_global_zero:
            log.info(self._line(trainer))

    def _line(self, trainer: Trainer) -> str:
        metrics = trainer.callback_metrics
        parts = [_epoch(trainer)]
        if LOSS_OF_EPOCH in metrics:
            parts.append(f"train loss {_short(metrics[LOSS_OF_EPOCH])}")
        if "val/elbo" in metrics and self._validated:  # else it would be an older epoch's
            parts.append(f"val elbo {_short(metrics['val/elbo'])}")
        if (rate := _images_per_second(trainer)) is not None:
            parts.append(f"{_short(rate)} images/s")
        return "  ".join([*parts, f"{time.perf_counter() - self._epoch_start:.1f} s"])


def _images_per_second(trainer: Trainer) -> float | None:
    """This epoch's mean; None where nothing measures it, or nothing of this epoch has been measured."""
    measuring = [callback for callback in trainer.callbacks if isinstance(callback, Throughput)]
    return measuring[0].epoch_images_per_second if measuring else None


def _epoch(trainer: Trainer) -> str:
    total = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{total}"


def _short(value: Any) -> str:
    """About four digits: 0.1234, 101.2, 18200."""
    number = float(value)
    decimals = 0 if abs(number) >= 10_000 else 1 if abs(number) >= 10 else 4
    return f"{number:.{decimals}f}"
