"""The whole training as one animation: samples by the same noise, a frame an epoch."""

import logging
import math
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from lightning.pytorch import LightningModule, Trainer
from PIL import Image

from vae_lightning.callbacks.averaging import averages
from vae_lightning.callbacks.periodic import undisturbed
from vae_lightning.callbacks.pictures import PictureCallback
from vae_lightning.callbacks.source import TrainingSource
from vae_lightning.disk.files import open_regular, write_atomically
from vae_lightning.disk.unwritten import spared
from vae_lightning.drawing.captions import AVERAGED, with_caption, with_note
from vae_lightning.drawing.films import Film
from vae_lightning.drawing.gifs import GifFrame, gif_frame, join_frames, pixels_of
from vae_lightning.drawing.grids import sample_grid
from vae_lightning.drawing.png import encode_png
from vae_lightning.errors import require_frame_duration
from vae_lightning.loggers.showing import show_picture
from vae_lightning.pictures.picture import Drawing
from vae_lightning.pictures.samples import Samples

log = logging.getLogger("vae_lightning")

_MOST_BYTES, _MOST_PIXELS = 64_000_000, 16_000_000  # of a frame that is read again


class TrainingGif(PictureCallback):
    """Keeps `<run>/training.gif` up to date: the mean images of samples, from epoch 0, untrained, on.

    Each frame is also `<run>/images/training/epoch_0000.png`. The GIF is whole after every epoch, so that it
    plays when training is killed; a resumed run goes on from the frames up to its checkpoint. When training
    ends, the GIF becomes the TensorBoard image `animations/training`, where it plays too, and the frames
    `<run>/training.mp4`, where a video can be encoded.

    Args:
        every_n_epochs: a frame after every n-th epoch, counted from 1, and after the last.
        num_images: how many samples.
        frame_ms: how long each frame stays.
        hold_last_ms: how long the last frame stays before the GIF starts again.
        seed: of their noise, which is that of the picture `Samples`; None is the run's.

    Raises:
        ValueError: `every_n_epochs` or `num_images` is below 1, or a duration below 20 ms.
    """

    def __init__(
        self,
        every_n_epochs: int | None = 1,
        num_images: int = 36,
        frame_ms: int = 300,
        hold_last_ms: int = 2500,
        seed: int | None = None,
    ):
        super().__init__(Samples(every_n_epochs=every_n_epochs, num_images=num_images, seed=seed), "training")
        require_frame_duration("frame_ms", frame_ms)
        require_frame_duration("hold_last_ms", hold_last_ms)
        self.frame_ms = frame_ms
        self.hold_last_ms = hold_last_ms
        self._frames: dict[int, GifFrame] = {}  # by epoch; compressed, so that an old frame costs no work

    def drawn(self, source: TrainingSource) -> Drawing:
        seen = self.picture.look(source)
        return Drawing(sample_grid(seen.images, seen.rows))

    def publish(self, trainer: Trainer, epoch: int, drawing: Drawing) -> None:
        # Without the run's name: a caption that outgrew the picture would give the frames different sizes.
        below = with_note(drawing.picture, AVERAGED) if averages(trainer) else drawing.picture
        picture = with_caption(below, f"epoch {epoch}")
        self._frames = _of_one_size(self._frames | {epoch: gif_frame(picture)})
        self.write(trainer, self.path(trainer, epoch), encode_png(picture))
        write_atomically(Path(trainer.default_root_dir) / "training.gif", self._gif())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        resumed = trainer.global_step > 0
        if trainer.is_global_zero:
            self._frames = self._kept_frames(trainer, last_epoch=trainer.current_epoch if resumed else -1)
        if not resumed:
            with undisturbed(trainer, pl_module):
                self.act(trainer, pl_module, epoch=0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        if self._frames:
            frame = self._frames[min(self._frames)]
            show_picture(trainer, "animations/training", self._gif(), (frame.width, frame.height))
            with spared("pictures"):
                self._write_video(trainer)

    def _write_video(self, trainer: Trainer) -> None:
        video = Film(partial(self._read_frames, trainer), self.frame_ms, self.hold_last_ms).mp4()
        if video is not None:
            write_atomically(Path(trainer.default_root_dir) / "training.mp4", video)

    def _read_frames(self, trainer: Trainer) -> Iterator[UInt8[np.ndarray, "_ _ 3"]]:
        """One after the other from their files, which have their true colours; from the GIF where one is damaged."""
        for epoch, frame in sorted(self._frames.items()):
            picture = _read_picture(self.path(trainer, epoch))
            is_whole = picture is not None and picture.shape == (frame.height, frame.width, 3)
            yield picture if picture is not None and is_whole else pixels_of(frame)

    def _gif(self) -> bytes:
        frames = [self._frames[epoch] for epoch in sorted(self._frames)]
        return join_frames(frames, self.frame_ms, self.hold_last_ms)

    def _kept_frames(self, trainer: Trainer, last_epoch: int) -> dict[int, GifFrame]:
        """The frames on disk up to that epoch; later ones, of a future given up, are deleted."""
        frames: dict[int, GifFrame] = {}
        for path in self.path(trainer, 0).parent.glob("epoch_*.png"):
            number = re.fullmatch(r"epoch_(\d{4,9})", path.stem)
            if number is None or not path.is_file():  # not this callback's
                continue
            epoch = int(number[1])
            if epoch > last_epoch:
                path.unlink()
            else:
                picture = _read_picture(path)
                frames |= {} if picture is None else {epoch: gif_frame(picture)}
        return _of_one_size(frames)


def _read_picture(path: Path) -> UInt8[np.ndarray, "H W 3"] | None:
    """The picture of a frame; None, and a word of it, where the file is damaged, as a power failure leaves it."""
    try:
        with open_regular(path, _MOST_BYTES, within=path.parent) as file, Image.open(file, formats=("PNG",)) as image:
            if math.prod(image.size) > _MOST_PIXELS:
                raise ValueError(f"{image.size[0]} x {image.size[1]} pixels")
            return np.array(image.convert("RGB"))
    except Exception as error:  # whatever a damaged file makes Pillow trip over
        log.warning("%s can't be read and is left out of training.gif (%s)", path, str(error) or type(error).__name__)
        return None


def _of_one_size(frames: dict[int, GifFrame]) -> dict[int, GifFrame]:
    """Those of the size that the newest has: a GIF has one."""
    if not frames:
        return frames
    newest = frames[max(frames)]
    size = (newest.width, newest.height)
    return {epoch: frame for epoch, frame in frames.items() if (frame.width, frame.height) == size}
