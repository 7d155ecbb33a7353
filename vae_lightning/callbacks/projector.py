"""TensorBoard's embedding projector: the latents of validation images, to be turned and searched."""

import io
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from jaxtyping import Float32
from lightning.pytorch import LightningModule, Trainer
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from torch import Tensor
from torch.nn.functional import pad

from vae_lightning.callbacks.averaging import averages
from vae_lightning.callbacks.periodic import PeriodicCallback
from vae_lightning.callbacks.source import training_source
from vae_lightning.disk.files import folder_in, open_regular, read_text, write_atomically
from vae_lightning.disk.unwritten import spared
from vae_lightning.drawing.captions import AVERAGED
from vae_lightning.drawing.png import encode_png
from vae_lightning.drawing.sprites import sprite_sheet
from vae_lightning.errors import require_at_least
from vae_lightning.loggers.showing import tensorboard_loggers
from vae_lightning.pictures.picture import NothingToDrawError, check_finite
from vae_lightning.runs.source import Source

log = logging.getLogger("vae_lightning")

_FEWEST_COLUMNS = 3
_MOST_COLUMNS = 1000
_MOST_BYTES = 1_000_000_000  # of a tensor: 100,000 images of 1,000 dimensions


class Projector(PeriodicCallback):
    """Gives TensorBoard's PROJECTOR tab the posterior means of validation images, with labels and thumbnails.

    Each epoch that is shown is one more tensor to choose there, of the same images. Rank zero writes
    `<run>/projector/epoch_0005.tsv`, the images' `metadata.tsv` and `sprite.png` beside it, and
    `<run>/projector_config.pbtxt`, which a resumed run goes on with. Nothing without a TensorBoard logger.

    Of a hierarchy of more than 1,000 latent dimensions they are those of the top group alone.

    Args:
        every_n_epochs: after every n-th epoch, counted from 1, and after the last; None: after the last only.
        num_images: at most so many points.

    Raises:
        ValueError: `every_n_epochs` or `num_images` is below 1.
    """

    def __init__(self, every_n_epochs: int | None = 10, num_images: int = 2000):
        super().__init__(every_n_epochs)
        require_at_least("num_images", num_images, 1)
        self.num_images = num_images

    @property
    def doing(self) -> str:
        return "writing the projector"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if trainer.is_global_zero and tensorboard_loggers(trainer):
            _forget([path for path in _tensors(_folder(trainer)) if _epoch(path) > trainer.current_epoch])

    def act(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        if not (tensorboard_loggers(trainer) and trainer.is_global_zero):
            return
        source = training_source(trainer, pl_module, epoch)
        batch, latents = source.encoded("val", self.num_images)
        try:
            check_finite(latents)
        except NothingToDrawError as reason:
            log.warning("callbacks.projector: %s", reason)
            return
        with spared("the projector's files"):
            which = f", {AVERAGED}" if averages(trainer) else ""
            points = latents.loc if source.latent_dim <= _MOST_COLUMNS else latents.loc[:, : source.vae.code_dim]
            _write(folder_in(Path(trainer.default_root_dir), "projector"), epoch, points, batch, which, source)


def _write(folder: Path, epoch: int, points: Float32[Tensor, "N D"], batch: Any, which: str, source: Source) -> None:
    _forget([path for path in _tensors(folder) if _num_lines(path) != len(points)])
    write_atomically(folder / f"epoch_{epoch:04d}.tsv", _tsv(points))
    thumbnail = _write_images(folder, batch, source)
    _write_config(folder, _config(_tensors(folder), thumbnail, which))


def _folder(trainer: Trainer) -> Path:
    return Path(trainer.default_root_dir) / "projector"


def _tensors(folder: Path) -> list[Path]:
    own = [path for path in folder.glob("epoch_*.tsv") if re.fullmatch(r"epoch_\d{4,9}", path.stem) and path.is_file()]
    return sorted(own, key=_epoch, reverse=True)


def _epoch(path: Path) -> int:
    return int(path.stem.removeprefix("epoch_"))


def _num_lines(path: Path) -> int:
    with open_regular(path, _MOST_BYTES, within=path.parent.parent) as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1_000_000), b""))


def _forget(tensors: list[Path]) -> None:
    """Remove the tensors of a future given up, or of other images, first from the list: TensorBoard fails where it
    names a missing one.
    """
    for path in tensors:
        file = _config_file(path.parent)
        if file.exists():
            config = _read_config(file)
            kept = [each for each in config.embeddings if Path(each.tensor_path).name != path.name]
            _write_config(path.parent, ProjectorConfig(embeddings=kept))
        path.unlink()


def _read_config(file: Path) -> ProjectorConfig:
    """What an earlier process has written; nothing where that can't be read, for it is written anew."""
    try:
        return text_format.Parse(read_text(file, within=file.parent), ProjectorConfig())
    except (OSError, ValueError, text_format.ParseError):
        return ProjectorConfig()


def _config_file(folder: Path) -> Path:
    return folder.parent / "projector_config.pbtxt"


def _write_config(folder: Path, config: ProjectorConfig) -> None:
    write_atomically(_config_file(folder), text_format.MessageToString(config).encode())


def _tsv(points: Float32[Tensor, "N D"]) -> bytes:
    # TensorBoard draws along three components, and of points that have fewer it draws nothing.
    padded = pad(points, (0, max(0, _FEWEST_COLUMNS - points.shape[1])))
    buffer = io.BytesIO()
    np.savetxt(buffer, padded.numpy(), fmt="%.6g", delimiter="\t")
    return buffer.getvalue()


def _write_images(folder: Path, batch: Any, source: Source) -> tuple[int, int]:
    """What is the same at every epoch; returns the width and height of a thumbnail."""
    rows = [str(index) for index in batch.indices.tolist()]
    if batch.labels is not None:  # TensorBoard takes the first line for a header only where there are several columns
        labelled = zip(map(source.label_name, batch.labels.tolist()), rows, strict=True)
        rows = ["label\tindex", *(f"{label}\t{index}" for label, index in labelled)]
    write_atomically(folder / "metadata.tsv", "".join(f"{row}\n" for row in rows).encode())
    sheet, thumbnail = sprite_sheet(batch.images)
    write_atomically(folder / "sprite.png", encode_png(sheet))
    return thumbnail


def _config(tensors: list[Path], thumbnail: tuple[int, int], which: str) -> ProjectorConfig:
    """The newest epoch first: TensorBoard orders tensors by name as text, and shows the first when it is opened."""
    config = ProjectorConfig()
    for path in tensors:
        embedding = config.embeddings.add()
        words = "newest posterior means" if path == tensors[0] else "posterior means"
        embedding.tensor_name = f"{words}, epoch {_epoch(path):04d}{which}"
        embedding.tensor_path = f"projector/{path.name}"
        embedding.metadata_path = "projector/metadata.tsv"
        embedding.sprite.image_path = "projector/sprite.png"
        embedding.sprite.single_image_dim.extend(thumbnail)
    return config
