"""How long an epoch, and the run, will still take."""

import time
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Periodic(Protocol):
    """What acts after some epochs and after the last one; `took` is how many seconds the last time, None before it."""

    took: float | None

    def is_due(self, epoch: int) -> bool:
        """Whether it acts after this epoch, counted from 1, be it the last or not."""
        ...


def after_last_epoch(callbacks: Iterable[Any], last: int) -> tuple[float, bool]:
    """How many seconds the pictures take that come after the last epoch alone, as far as that is known.

    Args:
        callbacks: of the run.
        last: the number of its last epoch; what is due there anyway takes its part of the epochs' time.

    Returns:
        those of the ones that have been drawn, and whether there are others, of which nothing is known yet.
    """
    drawing = [each for each in callbacks if isinstance(each, Periodic)]
    seconds = sum(each.took or 0.0 for each in drawing if not each.is_due(last))
    return seconds, any(each.took is None for each in drawing)


class TimeLeft:
    """Estimates from the batches of this epoch and from the epochs before it, by the clock alone.

    What comes after the last epoch is not in it (`after_last_epoch`), nor that early stopping may end a run before.
    """

    def __init__(self) -> None:
        self._epochs: list[float] = []  # seconds of each, with its validation and pictures
        self._began = 0.0
        self._mark = 0.0
        self._batches = 0
        self._counted, self._seconds = 0, 0.0  # of training in this epoch
        self._pace: float | None = None  # seconds a batch
        self._validation = 0.0  # seconds of the last one

    def begin_epoch(self, batches: int) -> None:
        """An epoch begins, of which so many batches are trained on already."""
        now = time.monotonic()
        if self._began:
            self._epochs.append(now - self._began)
        self._began = self._mark = now
        self._batches, self._counted, self._seconds = batches, 0, 0.0

    def count(self, batches: int) -> None:
        """So many batches of the epoch are trained on now."""
        now = time.monotonic()
        if self._pace is not None:  # the very first ones pay for compilation and the workers' start
            self._counted += batches - self._batches
            self._seconds += now - self._mark
        self._pace = self._seconds / self._counted if self._counted else (now - self._mark) / (batches - self._batches)
        self._batches, self._mark = batches, now

    def begin_validation(self) -> None:
        """A validation begins, within the epoch or after its last batch."""
        self._mark = time.monotonic()

    def end_validation(self) -> None:
        """A validation ends, and training goes on."""
        now = time.monotonic()
        self._validation, self._mark = now - self._mark, now

    def ends(self, num_batches: int, epochs_left: int | None) -> tuple[float | None, float | None]:
        """When the epoch and the run end, as `time.monotonic` tells; None while it is not known.

        Args:
            num_batches: of an epoch.
            epochs_left: after this one; None where there is no end.
        """
        if self._pace is None:
            return None, None
        epoch_ends = self._mark + self._pace * (num_batches - self._batches) + self._validation
        if epochs_left is None:
            return epoch_ends, None
        epochs = self._epochs[1:] or self._epochs  # the first one has set everything up, and may be a part of one
        whole = sum(epochs) / len(epochs) if epochs else self._pace * num_batches + self._validation
        return epoch_ends, epoch_ends + epochs_left * whole
