"""What a validation or a test finds: exact means of the terms over all ranks, and statistics of the latent units."""

import logging
import math
from typing import Any, final

import torch
from torch import Tensor

from vae_lightning.data.loader import ImageBatch
from vae_lightning.latents.code_use import CodeMeter
from vae_lightning.latents.units import UnitMeter, UnitStatistics
from vae_lightning.likelihood.means import ExactMeans, Mean
from vae_lightning.loggers.figures import log_metrics
from vae_lightning.machine.world import World
from vae_lightning.models.latent_model import VAEOutput, rates_per_dimension
from vae_lightning.noise import Indexed, evaluation_seed
from vae_lightning.objectives.terms import with_penalties, with_rates_of_groups
from vae_lightning.runs.by_image import ByImage
from vae_lightning.runs.tested_images import ImageRows
from vae_lightning.training.stepper import float32

log = logging.getLogger("vae_lightning")


@final
class Evaluator:
    """Takes the images of a split batch by batch; in float32 whatever the training precision is.

    Args:
        module: that is evaluated.
        split: "val" or "test".
    """

    def __init__(self, module: Any, split: str):
        self._module, self._split = module, split
        self._means = ExactMeans()
        self._units = UnitMeter()
        self._codes = CodeMeter()
        self._by_image = ByImage()

    def add(self, batch: ImageBatch) -> None:
        """Of a validation the units, too, and of a test what is kept of each image."""
        labels = self._module.vae.told(batch.labels)
        with float32(self._module.device):  # so that metrics of different runs can be compared
            output = self._terms_of(batch, labels)
            if self._split == "val" and not self._module.vae.is_discrete:
                means = self._module.vae.means_of(output, batch.images, labels)
                self._units.update(rates_per_dimension(output.groups), means)

    def _terms_of(self, batch: ImageBatch, labels: Tensor | None) -> VAEOutput:
        module = self._module
        noise = Indexed(
            evaluation_seed(module.seed, self._split), batch.indices, module.objective.num_samples, module.device
        )
        output = module.vae(batch.images, noise, labels)
        terms = module.objective(output, batch.images, module.epochs.progress())
        found = with_rates_of_groups(with_penalties(terms, output), output).by_name()
        self._means.update(found)
        if self._split == "test" and "elbo" in found:
            self._by_image.add(batch, found["elbo"])
        self._codes.update(output.groups)
        return output

    def results(self) -> dict[str, Mean]:
        """The means by metric name, logged. To be called on every rank."""
        means = self._means.compute(self._summed_over_ranks)
        if (use := self._codes.compute(self._summed_over_ranks)) is not None:
            num_images = next(iter(means.values())).count
            means |= {name: Mean(value, None, num_images) for name, value in use.figures().items()}
        results = {f"{self._split}/{name}": mean for name, mean in means.items()}
        log_metrics(self._module.trainer, {name: mean.value for name, mean in results.items()})
        self._tell_of_no_best(results)
        return results

    def _tell_of_no_best(self, results: dict[str, Mean]) -> None:
        name = f"{self._split}/elbo"
        if name not in results:  # a posterior without a density
            name = f"{self._split}/loss"
        value = results[name].value
        if self._split == "val" and not math.isfinite(value) and self._module.trainer.is_global_zero:
            epoch = self._module.current_epoch + 1
            log.warning("epoch %d: %s is %s; no checkpoint is the best for that", epoch, name, value)

    def rows(self) -> ImageRows | None:
        """What a test found of each image; None of a model without an ELBO. To be called on every rank."""
        trainer = self._module.trainer
        return self._by_image.together(World(trainer.global_rank, trainer.world_size).collect)

    def units(self) -> UnitStatistics | None:
        """None where nothing was validated. To be called on every rank."""
        return self._units.compute(self._summed_over_ranks)

    def _summed_over_ranks(self, moments: Tensor) -> Tensor:
        return self._module.trainer.strategy.reduce(moments, reduce_op="sum")


def share_buffers(module: Any) -> None:
    """Have all ranks go by rank zero's statistics of BatchNorm, which the checkpoint keeps."""
    if module.trainer.world_size > 1:
        for buffer in module.buffers():
            torch.distributed.broadcast(buffer, src=0)
