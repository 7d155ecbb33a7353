"""What a process prints: its log as plain lines, and a label before them where several print at once."""

import io
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from vae_lightning.disk.unwritten import spared
from vae_lightning.errors import plain_lines
from vae_lightning.machine.terminal import is_quiet, write_line

_NO_NEWS = (  # Lightning's warnings of what is so on purpose, or its own affair
    "LeafSpec",
    "not supported by the model summary",
    "the logging interval",
    "exists and is not empty",
    "`srun` command is available",
    "could not find the monitored key",  # before the first validation; after it, this is an error
    "resuming from a checkpoint that ended before the epoch ended",  # exactly: see callbacks/within_epoch
)


class _Terminal(logging.Handler):
    """Writes to stdout, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        # Or the file on a full disk that it is sent to; and a pipe may be read no further.
        with suppress(BrokenPipeError), spared("the terminal"):
            write_line(plain_lines(self.format(record)))


def configure_logging() -> None:
    """Send this project's log to the terminal as plain lines, and of the libraries' only warnings.

    Where it is to be quiet, of this project too; a run's train.log has all lines.
    """
    terminal = _Terminal()
    terminal.setLevel(logging.WARNING if is_quiet() else logging.NOTSET)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    for name, level in {"vae_lightning": logging.INFO, "py.warnings": logging.WARNING}.items():
        logger = logging.getLogger(name)
        logger.handlers = [terminal]
        logger.setLevel(level)
        logger.propagate = False
    for module in ("pytorch.utilities.rank_zero", "fabric.utilities.rank_zero", "fabric.utilities.distributed"):
        logging.getLogger(f"lightning.{module}").setLevel(logging.WARNING)
    for message in _NO_NEWS:
        warnings.filterwarnings("ignore", message=f".*{message}.*")


@contextmanager
def silent(is_silent: bool = True) -> Iterator[None]:
    """Print nothing of this project's log meanwhile, if so: another process tells the same."""
    logger = logging.getLogger("vae_lightning")
    terminals = [handler for handler in logger.handlers if is_silent and isinstance(handler, _Terminal)]
    for terminal in terminals:
        terminal.addFilter(_nothing)
    try:
        yield
    finally:
        for terminal in terminals:
            terminal.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False


class _Labelled(io.TextIOBase):
    """Puts a label before every line on its way to a stream, which is a terminal to nobody."""

    def __init__(self, stream: TextIO, label: str):
        self._stream = stream
        self._label = label
        self._unfinished = ""

    def write(self, text: str) -> int:
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        if lines:  # in one call, so that lines of several processes don't mix
            self._stream.write("".join(f"{self._label}{line}\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


@contextmanager
def labelled(label: str) -> Iterator[None]:
    """Put the label before every line that this process prints meanwhile; an empty one leaves all as it is."""
    before = sys.stdout, sys.stderr
    if label:
        labelled_output(label)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def labelled_output(label: str) -> None:
    """Put the label before every line that this process prints from here on; there are no progress bars then."""
    sys.stdout, sys.stderr = _Labelled(sys.stdout, label), _Labelled(sys.stderr, label)
