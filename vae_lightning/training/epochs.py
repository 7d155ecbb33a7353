"""A training that is under way: epochs of batches, which the Stepper makes steps of, and the figures of these."""

import logging
import math
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Int64, UInt8
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from vae_lightning.errors import UserError
from vae_lightning.loggers.figures import LOSS_OF_EPOCH, LateFigures, log_metrics
from vae_lightning.noise import derive_seed
from vae_lightning.objectives.terms import Progress, Terms
from vae_lightning.training.captured import capturing
from vae_lightning.training.finiteness import DivergedError, Skip
from vae_lightning.training.stepper import Stepper

log = logging.getLogger("vae_lightning")


@final
class Epochs:
    """Counts the batches of each epoch and logs what their steps give.

    Args:
        module: that is trained.
        base: its class as it is shipped; one that is derived from it may have hooks of its own.

    Attributes:
        num_trained: batches of this epoch so far.
    """

    def __init__(self, module: Any, base: type[LightningModule]):
        self._module, self._base = module, base
        self._stepper: Stepper | None = None  # while training
        self._figures = LateFigures()
        self._skipped: dict[str, int] = {}  # as a checkpoint has it
        self._length = (0, 0)  # steps of the whole training, and images that are trained on
        self.num_trained = 0
        self._num_batches = 0  # in this epoch

    @property
    def _trainer(self) -> Trainer:
        return self._module.trainer

    @property
    def stepper(self) -> Stepper:
        """What makes steps of the batches of the training that is under way."""
        if self._stepper is None:  # callbacks may ask for it as training starts, before the module is told
            module, trainer = self._module, self._trainer
            make_pass = capturing(module.capture, module, trainer, self._base)
            self._stepper = Stepper(module, trainer, module.schedule, make_pass)
            if isinstance(self._stepper.watch, Skip):
                self._stepper.watch.restore(self._skipped)
        return self._stepper

    @property
    def is_within_step(self) -> bool:
        """Whether gradients are accumulated for a step that is not taken yet."""
        return self._stepper is not None and self._stepper.num_accumulated > 0

    @property
    def dropped(self) -> Tensor | None:
        """Whether the last step was, a bool on the device; None where none may be."""
        watch = None if self._stepper is None else self._stepper.watch
        return watch.dropped if isinstance(watch, Skip) else None

    @property
    def skipped(self) -> dict[str, int]:
        """What a checkpoint keeps of the steps that were dropped; empty where none may be."""
        watch = None if self._stepper is None else self._stepper.watch
        return watch.state() if isinstance(watch, Skip) else self._skipped

    @skipped.setter
    def skipped(self, kept: dict[str, int]) -> None:
        self._skipped = kept

    def progress(self) -> Progress:
        """How far the training is, for what goes by it."""
        return Progress(self._module.global_step, *self._length)

    def start(self) -> None:
        """As training starts, or goes on."""
        data, trainer = self._trainer.datamodule, self._trainer
        num_steps = math.ceil(data.num_train_batches / self._module.stepping.accumulate_grad_batches)
        self._length = max(num_steps * (trainer.max_epochs or 0), 0), len(data.splits["train"])
        self.stepper.start(self.progress(), num_steps)
        # A run that was killed once it had stopped early, as it was being tested, needs no further epoch.
        stopping = [callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)]
        if any(callback.wait_count >= callback.patience for callback in stopping):
            trainer.should_stop = True

    def finish(self) -> None:
        """As training has ended."""
        self._skipped = self.skipped
        self.stepper.end()
        self._stepper = None  # with the memory of what was captured

    def begin(self) -> None:
        """As an epoch begins."""
        # The random state is a function of the epoch, so that a resumed run repeats an uninterrupted one.
        torch.manual_seed(derive_seed(self._module.seed, self._trainer.current_epoch, self._trainer.global_rank))
        self._num_batches = self._trainer.datamodule.num_train_batches
        self.num_trained = self._trainer.datamodule.first_batch
        self.stepper.begin_epoch()

    def train_on(self, images: UInt8[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None) -> None:
        """Train on the next batch; every so many steps its figures are to be logged."""
        self.num_trained += 1
        progress = self.progress()
        terms = self.stepper.take(images, labels, progress, is_last=self.num_trained == self._num_batches)
        if terms is not None and (progress.step + 1) % self._trainer.log_every_n_steps == 0:
            self.stepper.watch.look()
            self._figures.take(progress.step, self._told_of(terms, progress))
            self._tell(keep=self._module.device.type == "cuda")  # there the numbers of the time before have come by now

    def end_batches(self) -> None:
        """After batches that came at once. Here rather than at the epoch's end, which callbacks are told of first."""
        trainer = self._trainer
        is_last = self.num_trained == self._num_batches or trainer.should_stop
        if is_last or trainer.global_step == trainer.max_steps:
            self.settle()
            mean = self.stepper.epoch_loss.value(lambda sums: trainer.strategy.reduce(sums, reduce_op="sum"))
            if mean is not None:
                log_metrics(trainer, {LOSS_OF_EPOCH: mean})

    def end(self) -> None:
        """As an epoch ends."""
        self.settle()  # before the checkpoint is saved, also where nothing is validated
        self._trainer.datamodule.first_batch = 0
        skipped = self.stepper.watch.end_epoch()
        if skipped and self._trainer.is_global_zero:
            log.warning("epoch %d: %s", self._trainer.current_epoch + 1, skipped)

    def settle(self) -> None:
        """Wait for the device, and log what there is to be logged of the steps so far, if there are any.

        Raises:
            UserError: one of them was not finite; names the first.
        """
        if self._stepper is not None:
            self._stepper.watch.look()
            self._tell(keep=False)

    def _told_of(self, terms: Terms, progress: Progress) -> dict[str, float | Tensor]:
        means = {f"train/{name}": values.mean() for name, values in terms.by_name().items()}
        schedules = self._module.objective.schedules(progress) | {"learning_rate": self.stepper.learning_rate}
        return means | schedules | self.stepper.watch.figures()

    def _tell(self, keep: bool) -> None:
        """Check and log all that was looked at, but for the last time if that is to be kept back."""
        try:
            self.stepper.watch.check(int(keep))
        except DivergedError as error:
            last = Path(self._trainer.default_root_dir) / "checkpoints/last.ckpt"
            kept = "the last good checkpoint is kept; " if last.is_file() else ""
            epoch = self._trainer.current_epoch + 1
            raise UserError(f"{error} (epoch {epoch}); {kept}try {error.cure}") from None
        self._figures.log(self._trainer, int(keep))
