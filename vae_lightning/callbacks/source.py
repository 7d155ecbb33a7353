"""The model in training as a source of pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int64
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.callbacks.averaging import averages
from vae_lightning.data.class_names import Names
from vae_lightning.data.loader import ImageBatch
from vae_lightning.drawing.captions import origin
from vae_lightning.drawing.shown import told_shown
from vae_lightning.errors import UserError
from vae_lightning.latents.units import UnitStatistics
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.runs.source import Source, Work

_newest: "WeakKeyDictionary[Trainer, tuple[tuple[int, int], Work]]" = WeakKeyDictionary()


@dataclass(frozen=True)
class TrainingSource(Source):
    """The model at one moment of its training, in evaluation mode.

    Attributes:
        vae, label, units, device: those of `Source`.
        trainer, module: what trains it.
        work: what has been computed of the model as it is now.
        epoch: counted from 1; 0 is before training.
        kept: the images that a picture looks at, chosen when training began; None for a picture without.
    """

    vae: LatentModel
    units: UnitStatistics | None
    device: torch.device
    trainer: Trainer
    module: LightningModule
    moment: Work
    epoch: int
    kept: ImageBatch | None = None
    label: int | None = None

    @property
    def context(self) -> str:
        folder, data = Path(self.trainer.default_root_dir).name, self.trainer.datamodule
        shown = told_shown(data.channels, data.shown_channels)
        return origin(self.module.config["name"], folder, self.epoch, averages(self.trainer), shown)

    @property
    def class_names(self) -> Names:
        return self.trainer.datamodule.class_names

    @property
    def seed(self) -> int:
        return self.module.seed

    @property
    def preprocessing(self) -> Any:
        return self.trainer.datamodule

    @property
    def data(self) -> Any:
        return self.trainer.datamodule

    @property
    def work(self) -> Work:
        return self.moment

    def chosen(self, choose: Callable[[Source], ImageBatch]) -> ImageBatch:
        return choose(self) if self.kept is None else self.kept

    def told(self, labels: Tensor | None, count: int) -> Int64[Tensor, " N"] | None:
        if self.vae.num_classes is not None and labels is None:
            raise UserError("its images have no labels, which this model is told; choose others")
        return super().told(labels, count)


def training_source(trainer: Trainer, module: LightningModule, epoch: int) -> TrainingSource:
    """The model as it is now, which must be in evaluation mode; who asks at the same step shares the work."""
    now = (trainer.global_step, epoch)
    known, work = _newest.get(trainer, (None, None))
    if known != now or work is None:
        work = Work(module.vae, module.device)
        _newest[trainer] = (now, work)
    return TrainingSource(module.vae, module.units, module.device, trainer, module, work, epoch)


def forget(trainer: Trainer) -> None:
    """Free the memory of what was computed of a model that trains on."""
    _newest.pop(trainer, None)
