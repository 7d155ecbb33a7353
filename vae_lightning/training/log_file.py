"""train.log: what is logged while a run trains, warnings too."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch import Trainer

from vae_lightning.disk.files import check_regular
from vae_lightning.disk.unwritten import HeldFile
from vae_lightning.errors import UserError, plain_lines
from vae_lightning.runs.records import RunDir


class _LogFile(logging.Handler):
    """Adds to train.log."""

    def __init__(self, path: Path):
        super().__init__()
        self._file = HeldFile(path, "train.log")

    def emit(self, record: logging.LogRecord) -> None:
        self._file.write((plain_lines(self.format(record)) + "\n").encode(errors="backslashreplace"))
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        super().close()


class _Kept(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]):
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


@contextmanager
def kept_records() -> Iterator[list[logging.LogRecord]]:
    """What this project logs meanwhile, for a file that is not there yet."""
    records: list[logging.LogRecord] = []
    logger, handler = logging.getLogger("vae_lightning"), _Kept(records)
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


@contextmanager
def log_file(run_dir: RunDir, trainer: Trainer, before: Iterable[logging.LogRecord] = ()) -> Iterator[None]:
    """Send what is logged, warnings too, to train.log as well; and first what was logged before."""
    if not trainer.is_global_zero:
        yield
        return
    handler = _opened_log(run_dir)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = [
        logging.getLogger("vae_lightning"),
        logging.getLogger("lightning.pytorch"),
        logging.getLogger("py.warnings"),
    ]
    for record in before:
        handler.handle(record)
    logging.captureWarnings(True)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        logging.captureWarnings(False)
        handler.close()


def _opened_log(run_dir: RunDir) -> _LogFile:
    try:
        check_regular(run_dir.path / "train.log")
    except ValueError as error:
        raise UserError(f"{run_dir.path / 'train.log'}: {error}; remove it") from error
    return _LogFile(run_dir.path / "train.log")
