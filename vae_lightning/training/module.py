"""The LightningModule: steps in training and evaluation, logging, optimizers; the mathematics is called from here."""

import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor
from torch.optim import Optimizer

from vae_lightning.callbacks.averaging import averages
from vae_lightning.checkpoints.contents import CLASS_NAMES
from vae_lightning.checkpoints.writing import first_not_finite
from vae_lightning.data.loader import ImageBatch, TrainingBatches
from vae_lightning.errors import ArgumentError, UserError
from vae_lightning.latents.units import UnitMeter, UnitStatistics
from vae_lightning.likelihood.means import ExactMeans, Mean
from vae_lightning.loggers.figures import LOSS_OF_EPOCH, LateFigures, log_metrics
from vae_lightning.models.latent_model import LatentModel, VAEOutput
from vae_lightning.noise import Indexed, derive_seed, evaluation_seed
from vae_lightning.objectives.terms import Objective, Progress, Terms
from vae_lightning.training.captured import capturing
from vae_lightning.training.finiteness import DivergedError, Skip
from vae_lightning.training.loading import loaded
from vae_lightning.training.stepper import Stepper, float32
from vae_lightning.training.stepping import Stepping

log = logging.getLogger("vae_lightning")

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
        self.objective = objective
        self.optimizer = optimizer
        self.seed = seed
        self.config = config or {}
        self.stepping = stepping
        self.schedule = schedule
        self.capture = capture
        self.results: dict[str, Mean] = {}  # of the last evaluation, by metric name
        self.units: UnitStatistics | None = None  # of the last validation
        self._means = ExactMeans()
        self._unit_meter = UnitMeter()
        self._stepper: Stepper | None = None  # while training
        self._figures = LateFigures()
        self._skipped: dict[str, int] = {}  # as a checkpoint has it
        self.num_trained = 0  # batches of this epoch so far
        self._num_batches = 0  # in this epoch
        self._num_steps = 0  # of the whole training
        self._num_images = 0  # that are trained on

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | os.PathLike[str],
        map_location: torch.device | str | None = None,
        *,
        trust: str | Sequence[str] = (),
        **others: Any,
    ) -> "VAEModule":
        """The trained module of a checkpoint alone, in place of Lightning's, which would want its parts as arguments.

        Model and objective are built by the config that the checkpoint holds, as that of a run directory is: a file
        from a stranger runs no code. Of a run that averages its weights it has the averages.

        Args:
            checkpoint_path: of best.ckpt or last.ckpt.
            map_location: where to put the module; None is the CPU.
            trust: packages besides this project's whose classes the config may build.

        Raises:
            UserError: a file that can't be read, or that is of another model than it says; a map_location that is no
                device; or an argument of Lightning's own method.
        """
        for name in others:
            raise ArgumentError(f"{name}: is not taken; valid are checkpoint_path, map_location, trust")
        return loaded(cls, checkpoint_path, map_location, trust)

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer(self.parameters())

    # Training

    def on_train_start(self) -> None:
        # At least one training figure an epoch, however few steps it has.
        steps = math.ceil(self.trainer.datamodule.num_train_batches / self.stepping.accumulate_grad_batches)
        self.trainer.log_every_n_steps = min(self.trainer.log_every_n_steps, max(steps, 1))
        self._num_steps = max(steps * (self.trainer.max_epochs or 0), 0)
        self._num_images = len(self.trainer.datamodule.splits["train"])
        # A run that was killed once it had stopped early, as it was being tested, needs no further epoch.
        stopping = [callback for callback in self.trainer.callbacks if isinstance(callback, EarlyStopping)]
        self.trainer.should_stop |= any(callback.wait_count >= callback.patience for callback in stopping)

    def on_train_epoch_start(self) -> None:
        # The random state is a function of the epoch, so that a resumed run repeats an uninterrupted one.
        torch.manual_seed(derive_seed(self.seed, self.current_epoch, self.global_rank))
        self.units = None  # those of an earlier epoch are not those of the weights to come
        self._num_batches = self.trainer.datamodule.num_train_batches
        self.num_trained = self.trainer.datamodule.first_batch
        self.stepper.begin_epoch()
        self.trainer.callback_metrics.pop(LOSS_OF_EPOCH, None)

    def training_step(self, batches: TrainingBatches, batch_idx: int) -> None:
        """One optimizer step after another, on batches that came at once (see `execution`)."""
        with self.stepper.at_once():
            labels = [None] * len(batches.images) if batches.labels is None else batches.labels
            for images, told in zip(batches.images, labels, strict=True):
                self.num_trained += 1
                self._train_on(images, self.vae.told(told), is_last=self.num_trained == self._num_batches)

    def _train_on(self, images: UInt8[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None, is_last: bool) -> None:
        progress = self.progress()
        terms = self.stepper.take(images, labels, progress, is_last)
        if terms is not None and (progress.step + 1) % self.trainer.log_every_n_steps == 0:
            self.stepper.watch.look()
            self._figures.take(progress.step, self._told_of(terms, progress))
            self._tell(keep=self.device.type == "cuda")  # there the numbers of the time before have come by now

    def on_train_batch_end(self, *_: Any) -> None:
        # Here rather than at the epoch's end, which the callbacks are told of first.
        is_last = self.num_trained == self._num_batches or self.trainer.should_stop
        if is_last or self.global_step == self.trainer.max_steps:
            self.settle()
            mean = self.stepper.epoch_loss.value(self._summed_over_ranks)
            if mean is not None:
                log_metrics(self.trainer, {LOSS_OF_EPOCH: mean})

    def progress(self) -> Progress:
        """How far the training is, for what goes by it."""
        return Progress(self.global_step, self._num_steps, self._num_images)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.stepper.before_update(optimizer)

    def _told_of(self, terms: Terms, progress: Progress) -> dict[str, float | Tensor]:
        means = {f"train/{name}": values.mean() for name, values in terms.by_name().items()}
        schedules = self.objective.schedules(progress) | {"learning_rate": self.stepper.learning_rate}
        return means | schedules | self.stepper.watch.figures()

    @property
    def stepper(self) -> Stepper:
        """What takes the steps of the training that is under way."""
        if self._stepper is None:  # callbacks may ask for it as training starts, before this module is told
            make_pass = capturing(self.capture, self, self.trainer, VAEModule)
            self._stepper = Stepper(self, self.trainer, self.schedule, make_pass)
            if isinstance(self._stepper.watch, Skip):
                self._stepper.watch.restore(self._skipped)
        return self._stepper

    @property
    def dropped(self) -> Tensor | None:
        """Whether the last step was, a bool on the device; None where trainer.on_nan drops none."""
        watch = None if self._stepper is None else self._stepper.watch
        return watch.dropped if isinstance(watch, Skip) else None

    def settle(self) -> None:
        """Wait for the device, and log what there is to be logged of the steps so far.

        Raises:
            UserError: one of them was not finite; names the first.
        """
        if self._stepper is not None:
            self._stepper.watch.look()
            self._tell(keep=False)

    def _tell(self, keep: bool) -> None:
        """Check and log all that was looked at, but for the last time if that is to be kept back."""
        try:
            self.stepper.watch.check(int(keep))
        except DivergedError as error:
            last = Path(self.trainer.default_root_dir) / "checkpoints/last.ckpt"
            kept = "the last good checkpoint is kept; " if last.is_file() else ""
            raise UserError(
                f"{error} (epoch {self.current_epoch + 1}); {kept}"
                "try a smaller optimizer.lr or trainer.gradient_clip_val=1"
            ) from None
        self._figures.log(self.trainer, int(keep))

    def on_train_epoch_end(self) -> None:
        self.settle()  # before the checkpoint is saved, also where nothing is validated
        self.trainer.datamodule.first_batch = 0
        skipped = self.stepper.watch.end_epoch()
        if skipped and self.trainer.is_global_zero:
            log.warning(
                "epoch %d: %d updates were skipped, as the loss or the gradient was not finite",
                self.current_epoch + 1,
                skipped,
            )

    def on_fit_end(self) -> None:
        if isinstance(self.stepper.watch, Skip):
            self._skipped = self.stepper.watch.state()
        self._stepper = None  # with the memory of what was captured

    # Evaluation

    def on_validation_start(self) -> None:
        self.settle()
        self._share_buffers()

    def _share_buffers(self) -> None:
        if self.trainer.world_size > 1:
            # Each rank's BatchNorm has seen other images; the checkpoint keeps rank zero's statistics.
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def on_validation_model_zero_grad(self) -> None:
        """Frees the gradients' memory, but not of those that are accumulated for the next step."""
        if self._stepper is None or self._stepper.num_accumulated == 0:
            super().on_validation_model_zero_grad()

    def on_validation_epoch_start(self) -> None:
        if averages(self.trainer):  # they have taken the place of what is trained
            self._share_buffers()
        self._means = ExactMeans()
        self._unit_meter = UnitMeter()

    def on_test_epoch_start(self) -> None:
        self._means = ExactMeans()

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> None:
        labels = self.vae.told(batch.labels)
        output = self._evaluate(batch, labels, "val")
        with float32(self.device):
            means = self.vae.means_of(output, batch.images, labels)
            rates = torch.cat([group.rate_per_dimension() for group in output.groups], -1)
        self._unit_meter.update(rates, means)

    def test_step(self, batch: ImageBatch, batch_idx: int) -> None:
        self._evaluate(batch, self.vae.told(batch.labels), "test")

    def on_validation_epoch_end(self) -> None:
        self._log_means("val")
        elbo = self.results["val/elbo"].value
        if not math.isfinite(elbo) and self.trainer.is_global_zero:
            log.warning("epoch %d: val/elbo is %s; no checkpoint is the best for that", self.current_epoch + 1, elbo)
        self.units = self._unit_meter.compute(self._summed_over_ranks)

    def on_test_epoch_end(self) -> None:
        self._log_means("test")

    def _evaluate(self, batch: ImageBatch, labels: Tensor | None, split: str) -> VAEOutput:
        seed = evaluation_seed(self.seed, split)
        noise = Indexed(seed, batch.indices, self.objective.num_samples, self.device)
        # In float32 whatever the training precision, so that metrics of different runs can be compared.
        with float32(self.device):
            output = self.vae(batch.images, noise, labels)
            terms = self.objective(output, batch.images, self.progress())
        self._means.update(terms.by_name())
        return output

    def _log_means(self, split: str) -> None:
        means = self._means.compute(self._summed_over_ranks)
        self.results = {f"{split}/{name}": mean for name, mean in means.items()}
        log_metrics(self.trainer, {name: mean.value for name, mean in self.results.items()})

    def _summed_over_ranks(self, moments: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(moments, reduce_op="sum")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.settle()
        bad = first_not_finite(checkpoint["state_dict"])
        if bad is not None:
            raise UserError(f"{bad} is not finite (epoch {self.current_epoch + 1}): no checkpoint is written of that")
        watch = None if self._stepper is None else self._stepper.watch
        skipped = watch.state() if isinstance(watch, Skip) else self._skipped
        if skipped:
            checkpoint["skipped"] = skipped
        for logger in self.trainer.loggers:
            logger.save()  # what was logged so far: a run that goes on from here does not log it again
        checkpoint["config"] = self.config
        checkpoint["data"] = self.trainer.datamodule.identity
        if self.trainer.datamodule.class_names is not None:
            checkpoint[CLASS_NAMES] = list(self.trainer.datamodule.class_names)
        checkpoint["units"] = None if self.units is None else self.units.as_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._skipped = checkpoint.get("skipped", {})
        units = checkpoint.get("units")  # for pictures that the run owes for the epoch that it goes on from
        self.units = None if units is None else UnitStatistics.from_dict(units)
