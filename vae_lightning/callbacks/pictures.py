"""What all pictures drawn while training share: when to draw, what they look at, and where they go."""

import io
import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch import Tensor

from vae_lightning.callbacks.periodic import PeriodicCallback, undisturbed
from vae_lightning.checkpoints.expectations import Expectation, UnexpectedError, mapping, settings, tensor, whole
from vae_lightning.data.loader import ImageBatch
from vae_lightning.disk.files import folder_in, write_atomically
from vae_lightning.disk.unwritten import spared
from vae_lightning.drawing.captions import origin
from vae_lightning.drawing.png import encode_png
from vae_lightning.errors import UserError, require_at_least
from vae_lightning.latents.classes import labels_of_samples
from vae_lightning.loggers.showing import show_picture
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.noise import Seeded

log = logging.getLogger("vae_lightning")

_MOST_FIXED = 1_000  # images or latents of a checkpoint, which a run may have chosen by other settings than it has now


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
        show_picture(trainer, f"{tab}/{self.name}", encoded, size)


class FixedPictureCallback(PictureCallback, ABC):
    """A picture of the same images every time: chosen when training starts, kept in the checkpoint.

    Args:
        name, every_n_epochs: those of `PictureCallback`.
        chosen_by: the settings that decide what is chosen, as plain data. A resumed run keeps what was chosen, and says
            so where they differ.

    Attributes:
        fixed: the images, uint8.
        labels: of the images, where they have labels.

    Raises:
        ValueError: `every_n_epochs` is below 1.
    """

    def __init__(self, name: str, every_n_epochs: int | None, chosen_by: dict[str, Any]):
        super().__init__(name, every_n_epochs)
        self.fixed: Tensor | None = None
        self.labels: Tensor | None = None
        self._chosen_by = chosen_by

    @abstractmethod
    def choose(self, data: Any) -> ImageBatch:
        """The images that every picture of this run is drawn from, of the DataModule."""

    def fixed_on(self, device: torch.device) -> UInt8[Tensor, "N C H W"]:
        """What was chosen, on the model's device."""
        assert self.fixed is not None
        return self.fixed.to(device)

    def told_on(self, pl_module: LightningModule) -> Int64[Tensor, " N"] | None:
        """Their labels, on the model's device, if it is told labels.

        Raises:
            UserError: it is, and the images have none.
        """
        vae: LatentModel = pl_module.vae
        if vae.num_classes is not None and self.labels is None:
            raise UserError(
                f"callbacks.{self.name}: its images have no labels, which this model is told; choose others"
            )
        told = vae.told(self.labels)
        return None if told is None else told.to(pl_module.device)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.fixed is None:
            with undisturbed(pl_module):
                chosen = self.choose(trainer.datamodule)
                self.fixed, self.labels = chosen.images.cpu(), pl_module.vae.told(chosen.labels)
        self.told_on(pl_module)  # fails now, if ever

    def state_dict(self) -> dict[str, Any]:
        if self.fixed is None:
            return {}
        labels = {} if self.labels is None else {"labels": self.labels}
        return {"fixed": self.fixed, "chosen_by": self._chosen_by} | labels

    def expected_state(self, module: LightningModule, data: Any) -> Expectation:
        """What `load_state_dict` can take of a checkpoint."""
        fixed = tensor((None, *data.image_shape), torch.uint8, most=self._most_fixed())
        known = {"fixed": fixed, "chosen_by": settings}
        if module.vae.num_classes is not None:
            known["labels"] = partial(_labels, num_classes=module.vae.num_classes, most=self._most_fixed())
        return partial(_as_many_labels, known=mapping({}, known), needed="labels" in known)

    def _most_fixed(self) -> int:
        """All of them pass through the model at once: no more than this run asks for itself, or some more."""
        chosen = [len(given) for given in self._chosen_by.values() if isinstance(given, list | tuple)]
        return max(_MOST_FIXED, self._chosen_by.get("num_images") or 0, *chosen)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.fixed, self.labels = state_dict.get("fixed"), state_dict.get("labels")
        if state_dict.get("chosen_by", self._chosen_by) != self._chosen_by:
            log.warning("callbacks.%s: a resumed run goes on with the images that it has drawn so far", self.name)


def _as_many_labels(value: Any, where: str, known: Expectation, needed: bool) -> dict[str, Any]:
    state = known(value, where)
    if needed and "fixed" in state and len(state.get("labels", ())) != len(state["fixed"]):
        raise UnexpectedError(f"{where}.labels are not as many as its images")
    return state


def _labels(value: Any, where: str, num_classes: int, most: int) -> Tensor:
    labels = tensor((None,), torch.int64, most=most)(value, where)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise UnexpectedError(f"{where} has labels that are not from 0 to {num_classes - 1}")
    return labels


class SampledPictureCallback(PictureCallback, ABC):
    """A picture of samples, of the same noise every time, which the checkpoint tells by its seed.

    Args:
        name, every_n_epochs: those of `PictureCallback`.
        num_images: how many samples.
        seed: of the noise. A resumed run keeps number and seed, and says so where they differ.

    Raises:
        ValueError: `every_n_epochs` or `num_images` is below 1.
    """

    def __init__(self, name: str, every_n_epochs: int | None, num_images: int, seed: int):
        super().__init__(name, every_n_epochs)
        require_at_least("num_images", num_images, 1)
        self.num_images = num_images
        self.seed = seed

    def drawn(self, pl_module: LightningModule) -> tuple[Float[Tensor, "N D"], Int64[Tensor, " N"] | None]:
        """Latents from the model's prior as it is now, and labels for a model that is told labels."""
        vae: LatentModel = pl_module.vae
        labels = labels_of_samples(vae, torch.arange(self.num_images, device=pl_module.device))
        noise = Seeded(self.seed, self.num_images, pl_module.device)
        return vae.draw(noise, labels)[0], labels

    def images(self, pl_module: LightningModule) -> tuple[Float[Tensor, "M C H W"], int | None]:
        """Their mean images and the number of labels; with labels as many as make whole rows."""
        z, labels = self.drawn(pl_module)
        num_classes: int | None = pl_module.vae.num_classes
        if labels is not None and num_classes is not None and len(z) >= num_classes:
            count = len(z) - len(z) % num_classes
            z, labels = z[:count], labels[:count]
        return pl_module.vae.generate(z, labels), num_classes

    def state_dict(self) -> dict[str, Any]:
        return {"chosen_by": {"num_images": self.num_images, "seed": self.seed}}

    def expected_state(self, module: LightningModule, data: Any) -> Expectation:
        """What `load_state_dict` can take of a checkpoint."""
        most = max(_MOST_FIXED, self.num_images)
        chosen_by = mapping({"num_images": whole(1, most), "seed": whole(-(2**63), 2**63 - 1)})
        return mapping({}, {"chosen_by": chosen_by})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own = {"num_images": self.num_images, "seed": self.seed}
        chosen_by = state_dict.get("chosen_by", own)
        self.num_images, self.seed = chosen_by["num_images"], chosen_by["seed"]
        if chosen_by != own:
            log.warning("callbacks.%s: a resumed run goes on with the z that it has drawn so far", self.name)
