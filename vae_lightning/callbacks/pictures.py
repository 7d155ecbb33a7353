"""What all pictures drawn while training share: when to draw, from which fixed tensor, and where it goes."""

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import Tensor

from vae_lightning.callbacks.arguments import require_at_least
from vae_lightning.callbacks.steps import current_step


@runtime_checkable
class PictureModel(Protocol):
    """What a model must answer to be drawn; `models.vae.VAE` does."""

    def sample_prior(self, num_images: int, seed: int) -> Tensor: ...

    def generate(self, z: Tensor) -> Tensor: ...

    def reconstruct(self, x: Tensor) -> Tensor: ...


class PictureCallback(Callback, ABC):
    """Draws the same images, or the same z, every few epochs and after the last one.

    What is drawn is chosen when training starts and kept in the checkpoint. Training is left as it was:
    module modes, BatchNorm statistics and random states. Every rank computes, rank zero writes
    `<run>/images/<name>/epoch_0001.png` and the TensorBoard image `images/<name>`.

    Args:
        name: of the folder and of the TensorBoard tag.
        every_n_epochs: epochs count from 1; epoch 1 is after the first pass over the training data.
        num_images: how many images the picture shows.

    Raises:
        ValueError: `every_n_epochs` or `num_images` is below 1.
    """

    def __init__(self, name: str, every_n_epochs: int, num_images: int):
        require_at_least("every_n_epochs", every_n_epochs, 1)
        require_at_least("num_images", num_images, 1)
        self.name = name
        self.every_n_epochs = every_n_epochs
        self.num_images = num_images
        self.fixed: Tensor | None = None
        self._undrawn_epoch: int | None = None

    @abstractmethod
    def choose(self, trainer: Trainer, vae: PictureModel) -> Shaped[Tensor, "N ..."]:
        """The tensor that every picture of this run is drawn from."""

    @abstractmethod
    def draw(self, vae: PictureModel, fixed: Shaped[Tensor, "N ..."]) -> UInt8[np.ndarray, "H W 3"]:
        """One picture from the fixed tensor, which is on the model's device."""

    def publish(self, trainer: Trainer, epoch: int, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Write the picture; called on rank zero only."""
        write_atomically(self.path(trainer, epoch), encode_png(picture))
        for logger in tensorboard_loggers(trainer):
            tag, step = f"images/{self.name}", current_step(trainer)
            logger.experiment.add_image(tag, picture, step, dataformats="HWC")

    def path(self, trainer: Trainer, epoch: int) -> Path:
        return Path(trainer.default_root_dir) / "images" / self.name / f"epoch_{epoch:04d}.png"

    def draw_and_publish(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        assert self.fixed is not None
        with undisturbed(pl_module):
            picture = self.draw(pl_module.vae, self.fixed.to(pl_module.device))
        if trainer.is_global_zero:
            self.publish(trainer, epoch, picture)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._undrawn_epoch = None
        if self.fixed is None:
            with undisturbed(pl_module):
                self.fixed = self.choose(trainer, pl_module.vae).cpu()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        due = epoch % self.every_n_epochs == 0
        self._undrawn_epoch = None if due else epoch
        if due:
            self.draw_and_publish(trainer, pl_module, epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Only here is it certain which epoch was the last: early stopping and max_time decide as they go.
        if self._undrawn_epoch is not None:
            self.draw_and_publish(trainer, pl_module, self._undrawn_epoch)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.fixed is None else {"fixed": self.fixed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.fixed = state_dict.get("fixed")


@contextmanager
def undisturbed(module: LightningModule) -> Iterator[None]:
    """Evaluation mode without gradients or autocast; modes and PyTorch's random state are restored after."""
    modes = {part: part.training for part in module.modules()}
    devices = [module.device] if module.device.type == "cuda" else []
    no_autocast = torch.autocast(module.device.type, enabled=False)
    module.eval()
    try:
        with torch.no_grad(), no_autocast, torch.random.fork_rng(devices):
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def tensorboard_loggers(trainer: Trainer) -> list[TensorBoardLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def encode_png(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def write_atomically(path: Path, content: bytes) -> None:
    """Write the file such that it holds the old content or the new, never a part, even after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    os.replace(temporary, path)
