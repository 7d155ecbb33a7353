"""TensorBoard's event files, in the run directory."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary

from vae_lightning.loggers.event_files import shown_points, summary_writer, tags_written
from vae_lightning.loggers.figures import LOSS_OF_EPOCH
from vae_lightning.loggers.interface import RunLogger

_PLACES = {"elbo": 1, "loss": 2, "rate": 3, "distortion": 4}
_BESIDE_ALL = "epoch"  # a figure that stands beside every other


class TensorBoard(TensorBoardLogger, RunLogger):
    """TensorBoard events written into the run directory itself.

    Args:
        run_dir: the run directory.
        first_step: events of an interrupted run at this step or later are hidden; 0 hides none.
    """

    def __init__(self, run_dir: str, first_step: int = 0):
        super().__init__(save_dir=run_dir, name="", version="", default_hp_metric=False)
        self._experiment: Any = None
        self._first_step = first_step
        self._shown: set[tuple[str, int]] | None = None
        self._has_old_tags: bool | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """PyTorch's SummaryWriter, on files that a full disk does not end."""
        if self._experiment is None:
            self._experiment = summary_writer(self.log_dir, self._first_step)
        return self._experiment

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add figures, but for those of a test that an interrupted run has made before."""
        tagged = {self.tag(name): value for name, value in metrics.items()}
        new = {tag: value for tag, value in tagged.items() if step is None or not self.has_shown(tag, step)}
        super().log_metrics(new, step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: `hparams.write_entry` writes them with how the run ended, which a killed one can't say itself."""

    def show_picture(self, tag: str, encoded: bytes, size: tuple[int, int], step: int) -> None:
        if not self.has_shown(tag, step):
            add_picture(self, tag, encoded, size, step)

    def show_text(self, tag: str, text: str) -> None:
        add_text(self, tag, text)

    def end(self, status: str, reason: str | None, figures: Mapping[str, Any]) -> None:
        """Nothing: `log_hyperparams` says why."""

    def has_shown(self, tag: str, step: int) -> bool:
        """Whether an interrupted run has left that figure or image at a step before the first."""
        if step >= self._first_step:
            return False
        if self._shown is None:
            self.save()
            self._shown = shown_points(Path(self.log_dir))
        return (tag, step) in self._shown

    def tag(self, name: str) -> str:
        """What a figure is called here: its `tag_of`, but its own name in a run that has begun so, as all once did."""
        if self._has_old_tags is None:
            written = tags_written(Path(self.log_dir)) if self._first_step else ()
            names = {_BESIDE_ALL: True, tag_of(_BESIDE_ALL): False}
            self._has_old_tags = next((names[tag] for tag in written if tag in names), False)
        return name if self._has_old_tags else tag_of(name)

    def save(self) -> None:
        """Flush the events; the base class would also leave an hparams.yaml beside the run's config.yaml."""
        self.experiment.flush()


def tag_of(name: str) -> str:
    """The tag of a figure, such as `1 elbo/val` of `val/elbo`.

    TensorBoard orders groups by name, and opens the first: ELBO and loss, then the other terms, schedules and speed.
    Final figures, pictures and those of the test come behind them, since digits come before all else.
    """
    split, _, figure = name.rpartition("/")
    if not split:
        return f"5 schedules/{name}"
    if name == "train/images_per_s":
        return "6 speed/images_per_s"
    if name == LOSS_OF_EPOCH:
        return f"{tag_of('train/loss')}_epoch"
    return f"{_PLACES.get(figure, 7)} {figure}/{split}" if split in ("train", "val") else name


def add_picture(logger: TensorBoardLogger, tag: str, encoded: bytes, size: tuple[int, int], step: int) -> None:
    """Give TensorBoard a PNG or a GIF of (width, height) as it is; its own `add_video` would want moviepy."""
    width, height = size
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
    summary = Summary(value=[Summary.Value(tag=tag, image=image)])
    logger.experiment._get_file_writer().add_summary(summary, step)


def add_text(logger: TensorBoardLogger, tag: str, text: str) -> None:
    """Give TensorBoard a text with its line breaks and columns, which it takes for Markdown."""
    logger.experiment.add_text(tag, "".join(f"    {line}\n" for line in text.splitlines()))
