"""What a run tells its terminal: one line an epoch, and below them a bar where there is a terminal."""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar

from vae_lightning.callbacks.bar import AND_PICTURES, Bar, Shown, clock
from vae_lightning.callbacks.throughput import Throughput
from vae_lightning.callbacks.time_left import TimeLeft, after_last_epoch
from vae_lightning.errors import require_at_least
from vae_lightning.loggers.figures import LOSS_OF_EPOCH
from vae_lightning.machine.terminal import can_be_drawn_on

log = logging.getLogger("vae_lightning")  # goes to the terminal, above the bar, and to train.log
_FIGURES = {"loss": "train/loss", "elbo": "train/elbo"}
_READ_EVERY_S = 0.25  # what is read waits for the device
_TOLD_AFTER_S = 2.0
_LINE_EVERY_S = 30.0  # where there is no bar, and an epoch takes longer


class ProgressBar(LightningProgressBar):
    """A bar with loss, ELBO, images per second and the time left, and a line after each epoch that stays.

        epoch 3/20 ━━━━━╸    61%  loss 101.2  18,200 img/s  left: epoch 0:04, run 1:12

    It also shows a validation, the test, and which picture is being drawn. Where stdout is a file or a pipe there is no
    bar, only the lines, one every half minute within a longer epoch, and one for each picture after the last epoch that
    takes more than two seconds:

        epoch 3/20  train loss 101.2  val elbo -99.8  18200 images/s  4.1 s

    The time left of the run counts the pictures after its last epoch once they have been drawn; before, it is
    `run 1:12 + pictures`, or `run 1:12+` where a line has no room.

    The training loss is the mean over the epoch's images, and so is their number a second.

    Args:
        refresh_rate: at least so many batches between two looks at loss and ELBO; each one waits for the device.

    Raises:
        ValueError: `refresh_rate` is below 1.
    """

    def __init__(self, refresh_rate: int = 20):
        require_at_least("refresh_rate", refresh_rate, 1)
        super().__init__()
        self.refresh_rate = refresh_rate
        self._is_enabled = True
        self._shown = Shown()
        self._bar: Bar | None = None
        self._time_left = TimeLeft()
        self._epoch_start = 0.0
        self._read_at = 0.0
        self._told_at = 0.0
        self._validated = False
        self._num_batches = 0

    @property
    def total_train_batches(self) -> int:
        return self.trainer.datamodule.num_train_batches  # a step of Lightning's may take several

    def enable(self) -> None:
        self._is_enabled = True

    def disable(self) -> None:
        self._is_enabled = False
        self._stop()

    # From when to when there is a bar

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if self._is_enabled and trainer.is_global_zero and can_be_drawn_on(sys.stdout):
            self._shown = Shown("testing" if stage == "test" else "starting")
            self._bar = Bar(self._shown)
            self._bar.start()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    # Training

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._time_left = TimeLeft()
        self._told_at = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_start = time.perf_counter()
        self._validated = False
        self._num_batches = trainer.datamodule.first_batch
        self._time_left.begin_epoch(self._num_batches)
        self._show_training(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        before, self._num_batches = self._num_batches, self._num_batches + len(batch.images)
        self._time_left.count(self._num_batches)
        if self._bar is None:
            self._tell_of_long_epoch(trainer)
            return
        self._show_training(trainer)
        due = before // self.refresh_rate != self._num_batches // self.refresh_rate
        if due and time.monotonic() - self._read_at >= _READ_EVERY_S:
            self._read(trainer)

    def _tell_of_long_epoch(self, trainer: Trainer) -> None:
        now = time.monotonic()
        if now - self._told_at < _LINE_EVERY_S or not self._is_enabled or not trainer.is_global_zero:
            return
        self._told_at = now
        total, epochs_left = self.total_train_batches, _epochs_left(trainer)
        epoch_ends, run_ends = self._time_left.ends(total, epochs_left)
        left = [] if epoch_ends is None else [f"epoch {clock(epoch_ends - now)}"]
        if run_ends is not None:
            seconds, and_more = _pictures_after(trainer)
            left.append(f"run {clock(run_ends + seconds - now)}{AND_PICTURES if and_more else ''}")
        log.info("%s  %d%%  left: %s", _epoch(trainer), 100 * self._num_batches // max(total, 1), ", ".join(left))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._told_at = time.monotonic()
        if trainer.is_global_zero:
            log.info(self._line(trainer))
        if self._bar is not None:
            self._read(trainer)
            self._shown.epoch_ends = None
            if trainer.current_epoch + 1 == trainer.max_epochs:
                self._shown.run_ends = None

    def _show_training(self, trainer: Trainer) -> None:
        shown, total = self._shown, self.total_train_batches
        shown.task, shown.done, shown.total = _epoch(trainer), self._num_batches, total
        shown.epoch_ends, run_ends = self._time_left.ends(total, _epochs_left(trainer))
        seconds, shown.and_pictures = _pictures_after(trainer)
        shown.run_ends = None if run_ends is None else run_ends + seconds

    def _read(self, trainer: Trainer) -> None:
        metrics = trainer.callback_metrics
        figures = {label: f"{label} {_short(metrics[name])}" for label, name in _FIGURES.items() if name in metrics}
        if (rate := _images_per_second(trainer)) is not None:
            figures["img/s"] = f"{rate:,.0f} img/s"
        self._shown.figures = figures
        self._read_at = time.monotonic()

    # What comes between and after

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._time_left.begin_validation()
        self._shown.doing, self._shown.since = "validating", time.monotonic()

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        total = sum(trainer.num_val_batches)
        self._shown.doing = f"validating {100 * (batch_idx + 1) // max(total, 1)}%"

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._time_left.end_validation()
        self._shown.doing = ""
        self._validated = not trainer.sanity_checking

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._shown.task, self._shown.total = "testing", sum(trainer.num_test_batches)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._shown.done = batch_idx + 1

    @contextmanager
    def showing(self, what: str, *, tell: bool) -> Iterator[None]:
        """Show what is being done in the block, and for how long; as a line, if `tell`, where there is no bar."""
        if self._bar is None:
            waiting = threading.Timer(_TOLD_AFTER_S, log.info, [what])
            waiting.daemon = True
            if tell and self._is_enabled and self.trainer.is_global_zero:
                waiting.start()
            try:
                yield
            finally:
                waiting.cancel()
            return
        self._shown.doing, self._shown.since = what, time.monotonic()
        try:
            yield
        finally:
            self._shown.doing = ""

    def _line(self, trainer: Trainer) -> str:
        metrics = trainer.callback_metrics
        parts = [_epoch(trainer)]
        if LOSS_OF_EPOCH in metrics:
            parts.append(f"train loss {_short(metrics[LOSS_OF_EPOCH])}")
        found = [name for name in ("elbo", "loss") if f"val/{name}" in metrics]  # no ELBO of a code without noise
        if found and self._validated:  # else it would be an older epoch's
            parts.append(f"val {found[0]} {_short(metrics[f'val/{found[0]}'])}")
        if (rate := _images_per_second(trainer)) is not None:
            parts.append(f"{_short(rate)} images/s")
        return "  ".join([*parts, f"{time.perf_counter() - self._epoch_start:.1f} s"])


@contextmanager
def told_on_bar(trainer: Trainer, what: str, *, tell: bool = False) -> Iterator[None]:
    """Have the run's bar, if it has one, show what is being done in the block.

    Args:
        trainer: of the run.
        what: "drawing tsne".
        tell: whether it deserves a line where there is no bar, if it takes long.
    """
    bar = trainer.progress_bar_callback
    if not isinstance(bar, ProgressBar):
        yield
        return
    with bar.showing(what, tell=tell):
        yield


def _images_per_second(trainer: Trainer) -> float | None:
    """This epoch's mean; None where nothing measures it, or nothing of this epoch has been measured."""
    measuring = [callback for callback in trainer.callbacks if isinstance(callback, Throughput)]
    return measuring[0].epoch_images_per_second if measuring else None


def _epoch(trainer: Trainer) -> str:
    total = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{total}"


def _epochs_left(trainer: Trainer) -> int | None:
    """After this one; None where there is no end."""
    epochs = trainer.max_epochs or -1
    return epochs - trainer.current_epoch - 1 if epochs > 0 else None


def _pictures_after(trainer: Trainer) -> tuple[float, bool]:
    """`after_last_epoch`, where there is to be one."""
    return after_last_epoch(trainer.callbacks, trainer.max_epochs) if (trainer.max_epochs or -1) > 0 else (0.0, False)


def _short(value: Any) -> str:
    """About four digits: 0.1234, 101.2, 18200, 1.072e+34."""
    number = float(value)
    if abs(number) >= 1e7:
        return f"{number:.4g}"
    decimals = 0 if abs(number) >= 10_000 else 1 if abs(number) >= 10 else 4
    return f"{number:.{decimals}f}"
