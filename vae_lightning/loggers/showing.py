"""How pictures and animations reach the loggers of a run."""

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary

from vae_lightning.loggers.figures import current_step
from vae_lightning.loggers.tensorboard import TensorBoard


def tensorboard_loggers(trainer: Trainer) -> list[TensorBoardLogger]:
    """Those that there are."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def show_picture(trainer: Trainer, tag: str, encoded: bytes, size: tuple[int, int]) -> None:
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
