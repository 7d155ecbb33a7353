"""The whole training as one animation: the same points of the prior, a frame an epoch."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import Float
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch import Tensor

from vae_lightning.arguments import require_at_least
from vae_lightning.callbacks.periodic import undisturbed
from vae_lightning.callbacks.pictures import (
    Drawing,
    FixedPictureCallback,
    PictureModel,
    encode_png,
    log_encoded_image,
    write_atomically,
)
from vae_lightning.figures.captions import with_caption
from vae_lightning.figures.gifs import GifFrame, gif_frame, join_frames
from vae_lightning.figures.grids import image_grid


class TrainingGif(FixedPictureCallback):
    """Keeps `<run>/training.gif` up to date: the mean images of fixed z, from epoch 0, untrained, on.

    Each frame is also `<run>/images/training/epoch_0000.png`. The GIF is whole after every epoch, so that it
    plays when training is killed; a resumed run goes on from the frames up to its checkpoint. When training
    ends, the GIF becomes the TensorBoard image `animations/training`, where it plays too.

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
        every_n_epochs: int | None = 1,
        num_images: int = 36,
        frame_ms: int = 300,
        hold_last_ms: int = 2500,
        seed: int = 0,
    ):
        super().__init__("training", every_n_epochs, chosen_by={"num_images": num_images, "seed": seed})
        require_at_least("num_images", num_images, 1)
        require_at_least("frame_ms", frame_ms, 20)
        require_at_least("hold_last_ms", hold_last_ms, 20)
        self.num_images = num_images
        self.frame_ms = frame_ms
        self.hold_last_ms = hold_last_ms
        self.seed = seed
        self._frames: dict[int, GifFrame] = {}  # by epoch; compressed, so that an old frame costs no work

    def choose(self, trainer: Trainer, vae: PictureModel) -> Float[Tensor, "N D"]:
        return vae.sample_prior(self.num_images, self.seed)

    def look(self, trainer: Trainer, pl_module: LightningModule) -> Float[Tensor, "N C H W"]:
        return pl_module.vae.generate(self.fixed_on(pl_module.device))

    def draw(self, seen: Float[Tensor, "N C H W"], context: str) -> Drawing:
        return Drawing(image_grid(seen, columns=math.ceil(math.sqrt(len(seen)))))

    def publish(self, trainer: Trainer, epoch: int, drawing: Drawing) -> None:
        # Without the run's name: a caption that outgrew the picture would give the frames different sizes.
        picture = with_caption(drawing.picture, f"epoch {epoch}")
        write_atomically(self.path(trainer, epoch), encode_png(picture))
        self._frames[epoch] = gif_frame(picture)
        write_atomically(Path(trainer.default_root_dir) / "training.gif", self._gif())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        resumed = trainer.global_step > 0
        if trainer.is_global_zero:
            self._frames = self._kept_frames(trainer, last_epoch=trainer.current_epoch if resumed else -1)
        if not resumed:
            with undisturbed(pl_module):
                self.act(trainer, pl_module, epoch=0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        if self._frames:
            frame = self._frames[min(self._frames)]
            log_encoded_image(trainer, "animations/training", self._gif(), (frame.width, frame.height))

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
