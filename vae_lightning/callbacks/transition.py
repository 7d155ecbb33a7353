"""From one image to another through the latent space."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.callbacks.pictures import Drawing, FixedPictureCallback
from vae_lightning.data.loader import ImageBatch
from vae_lightning.drawing.gifs import encode_gif
from vae_lightning.drawing.walks import transition_frames, transition_picture
from vae_lightning.errors import UserError, require_at_least, require_frame_duration
from vae_lightning.latents.classes import labels_along
from vae_lightning.latents.encoding import decode
from vae_lightning.latents.paths import PATHS, chain

log = logging.getLogger("vae_lightning")


class Transition(FixedPictureCallback):
    """Draws the way from each of a few validation images to the next, along a line and along a great circle.

    A strip, and a looping GIF; `PictureCallback` says when and where.

    Args:
        every_n_epochs: draw after every n-th epoch, counted from 1, and after the last; None: after the last only.
        num_images: how many images are linked, each with the next one: one more than there are transitions.
        indices: of these validation images instead.
        labels: one validation image of each of these labels instead.
        files: these picture files instead.
        num_frames: images of a way, its ends included.
        frame_ms: how long a frame of the GIF stays.

    Raises:
        ValueError: `every_n_epochs` is below 1, `num_images` or `num_frames` below 2, `frame_ms` below 20, or more than
            one of `indices`, `labels` and `files` is given, or one of less than two images.
    """

    def __init__(
        self,
        every_n_epochs: int | None = 10,
        num_images: int = 6,
        indices: Sequence[int] | None = None,
        labels: Sequence[int] | None = None,
        files: str | Sequence[str] | None = None,
        num_frames: int = 11,
        frame_ms: int = 100,
    ):
        choices = {"indices": indices, "labels": labels, "files": [files] if isinstance(files, str) else files}
        super().__init__("transition", every_n_epochs, chosen_by={"num_images": num_images} | choices)
        chosen = {name: given for name, given in choices.items() if given is not None}
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} must not be given together: choose one")
        for name, given in chosen.items():
            if len(given) < 2:
                raise ValueError(f"{name} must be of at least 2 images, got {len(given)}")
        require_at_least("num_images", num_images, 2)
        require_at_least("num_frames", num_frames, 2)
        require_frame_duration("frame_ms", frame_ms)
        self.num_images = num_images
        self.indices = indices
        self.chosen_labels = labels
        self.files = files
        self.num_frames = num_frames
        self.frame_ms = frame_ms

    def choose(self, data: Any) -> ImageBatch:
        try:
            if self.files is not None:
                images = data.read_images(self.files)
                return ImageBatch(images, torch.arange(len(images)), None)
            if self.chosen_labels is not None:
                return data.images_of_labels(self.chosen_labels)
            if self.indices is not None:
                return data.images_of_indices(self.indices)
        except UserError as error:
            raise UserError(f"callbacks.transition: {error}") from error
        return data.examples(self.num_images)

    def look(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> tuple[Float[Tensor, "M C H W"], Float[Tensor, "P L N C H W"]] | None:
        images = self.fixed_on(pl_module.device).float() / 255
        if len(images) < 2:
            log.warning("callbacks.%s: %d validation images are too few", self.name, len(images))
            return None
        labels = self.told_on(pl_module)
        ways = chain(pl_module.vae.encode(images, labels).loc, self.num_frames)
        along = labels_along(labels, len(PATHS), self.num_frames)
        told = None if along is None else along.flatten()
        decoded = decode(pl_module.vae, ways.flatten(0, 2), told, batch_size=trainer.datamodule.eval_batch_size)
        return images, decoded.unflatten(0, ways.shape[:3])

    def draw(self, seen: tuple[Tensor, Tensor], context: str) -> Drawing:
        images, ways = seen
        title = "transitions between validation images" if self.files is None else "transitions"
        strip = transition_picture(ways, list(PATHS), images[:-1], images[1:], title, context)
        frames = transition_frames(ways, list(PATHS), title, context)
        return Drawing(strip, encode_gif(frames, self.frame_ms, self.frame_ms))
