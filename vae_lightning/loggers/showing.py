"""How pictures, texts, hyperparameters and the end of a run reach its loggers."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from vae_lightning.loggers.figures import current_step
from vae_lightning.loggers.hparams import hyperparameters
from vae_lightning.loggers.interface import RunLogger
from vae_lightning.loggers.tensorboard import add_picture, add_text


def tensorboard_loggers(trainer: Trainer) -> list[TensorBoardLogger]:
    """Those that there are."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def show_picture(trainer: Trainer, tag: str, encoded: bytes, size: tuple[int, int]) -> None:
    """Give the loggers a PNG or a GIF of (width, height); TensorBoard gets the bytes as they are, Lightning's own, too.

    What an interrupted run has shown of the weights that it is gone on from is not shown twice.
    """
    step = current_step(trainer)
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            logger.show_picture(tag, encoded, size, step)
        elif isinstance(logger, TensorBoardLogger):
            add_picture(logger, tag, encoded, size, step)


def show_text(trainer: Trainer, tag: str, text: str) -> None:
    """Give the loggers a text of several lines."""
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            logger.show_text(tag, text)
        elif isinstance(logger, TensorBoardLogger):
            add_text(logger, tag, text)


def show_start(trainer: Trainer, config: dict[str, Any]) -> None:
    """Give every logger, Lightning's own, too, the hyperparameters of a run's resolved config."""
    for logger in trainer.loggers:
        logger.log_hyperparams(hyperparameters(config))


def show_end(trainer: Trainer, status: str, reason: str | None, figures: Mapping[str, Any]) -> None:
    """Tell the loggers how the run has ended: `RunLogger.end`."""
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            logger.end(status, reason, figures)
