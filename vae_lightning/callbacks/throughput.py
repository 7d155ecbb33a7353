"""How fast training is, in images per second."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from vae_lightning.errors import require_at_least
from vae_lightning.loggers.figures import log_metrics

_SHORTEST_ON_A_GPU = 1.0  # seconds
_WARM_UP_BATCHES = 5  # they pay for compilation, cuDNN's search and the workers' start


class Throughput(Callback):
    """Logs `train/images_per_s`, of all ranks together, and shows it as `img/s` on the progress bar.

    The time is that between the ends of training batches, loading included; validation, pictures and the
    first few batches don't count.

    Args:
        every_n_steps: each figure is the mean over at least that many batches, or over a whole epoch that has fewer.

    Raises:
        ValueError: `every_n_steps` is below 1.
    """

    def __init__(self, every_n_steps: int = 50):
        require_at_least("every_n_steps", every_n_steps, 1)
        self.every_n_steps = every_n_steps
        self._reset()

    @property
    def mean_images_per_second(self) -> float | None:
        """The mean over the run so far, None before there is any."""
        return self._total_images / self._total_seconds if self._total_seconds else None

    @property
    def epoch_images_per_second(self) -> float | None:
        """The mean over this epoch so far, None before there is any."""
        return self._epoch_images / self._epoch_seconds if self._epoch_seconds else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reset()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._mark = time.perf_counter()
        self._logged = False
        self._epoch_images, self._epoch_seconds = 0, 0.0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if last and pl_module.device.type == "cuda":
            # Once an epoch: else the work still queued would be done, uncounted, during validation.
            torch.cuda.synchronize(pl_module.device)
        now = time.perf_counter()
        seconds, self._mark = now - self._mark, now
        if self._warm_up_left > 0:
            self._warm_up_left -= len(batch.images)
            return
        self._count(batch, trainer.world_size, seconds)
        # Within an epoch the host is up to some milliseconds ahead of a GPU, by which a short while would seem faster.
        telling = pl_module.device.type != "cuda" or self._seconds >= _SHORTEST_ON_A_GPU or last
        # A short epoch still gets a figure, of the batches there are.
        if (self._steps >= self.every_n_steps and telling) or (last and not self._logged):
            self._log(trainer, pl_module)

    def _reset(self) -> None:
        self._total_images, self._total_seconds = 0, 0.0
        self._epoch_images, self._epoch_seconds = 0, 0.0
        self._steps, self._images, self._seconds = 0, 0, 0.0
        self._warm_up_left = _WARM_UP_BATCHES
        self._logged = False

    def _count(self, batches: Any, world_size: int, seconds: float) -> None:
        num_images = batches.indices.numel() * world_size
        self._steps += len(batches.images)
        self._images += num_images
        self._seconds += seconds
        self._total_images += num_images
        self._total_seconds += seconds
        self._epoch_images += num_images
        self._epoch_seconds += seconds

    def _log(self, trainer: Trainer, pl_module: LightningModule) -> None:
        rate = self._images / self._seconds
        self._steps, self._images, self._seconds = 0, 0, 0.0
        self._logged = True
        log_metrics(trainer, {"train/images_per_s": rate})
        pl_module.log("img/s", float(round(rate)), prog_bar=True, logger=False, batch_size=1)  # for another's bar
