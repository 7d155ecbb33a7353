"""When something is shown while training, and how the training is left as it was."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from vae_lightning.callbacks.averaging import exchanged
from vae_lightning.callbacks.progress import told_on_bar
from vae_lightning.callbacks.source import forget
from vae_lightning.drawing.shown import showing
from vae_lightning.errors import require_at_least


class PeriodicCallback(Callback, ABC):
    """Acts every few epochs and after the last one.

    Training is left as it was: weights, module modes, BatchNorm statistics and random states.

    Args:
        every_n_epochs: epochs count from 1; epoch 1 is after the first pass over the training data. None acts after
            the last epoch only.

    Raises:
        ValueError: `every_n_epochs` is below 1.
    """

    def __init__(self, every_n_epochs: int | None):
        if every_n_epochs is not None:
            require_at_least("every_n_epochs", every_n_epochs, 1)
        self.every_n_epochs = every_n_epochs
        self.took: float | None = None  # seconds, the last time
        self._missed_epoch: int | None = None
        self._has_started = False

    @abstractmethod
    def act(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        """Called on every rank, in evaluation mode and without gradients, with the weights that checkpoints hold."""

    @property
    def doing(self) -> str:
        """What the progress bar shows meanwhile."""
        return f"drawing {type(self).__name__}"

    def is_due(self, epoch: int) -> bool:
        return self.every_n_epochs is not None and epoch % self.every_n_epochs == 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._has_started = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._has_started = True
        # Of a run that is gone on with: it may have been killed before it had acted after its last epoch.
        epoch = trainer.current_epoch
        self._missed_epoch = None if epoch == 0 or self.is_due(epoch) else epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        due = self.is_due(epoch)
        self._missed_epoch = None if due else epoch
        if due:
            self._act(trainer, pl_module, epoch, is_last=trainer.should_stop or epoch == trainer.max_epochs)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Only here is it certain which epoch was the last: early stopping and max_time decide as they go.
        if self._missed_epoch is not None:
            self._act(trainer, pl_module, self._missed_epoch, is_last=True)

    def _act(self, trainer: Trainer, pl_module: LightningModule, epoch: int, is_last: bool) -> None:
        # The epochs' own lines tell that a run is under way; after the last one nothing else does.
        shown = showing(getattr(trainer.datamodule, "shown_channels", None))
        began = time.monotonic()
        with told_on_bar(trainer, self.doing, tell=is_last), undisturbed(trainer, pl_module), shown:
            self.act(trainer, pl_module, epoch)
        self.took = time.monotonic() - began

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        forget(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning does not start a training of which no epoch is left, and so does not end it.
        if not self._has_started:
            self.on_train_start(trainer, pl_module)
            self.on_train_end(trainer, pl_module)
        forget(trainer)


@contextmanager
def undisturbed(trainer: Trainer, module: LightningModule) -> Iterator[None]:
    """Evaluation mode without gradients or autocast, of the weights that checkpoints hold.

    Weights, modes and PyTorch's random state are restored after.
    """
    modes = {part: part.training for part in module.modules()}
    devices = [module.device] if module.device.type == "cuda" else []
    no_autocast = torch.autocast(module.device.type, enabled=False)
    module.eval()
    try:
        with torch.no_grad(), no_autocast, torch.random.fork_rng(devices), exchanged(trainer, module):
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode
