"""What all pictures drawn while training share: when to draw, what they look at, and where they go."""

import io
import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from vae_lightning.callbacks.periodic import PeriodicCallback, undisturbed
from vae_lightning.checkpoints.expectations import Expectation, mapping, settings, tensor
from vae_lightning.disk.files import folder_in, write_atomically
from vae_lightning.disk.unwritten import spared
from vae_lightning.drawing.captions import origin
from vae_lightning.loggers.figures import current_step
from vae_lightning.loggers.tensorboard import TensorBoard
from vae_lightning.models.distributions import DiagonalNormal

log = logging.getLogger("vae_lightning")

_MOST_FIXED = 1_000  # images or latents of a checkpoint, which a run may have chosen by other settings than it has now


@runtime_checkable
class PictureModel(Protocol):
    """What a model must answer to be drawn; `models.vae.VAE` does."""

    def sample_prior(self, num_images: int, seed: int) -> Tensor: ...

    def prior(self) -> DiagonalNormal: ...

    def encode(self, x: Tensor) -> DiagonalNormal: ...

    def generate(self, z: Tensor) -> Tensor: ...

    def reconstruct(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Drawing:
    """A picture, and where it moves too its animation as the bytes of a GIF."""

    picture: UInt8[np.ndarray, "H W 3"]
    animation: bytes | None = None


class PictureCallback(PeriodicCallback, ABC):
    """Draws every few epochs and after the last one.

    Every rank looks at its model, rank zero draws and writes `<run>/images/<name>/epoch_0001.png` and the TensorBoard
    image `images/<name>`; of what moves `epoch_0001.gif` and `animations/<name>`, too.

    Args:
        name: of the folder and of the TensorBoard tag.
        every_n_epochs: that of `PeriodicCallback`.

    Raises:
        ValueError: `every_n_epochs` is below 1.
    """

    def __init__(self, name: str, every_n_epochs: int | None):
        super().__init__(every_n_epochs)
        self.name = name

    @abstractmethod
    def look(self, trainer: Trainer, pl_module: LightningModule) -> Any:
        """What the picture needs to know of the model; None where this model has no such picture."""

    @abstractmethod
    def draw(self, seen: Any, context: str) -> Drawing | None:
        """The picture of what was seen, None where there is none; `context`, the run and the epoch, belongs into it.

        Called on rank zero only.
        """

    def publish(self, trainer: Trainer, epoch: int, drawing: Drawing) -> None:
        """Write the drawing; called on rank zero only."""
        height, width, _ = drawing.picture.shape
        self._publish(trainer, epoch, "images", ".png", encode_png(drawing.picture), (width, height))
        if drawing.animation is not None:
            with Image.open(io.BytesIO(drawing.animation)) as image:
                size = image.size
            self._publish(trainer, epoch, "animations", ".gif", drawing.animation, size)

    def path(self, trainer: Trainer, epoch: int) -> Path:
        return Path(trainer.default_root_dir) / "images" / self.name / f"epoch_{epoch:04d}.png"

    def write(self, trainer: Trainer, path: Path, encoded: bytes) -> None:
        """Write one of the pictures whose `path` is known."""
        folder_in(Path(trainer.default_root_dir), "images", self.name)
        write_atomically(path, encoded)

    def act(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        seen = self.look(trainer, pl_module)
        if seen is not None and trainer.is_global_zero:
            context = origin(pl_module.config["name"], Path(trainer.default_root_dir).name, epoch)
            drawing = self.draw(seen, context)
            if drawing is not None:
                with spared("pictures"):
                    self.publish(trainer, epoch, drawing)

    def _publish(
        self, trainer: Trainer, epoch: int, tab: str, suffix: str, encoded: bytes, size: tuple[int, int]
    ) -> None:
        self.write(trainer, self.path(trainer, epoch).with_suffix(suffix), encoded)
        log_encoded_image(trainer, f"{tab}/{self.name}", encoded, size)


class FixedPictureCallback(PictureCallback, ABC):
    """A picture of the same images, or of the same z, every time: chosen when training starts, kept in the checkpoint.

    Args:
        name, every_n_epochs: those of `PictureCallback`.
        chosen_by: the settings that decide what is chosen, as plain data. A resumed run keeps what was chosen, and says
            so where they differ.

    Attributes:
        fixed_are: what `choose` gives: uint8 images, or latents.

    Raises:
        ValueError: `every_n_epochs` is below 1.
    """

    fixed_are: ClassVar[Literal["images", "latents"]]

    def __init__(self, name: str, every_n_epochs: int | None, chosen_by: dict[str, Any]):
        super().__init__(name, every_n_epochs)
        self.fixed: Tensor | None = None
        self._chosen_by = chosen_by

    @abstractmethod
    def choose(self, trainer: Trainer, vae: PictureModel) -> Shaped[Tensor, "N ..."]:
        """The tensor that every picture of this run is drawn from."""

    def fixed_on(self, device: torch.device) -> Shaped[Tensor, "N ..."]:
        """What was chosen, on the model's device."""
        assert self.fixed is not None
        return self.fixed.to(device)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.fixed is None:
            with undisturbed(pl_module):
                self.fixed = self.choose(trainer, pl_module.vae).cpu()

    def state_dict(self) -> dict[str, Any]:
        return {} if self.fixed is None else {"fixed": self.fixed, "chosen_by": self._chosen_by}

    def expected_state(self, module: LightningModule, data: Any) -> Expectation:
        """What `load_state_dict` can take of a checkpoint."""
        if self.fixed_are == "images":
            fixed = tensor((None, *data.image_shape), torch.uint8, most=self._most_fixed())
        else:
            fixed = tensor((None, *module.vae.prior().event_shape), torch.float32, most=self._most_fixed())
        return mapping({}, {"fixed": fixed, "chosen_by": settings})

    def _most_fixed(self) -> int:
        """All of them pass through the model at once: no more than this run asks for itself, or some more."""
        chosen = [len(given) for given in self._chosen_by.values() if isinstance(given, list | tuple)]
        return max(_MOST_FIXED, self._chosen_by.get("num_images") or 0, *chosen)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.fixed = state_dict.get("fixed")
        if state_dict.get("chosen_by", self._chosen_by) != self._chosen_by:
            log.warning(
                "callbacks.%s: a resumed run goes on with the images or the z that it has drawn so far", self.name
            )


def tensorboard_loggers(trainer: Trainer) -> list[TensorBoardLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def log_encoded_image(trainer: Trainer, tag: str, encoded: bytes, size: tuple[int, int]) -> None:
    """Give TensorBoard a PNG or a GIF of (width, height) as it is; its own `add_video` would want moviepy.

    What an interrupted run has shown of the weights that it is gone on from is not shown twice.
    """
    width, height = size
    step = current_step(trainer)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
    summary = Summary(value=[Summary.Value(tag=tag, image=image)])
    for logger in tensorboard_loggers(trainer):
        if not (isinstance(logger, TensorBoard) and logger.has_shown(tag, step)):
            logger.experiment._get_file_writer().add_summary(summary, step)


def encode_png(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
