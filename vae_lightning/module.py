"""The LightningModule: one shared step, logging, optimizers; the mathematics lives in models/ and objectives/."""

import math
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from vae_lightning.data.loader import ImageBatch
from vae_lightning.errors import UserError
from vae_lightning.evaluation.means import ExactMeans, Mean
from vae_lightning.evaluation.units import UnitMeter, UnitStatistics
from vae_lightning.models.vae import VAE, VAEOutput
from vae_lightning.noise import derive_seed, indexed_normal
from vae_lightning.objectives.terms import Objective, Terms

_EVALUATION_STREAM = {"val": 1, "test": 2}  # the splits must not share their noise


class VAEModule(LightningModule):
    """Trains a `VAE` on an objective and evaluates it.

    Args:
        vae: the model.
        objective: `objective(output, x, step) -> Terms`; `objective.schedules(step)` gives what is to be logged.
        optimizer: makes the optimizer from the parameters.
        seed: of the training noise (with epoch and rank) and of the evaluation noise (with each image's index).
        config: the run's resolved config as plain data, stored in every checkpoint.
    """

    def __init__(
        self,
        vae: VAE,
        objective: Objective,
        optimizer: Callable[..., Optimizer],
        seed: int = 0,
        config: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.vae = vae.to(memory_format=torch.channels_last)
        self.objective = objective
        self.optimizer = optimizer
        self.seed = seed
        self.config = config or {}
        self.results: dict[str, Mean] = {}  # of the last evaluation, by metric name
        self.units: UnitStatistics | None = None  # of the last validation
        self._means = ExactMeans()
        self._unit_meter = UnitMeter()
        self._first_bad_step = torch.tensor(torch.inf)

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer(self.parameters())

    # Training

    def on_train_start(self) -> None:
        # At least one training figure an epoch, however few steps it has.
        steps = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        self.trainer.log_every_n_steps = min(self.trainer.log_every_n_steps, max(steps, 1))

    def on_train_epoch_start(self) -> None:
        # The random state is a function of the epoch, so that a resumed run repeats an uninterrupted one.
        torch.manual_seed(derive_seed(self.seed, self.current_epoch, self.global_rank))
        self.units = None  # those of an earlier epoch are not those of the weights to come
        self._first_bad_step = torch.tensor(torch.inf, device=self.device)

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        terms = self.objective(self.vae(batch.images), batch.images, self.global_step)
        loss = terms.loss.mean()
        self._remember_bad_step(loss)
        if (self.global_step + 1) % self.trainer.log_every_n_steps == 0:
            self._check_finite()
            self._log_training(terms)
        return loss

    def _log_training(self, terms: Terms) -> None:
        means = {name: values.detach().mean() for name, values in vars(terms).items()}
        self.log_dict({f"train/{name}": value for name, value in means.items()})
        self.log_dict(self.objective.schedules(self.global_step) | {"learning_rate": self._learning_rate()})

    def _learning_rate(self) -> float:
        return self.optimizers().param_groups[0]["lr"]

    def _remember_bad_step(self, loss: Tensor) -> None:
        # Stays on the device: reading every loss would make each step wait for the one before it.
        step = torch.where(torch.isfinite(loss.detach()), torch.inf, float(self.global_step))
        self._first_bad_step = torch.minimum(self._first_bad_step, step)

    def _check_finite(self) -> None:
        """Raise a UserError that names the first step of this epoch whose loss was NaN or infinite."""
        step = self._first_bad_step.item()
        if step != torch.inf:
            kept = "the last good checkpoint is kept; " if self.current_epoch else ""
            raise UserError(
                f"the loss was not finite at step {int(step)} (epoch {self.current_epoch + 1}); {kept}"
                "try a smaller optimizer.lr or trainer.gradient_clip_val=1"
            )

    def on_train_epoch_end(self) -> None:
        self._check_finite()  # before the checkpoint is saved, also where nothing is validated

    # Evaluation

    def on_validation_start(self) -> None:
        self._check_finite()
        if self.trainer.world_size > 1:
            # Each rank's BatchNorm has seen other images; the checkpoint keeps rank zero's statistics.
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def on_validation_epoch_start(self) -> None:
        self._means = ExactMeans()
        self._unit_meter = UnitMeter()

    def on_test_epoch_start(self) -> None:
        self._means = ExactMeans()

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> None:
        output = self._evaluate(batch, "val")
        self._unit_meter.update(output.posterior, output.prior)

    def test_step(self, batch: ImageBatch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def on_validation_epoch_end(self) -> None:
        self._log_means("val")
        self.units = self._unit_meter.compute(self._summed_over_ranks)

    def on_test_epoch_end(self) -> None:
        self._log_means("test")

    def _evaluate(self, batch: ImageBatch, split: str) -> VAEOutput:
        seed = derive_seed(self.seed, _EVALUATION_STREAM[split])
        noise = indexed_normal(seed, batch.indices, tuple(self.vae.prior().event_shape)).to(self.device)
        # In float32 whatever the training precision, so that metrics of different runs can be compared.
        with torch.autocast(self.device.type, enabled=False):
            output = self.vae(batch.images, noise=noise.unsqueeze(0))
            terms = self.objective(output, batch.images, self.global_step)
        self._means.update(vars(terms))
        return output

    def _log_means(self, split: str) -> None:
        means = self._means.compute(self._summed_over_ranks)
        self.results = {f"{split}/{name}": mean for name, mean in means.items()}
        # Already summed over the ranks; sync_dist only tells Lightning so.
        self.log_dict({name: mean.value for name, mean in self.results.items()}, sync_dist=True)

    def _summed_over_ranks(self, moments: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(moments, reduce_op="sum")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config
        checkpoint["units"] = None if self.units is None else self.units.as_dict()
