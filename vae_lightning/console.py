"""What a command prints: its log, its one-line errors, and what a finished run leaves to look at."""

import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from vae_lightning.errors import UserError
from vae_lightning.run_dir import RunDir

_NO_NEWS = (  # Lightning's warnings of what is so on purpose, or its own affair
    "LeafSpec",
    "not supported by the model summary",
    "the logging interval",
    "exists and is not empty",
)


class _Terminal(logging.Handler):
    """Writes to stdout, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
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
    for library in ("pytorch", "fabric"):
        logging.getLogger(f"lightning.{library}.utilities.rank_zero").setLevel(logging.WARNING)
    for message in _NO_NEWS:
        warnings.filterwarnings("ignore", message=f".*{message}.*")


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn a UserError into one line on stderr and exit code 1, Ctrl-C into exit code 130.

    With HYDRA_FULL_ERROR=1 the traceback is shown instead.
    """
    configure_logging()
    try:
        yield
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as interrupt:
        print(": ".join(["interrupted", *map(str, interrupt.args)]), file=sys.stderr)
        sys.exit(130)


def print_run(run_dir: RunDir, output_dir: str) -> None:
    """Tell where a finished run's figures and pictures are; `output_dir` holds all runs."""
    metrics = run_dir.metrics()
    lines = [("run directory", str(run_dir.path))]
    lines += [("picture", str(picture)) for picture in pictures(run_dir.path)]
    for name in ("elbo", "rate", "distortion"):
        value, stderr = metrics[f"test/{name}"], metrics[f"test/{name}_stderr"]
        lines.append((f"test {name}", f"{value:,.2f} +- {stderr:.2f} nats per image"))
    lines.append(("", f"({metrics['test/kind']})"))
    lines.append(("TensorBoard", f"{_tensorboard()} --logdir {output_dir}"))
    print()
    for name, text in lines:
        print(f"{name:<16}{text}")


def _tensorboard() -> str:
    """The command that starts TensorBoard, as it can be typed here: the virtual environment may not be active."""
    if shutil.which("vae-tensorboard"):
        return "vae-tensorboard"
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return f"{shown} -m vae_lightning.dashboard"


def pictures(path: Path) -> list[Path]:
    """The newest picture of each kind in a run directory, the training GIF first."""
    folders = sorted(folder for folder in (path / "images").glob("*") if folder.is_dir())
    newest = [max(folder.glob("*.png"), default=None) for folder in folders if folder.name != "training"]
    return [file for file in [path / "training.gif", *newest] if file is not None and file.is_file()]
