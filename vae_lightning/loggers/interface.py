"""What every logger of this project can be told, beside figures and hyperparameters, which any of Lightning's gets."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import Logger


class RunLogger(Logger, ABC):
    """A logger that takes pictures, texts and the end of a run, too; called on rank zero only.

    It is built with those of these arguments that its signature names: `run_dir`, the run directory; `first_step`, the
    first step that a resumed run makes, else 0; `output_dir`, the folder of all runs by the command that was given, not
    by a resumed run's config. A logger of Lightning's is none of these: it is built with what was typed for it alone,
    and gets figures and hyperparameters.
    """

    @abstractmethod
    def show_picture(self, tag: str, encoded: bytes, size: tuple[int, int], step: int) -> None:
        """Take a PNG or a GIF.

        Args:
            tag: `images/<name>` of a PNG, `animations/<name>` of a GIF.
            encoded: the file's bytes.
            size: width and height in pixels.
            step: the optimizer step that it was drawn after, counted from 0.
        """

    @abstractmethod
    def show_text(self, tag: str, text: str) -> None:
        """Take a text of several lines, such as the run's config, in place of the one that it had."""

    @abstractmethod
    def end(self, status: str, reason: str | None, figures: Mapping[str, Any]) -> None:
        """Take the end of the run, after which nothing comes; called again it does nothing.

        Args:
            status: finished, failed or interrupted.
            reason: why, where that is to be said.
            figures: what metrics.json has of a finished run, else nothing.
        """
