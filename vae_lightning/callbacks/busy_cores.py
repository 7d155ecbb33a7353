"""Tells when other processes take the cores that a training on the CPU has its threads for."""

import logging
import time
from threading import Timer

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from vae_lightning.machine.cores import OtherProcesses
from vae_lightning.machine.hardware import num_cpus

log = logging.getLogger("vae_lightning")
_WORTH_TELLING = 0.5  # cores
_LOOK_AFTER_S = 30.0
_SHORTEST_S = 1.0  # of epochs that say something, one or several together


class BusyCores(Callback):
    """Logs one line when this process and others together want more cores than there are: after an epoch, or after
    some that take a second together, or half a minute after one began.

    A training with one thread is told nothing: it loses no more than its share.
    """

    def __init__(self) -> None:
        self._others: OtherProcesses | None = None
        self._began = 0.0
        self._timer = Timer(0, lambda: None)
        self._has_told = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        on_cpu = trainer.strategy.root_device.type == "cpu"
        if not on_cpu or torch.get_num_threads() == 1 or self._has_told or not trainer.is_global_zero:
            return
        if self._others is None:
            self._others, self._began = OtherProcesses(), time.monotonic()
        self._timer = Timer(_LOOK_AFTER_S, self._look)
        self._timer.daemon = True
        self._timer.start()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._timer.cancel()
        if time.monotonic() - self._began >= _SHORTEST_S:  # else the watch goes on: nothing is waited for here
            self._look()
            self._others = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        if self._others is None or self._has_told:
            return
        threads, taken = torch.get_num_threads(), self._others.cores_taken()
        if taken >= _WORTH_TELLING and threads + taken >= num_cpus() + _WORTH_TELLING:
            self._has_told = True
            log.warning(
                "other processes take %.1f of %d cores, beside the %d threads of this training: it may be faster gone "
                "on with (Ctrl-C, and what it says) by trainer.num_threads=%d",
                *(taken, num_cpus(), threads, max(1, int(num_cpus() - taken + 0.5))),
            )
