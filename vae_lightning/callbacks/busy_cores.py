"""Tells when other processes take the cores that a training on the CPU has its threads for."""

import logging

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from vae_lightning.machine.cores import OtherProcesses
from vae_lightning.machine.hardware import num_cpus

log = logging.getLogger("vae_lightning")
_WORTH_TELLING = 0.5  # cores


class BusyCores(Callback):
    """Logs one line after the first epoch in which this process and others together wanted more cores than there are.

    A training with one thread is told nothing: it loses no more than its share.
    """

    def __init__(self) -> None:
        self._others: OtherProcesses | None = None
        self._has_told = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        on_cpu = trainer.strategy.root_device.type == "cpu"
        several = on_cpu and torch.get_num_threads() > 1 and not self._has_told
        self._others = OtherProcesses() if several else None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._others is None:
            return
        threads, taken = torch.get_num_threads(), self._others.cores_taken()
        if taken >= _WORTH_TELLING and threads + taken >= num_cpus() + _WORTH_TELLING:
            self._has_told = True
            log.warning(
                "other processes took %.1f of %d cores in this epoch, beside the %d threads of this training: "
                "trainer.num_threads=%d may be faster",
                *(taken, num_cpus(), threads, max(1, int(num_cpus() - taken + 0.5))),
            )
