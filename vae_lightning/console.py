"""What a command prints: its log, its one-line errors, and what a finished run leaves to look at."""

import io
import logging
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from vae_lightning.errors import UserError, one_line, plain_lines
from vae_lightning.interruption import exit_code
from vae_lightning.run_dir import RunDir, typed
from vae_lightning.unwritten import spared
from vae_lightning.world import given_world

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
        with spared("the terminal"):  # or the file on a full disk that it is sent to
            tqdm.write(plain_lines(self.format(record)), file=sys.stdout)
            sys.stdout.flush()


def configure_logging() -> None:
    """Send this project's log to the terminal as plain lines, and of the libraries' only warnings."""
    terminal = _Terminal()
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


def labelled_output(label: str) -> None:
    """Put the label before every line that this process prints from here on; there are no progress bars then."""
    sys.stdout, sys.stderr = _Labelled(sys.stdout, label), _Labelled(sys.stderr, label)


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn a UserError into one line on stderr and exit code 1, Ctrl-C into exit code 130 and SIGTERM into 143.

    With HYDRA_FULL_ERROR=1 the traceback is shown instead.
    """
    configure_logging()
    try:
        yield
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(1 if given_world().rank else f"error: {one_line(error)}")  # every rank has the error, one tells it
    except KeyboardInterrupt as interrupt:
        if not given_world().rank:
            print(": ".join(["interrupted", *map(one_line, interrupt.args)]), file=sys.stderr)
        sys.exit(exit_code(interrupt))


def print_run(run_dir: RunDir, output_dir: str) -> None:
    """Tell where a finished run's figures and pictures are; `output_dir` holds all runs."""
    metrics = run_dir.metrics()
    lines = [("run directory", str(run_dir.path))]
    lines += [("" if number else "pictures", line) for number, line in enumerate(_pictures(run_dir.path))]
    for name in ("elbo", "rate", "distortion"):
        value, stderr = metrics[f"test/{name}"], metrics[f"test/{name}_stderr"]
        lines.append((f"test {name}", f"{value:,.2f} +- {stderr:.2f} nats per image"))
    lines.append(("", f"({metrics['test/kind']})"))
    lines.append(("TensorBoard", f"{_command('vae-tensorboard', 'dashboard')} --logdir {output_dir}"))
    lines.append(("more pictures", f"{_command('vae-generate', 'generate')} {typed('run', run_dir.path)} mode=samples"))
    lines.append(("more figures", f"{_command('vae-evaluate', 'evaluate')} {typed('run', run_dir.path)}"))
    print()
    for name, text in lines:
        print(f"{name:<16}{one_line(text)}")


def _command(script: str, module: str) -> str:
    """A command as it can be typed here: the virtual environment may not be active."""
    if shutil.which(script):
        return script
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return f"{shown} -m vae_lightning.{module}"


def _pictures(path: Path) -> list[str]:
    """Where the pictures of a run directory lie, and of what kinds there are."""
    gif, folder = path / "training.gif", path / "images"
    kinds = ", ".join(sorted(kind.name for kind in folder.glob("*") if kind.name != "training"))
    lines = [str(gif)] if gif.is_file() else []
    return [*lines, *textwrap.wrap(f"{folder}/: {kinds}", 100, break_on_hyphens=False)] if kinds else lines
