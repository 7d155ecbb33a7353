"""What the loggers have in common that tell a service of a run: when it begins there, and what may go wrong."""

import itertools
import logging
import time
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from vae_lightning.errors import UserError, first_line, one_line
from vae_lightning.loggers.interface import RunLogger
from vae_lightning.loggers.told import Told

log = logging.getLogger("vae_lightning")

_PATIENCE_S = 30.0  # between two tries to reach a service that was not reached
_MOST_HELD = 10_000  # rows of figures that wait for it


@dataclass(frozen=True)
class Row:
    """Figures of one step; `time` is in seconds since 1970."""

    time: float
    step: int | None
    figures: dict[str, float]


class Tracker(RunLogger, ABC):
    """A logger that tells a service of a run.

    The run begins there when the training does, on rank zero. From then on nothing that the service does ends the
    training: what goes wrong is told once, figures are held until it is well again, and the run directory has them all.
    A resumed run goes on there under its name, and what has been told of a step is not told again.

    Args:
        run_dir: the run directory, which knows the run's name at the service.
        first_step: the first step of a resumed run, else 0.

    Attributes:
        service: the name of the logger's YAML.
        pattern: of the names of its runs, a regular expression.
        most_figures: that one request takes; a row that has more is sent alone.
    """

    service: ClassVar[str]
    pattern: ClassVar[str]
    most_figures: ClassVar[int] = 1

    def __init__(self, run_dir: str, first_step: int = 0):
        super().__init__()
        self.run_dir = Path(run_dir).absolute()
        self.told = Told(self.run_dir / f"{self.service}.json", self.pattern, is_resumed=first_step > 0)
        self._begun: Any = None
        self._has_ended = False
        self._held: list[Row] = []
        self._failed_at: float | None = None

    @abstractmethod
    def begin(self, known: str | None) -> tuple[Any, str]:
        """Begin the run at the service, or go on with the one of that name.

        Returns:
            what users of the service work with, and the run's name.
        """

    @abstractmethod
    def send_settings(self, settings: Mapping[str, Any]) -> None:
        """Tell of the hyperparameters, in place of those told before."""

    @abstractmethod
    def send_figures(self, rows: list[Row]) -> None:
        """Tell of figures: of all of them, or it fails and they are sent again."""

    @abstractmethod
    def send_picture(self, tag: str, encoded: bytes, step: int) -> None:
        """Tell of a picture or an animation: see `RunLogger.show_picture`."""

    @abstractmethod
    def send_text(self, tag: str, text: str) -> None:
        """Tell of a text: see `RunLogger.show_text`."""

    @abstractmethod
    def send_end(self, status: str, reason: str | None, figures: Mapping[str, Any]) -> None:
        """Tell of the end: see `RunLogger.end`."""

    @property
    def name(self) -> str:
        return self.service

    @property
    def version(self) -> str | None:
        return self.told.run

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """What users of the service work with, such as W&B's run; the run begins there, unless it has.

        Raises:
            UserError: it can't begin.
        """
        if self._begun is None:
            try:
                self._begun, run = self.begin(self.told.run)
            except UserError:
                raise
            except Exception as error:  # of the network, of the disk, of the service
                why = f"can't begin at {self.address} ({_in_words(error)})"
                raise UserError(f"logger={self.service}: the run {why}") from error
            self.told.begin(run)
        return self._begun

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Begin the run, if it has not, and tell of its hyperparameters."""
        settings = vars(params) if isinstance(params, Namespace) else params
        _ = self.experiment
        with self._spared():
            self.send_settings(settings)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Take figures, which `save` tells of."""
        new = {name: value for name, value in metrics.items() if self.told.is_new(name, step)}
        if new:
            self._held.append(Row(time.time(), step, new))
            del self._held[:-_MOST_HELD]

    @rank_zero_only
    def save(self) -> None:
        """Tell of the figures that wait, unless the service was not reached a moment ago."""
        if self._held and self._is_due():
            self._send_held()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Tell of what waits; it is no end, for Lightning calls this after the training and after the test."""
        self.save()

    @rank_zero_only
    def show_picture(self, tag: str, encoded: bytes, size: tuple[int, int], step: int) -> None:
        if self.told.is_new(tag, step) and self._is_due():
            with self._spared():
                self.send_picture(tag, encoded, step)
                self._note({tag: encoded}, step)

    @rank_zero_only
    def show_text(self, tag: str, text: str) -> None:
        if self._is_due():
            with self._spared():
                self.send_text(tag, text)

    @rank_zero_only
    def end(self, status: str, reason: str | None, figures: Mapping[str, Any]) -> None:
        if self._begun is None or self._has_ended:
            return
        self._has_ended = True
        if self._held:
            self._send_held()
        with self._spared():
            self.send_end(status, reason, figures)

    @property
    def address(self) -> str:
        """Where the service is, for messages."""
        return self.service

    @property
    def run_name(self) -> str:
        """How the run is shown: the last two names of its directory, `<date>/<time>_<name>` or `<sweep>/<number>`."""
        return "/".join(self.run_dir.parts[-2:])

    @property
    def sweep(self) -> str | None:
        """The name of the directory of the sweep that the run is a job of."""
        folder = self.run_dir.parent
        return folder.name if self.run_dir.name.isdecimal() and (folder / "multirun.yaml").is_file() else None

    def _send_held(self) -> None:
        _ = self.experiment
        with self._spared():
            try:
                while self._held:
                    self._send_first()
            finally:
                self.told.write()

    def _send_first(self) -> None:
        """Send those rows that wait longest, as many as a request takes, which then wait no more."""
        totals = itertools.accumulate(len(row.figures) for row in self._held)
        count = max(1, sum(1 for _ in itertools.takewhile(lambda total: total <= self.most_figures, totals)))
        rows = self._held[:count]
        self.send_figures(rows)
        del self._held[:count]
        for row in rows:
            self.told.add(row.figures, row.step)

    def _note(self, tags: Mapping[str, Any], step: int) -> None:
        self.told.add(tags, step)
        self.told.write()

    def _is_due(self) -> bool:
        return self._failed_at is None or time.monotonic() - self._failed_at > _PATIENCE_S

    @contextmanager
    def _spared(self) -> Iterator[None]:
        """Let what is told to the service fail without ending the training: said once, until it succeeds."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            if self._failed_at is None:
                log.warning("logger=%s: %s; the run goes on without it", self.service, _in_words(error))
            self._failed_at = time.monotonic()
        else:
            if self._failed_at is not None:
                self._failed_at = None
                log.info("logger=%s: can be told again", self.service)


def written(folder: str, name: str, content: bytes) -> str:
    """The path of a new file with that content, for services that copy files as they are."""
    path = Path(folder) / name
    path.write_bytes(content)
    return str(path)


def _in_words(error: BaseException) -> str:
    """What it was in the end, below all that services wrap it into."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return one_line(first_line(error))[:500]
