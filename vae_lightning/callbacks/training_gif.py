"""The whole training as one animation: the same points of the prior, a frame an epoch."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from vae_lightning.callbacks.arguments import require_at_least
from vae_lightning.callbacks.pictures import (
    PictureCallback,
    PictureModel,
    encode_png,
    tensorboard_loggers,
    write_atomically,
)
from vae_lightning.callbacks.steps import current_step
from vae_lightning.figures.captions import with_caption
from vae_lightning.figures.gifs import GifFrame, gif_frame, join_frames
from vae_lightning.figures.grids import image_grid


class TrainingGif(PictureCallback):
    """Keeps `<run>/training.gif` up to date: the mean images of fixed z, from epoch 0, untrained, on.

    Each frame is also `<run>/images/training/epoch_0000.png`. The GIF is whole after every epoch, so that it
    plays when training is killed; a resumed run goes on from the frames up to its checkpoint. When training
    ends, the GIF becomes the TensorBoard image `images/training`, where it plays too.

    Args:
        every_n_epochs: a frame after every n-th epoch, counted from 1, and after the last.
        num_images: how many points of the prior.
        frame_ms: how long each frame stays.
        hold_last_ms: how long the last frame stays before the GIF starts again.
        seed: of the points.

    Raises:
        ValueError: `every_n_epochs` or `num_images` is below 1, or a duration below 20 ms.
    """

    def __init__(
        self,
        every_n_epochs: int = 1,
        num_images: int = 36,
        frame_ms: int = 300,
        hold_last_ms: int = 2500,
        seed: int = 0,
    ):
        super().__init__("training", every_n_epochs, num_images)
        require_at_least("frame_ms", frame_ms, 20)
        require_at_least("hold_last_ms", hold_last_ms, 20)
        self.frame_ms = frame_ms
        self.hold_last_ms = hold_last_ms
        self.seed = seed
        self._frames: dict[int, GifFrame] = {}  # by epoch; compressed, so that an old frame costs no work

    def choose(self, trainer: Trainer, vae: PictureModel) -> Float[Tensor, "N D"]:
        return vae.sample_prior(self.num_images, self.seed)

    def draw(self, vae: PictureModel, fixed: Float[Tensor, "N D"]) -> UInt8[np.ndarray, "H W 3"]:
        return image_grid(vae.generate(fixed), columns=math.ceil(math.sqrt(len(fixed))))

    def publish(self, trainer: Trainer, epoch: int, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        picture = with_caption(picture, f"epoch {epoch}")
        write_atomically(self.path(trainer, epoch), encode_png(picture))
        self._frames[epoch] = gif_frame(picture)
        write_atomically(Path(trainer.default_root_dir) / "training.gif", self._gif())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        resumed = trainer.global_step > 0
        if trainer.is_global_zero:
            self._frames = self._kept_frames(trainer, last_epoch=trainer.current_epoch if resumed else -1)
        if not resumed:
            self.draw_and_publish(trainer, pl_module, epoch=0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        if self._frames:
            gif, frame = self._gif(), self._frames[min(self._frames)]
            size = {"height": frame.height, "width": frame.width}
            image = Summary.Image(**size, colorspace=3, encoded_image_string=gif)
            summary = Summary(value=[Summary.Value(tag="images/training", image=image)])
            for logger in tensorboard_loggers(trainer):
                # add_video would want moviepy; TensorBoard shows the bytes of an image summary as they are.
                logger.experiment._get_file_writer().add_summary(summary, current_step(trainer))

    def _gif(self) -> bytes:
        frames = [self._frames[epoch] for epoch in sorted(self._frames)]
        return join_frames(frames, self.frame_ms, self.hold_last_ms)

    def _kept_frames(self, trainer: Trainer, last_epoch: int) -> dict[int, GifFrame]:
        """The frames on disk up to that epoch; later ones, of a future given up, are deleted."""
        frames = {}
        for path in self.path(trainer, 0).parent.glob("epoch_*.png"):
            epoch = int(path.stem.removeprefix("epoch_"))
            if epoch > last_epoch:
                path.unlink()
            else:
                frames[epoch] = gif_frame(np.array(Image.open(path).convert("RGB")))
        return frames
