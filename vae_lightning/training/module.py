"""The LightningModule: Lightning's hooks, thin. `epochs` trains, `evaluating` evaluates, `checkpointing` keeps."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from vae_lightning.callbacks.averaging import averages
from vae_lightning.data.loader import ImageBatch, TrainingBatches
from vae_lightning.errors import ArgumentError
from vae_lightning.latents.units import UnitStatistics
from vae_lightning.likelihood.means import Mean
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.objectives.terms import Objective
from vae_lightning.runs.tested_images import ImageRows
from vae_lightning.training.checkpointing import complete, taken
from vae_lightning.training.epochs import Epochs
from vae_lightning.training.evaluating import Evaluator, share_buffers
from vae_lightning.training.loading import loaded
from vae_lightning.training.stepper import leave_signals
from vae_lightning.training.stepping import Stepping

_EVERY_BATCH = Stepping()


class VAEModule(LightningModule):
    """Trains a model on an objective and evaluates it.

    Args:
        vae: the model.
        objective: what is minimised; a part of the module, for it may have state and parameters of its own.
        optimizer: makes the optimizer from the parameters.
        seed: of the training noise (with epoch and rank) and of the evaluation noise (with each image's index).
        config: the run's resolved config as plain data, stored in every checkpoint.
        stepping: how batches become optimizer steps.
        schedule: the factor of the optimizer's learning rate at a progress in [0, 1]; None leaves it as it is.
        capture: whether steps are captured as a CUDA graph; "auto" is wherever they can be.
    """

    def __init__(
        self,
        vae: LatentModel,
        objective: Objective,
        optimizer: Callable[..., Optimizer],
        seed: int = 0,
        config: dict[str, Any] | None = None,
        stepping: Stepping = _EVERY_BATCH,
        schedule: Callable[[float], float] | None = None,
        capture: bool | str = "auto",
    ):
        super().__init__()
        self.automatic_optimization = False  # several steps a call: see `training_step`
        self.vae: LatentModel = vae.to(memory_format=torch.channels_last)
        self.objective, self.optimizer = objective, optimizer
        self.seed, self.config, self.capture = seed, config or {}, capture
        self.stepping, self.schedule = stepping, schedule
        self.results: dict[str, Mean] = {}  # of the last evaluation, by metric name
        self.units: UnitStatistics | None = None  # of the last validation
        self.rows: ImageRows | None = None  # of the last test, where there is an ELBO
        self.epochs = Epochs(self, VAEModule)
        self._evaluator = Evaluator(self, "val")

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | os.PathLike[str],
        map_location: torch.device | str | None = None,
        *,
        trust: str | Sequence[str] = (),
        **others: Any,
    ) -> "VAEModule":
        """The trained module of a checkpoint alone, with averages where it has any: see `loading.loaded`.

        Lightning's own would want the parts as arguments; an argument of it is an ArgumentError.
        """
        for name in others:
            raise ArgumentError(f"{name}: is not taken; valid are checkpoint_path, map_location, trust")
        return loaded(cls, checkpoint_path, map_location, trust)

    def setup(self, stage: str) -> None:
        leave_signals(self.trainer)

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer(self.parameters())

    # Training

    def on_train_start(self) -> None:
        self.epochs.start()

    def on_train_epoch_start(self) -> None:
        self.units = None  # those of an earlier epoch are not those of the weights to come
        self.epochs.begin()

    def training_step(self, batches: TrainingBatches, batch_idx: int) -> None:
        """One optimizer step after another, on batches that came at once (see `execution`)."""
        with self.epochs.stepper.at_once():
            labels = [None] * len(batches.images) if batches.labels is None else batches.labels
            for images, told in zip(batches.images, labels, strict=True):
                self._train_on(images, self.vae.told(told))

    def _train_on(self, images: UInt8[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None) -> None:
        self.epochs.train_on(images, labels)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.epochs.stepper.before_update(optimizer)

    def on_train_batch_end(self, *_: Any) -> None:
        self.epochs.end_batches()

    def on_train_epoch_end(self) -> None:
        self.epochs.end()

    def on_fit_end(self) -> None:
        self.epochs.finish()

    # Evaluation

    def on_validation_start(self) -> None:
        self.epochs.settle()
        share_buffers(self)

    def on_validation_model_zero_grad(self) -> None:
        """Frees the gradients' memory, but not of those that are accumulated for the next step."""
        if not self.epochs.is_within_step:
            super().on_validation_model_zero_grad()

    def on_validation_epoch_start(self) -> None:
        if averages(self.trainer):  # they have taken the place of what is trained
            share_buffers(self)
        self._evaluator = Evaluator(self, "val")

    def on_test_epoch_start(self) -> None:
        self._evaluator = Evaluator(self, "test")

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> None:
        self._evaluator.add(batch)

    def test_step(self, batch: ImageBatch, batch_idx: int) -> None:
        self._evaluator.add(batch)

    def on_validation_epoch_end(self) -> None:
        self.results = self._evaluator.results()
        self.units = self._evaluator.units()

    def on_test_epoch_end(self) -> None:
        self.results = self._evaluator.results()
        self.rows = self._evaluator.rows()

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.epochs.settle()
        complete(checkpoint, self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.epochs.skipped, self.units = taken(checkpoint)
