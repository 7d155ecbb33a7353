"""metrics.csv: what was logged, a row a step."""

import csv
import io
import math
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from vae_lightning.disk.files import open_for_appending, open_regular, write_atomically
from vae_lightning.disk.unwritten import append_whole, spared
from vae_lightning.errors import UserError
from vae_lightning.loggers.interface import RunLogger

_MOST_BYTES = 1_000_000_000  # of the metrics.csv that is gone on with


class MetricsCSV(RunLogger):
    """One row a step that logged something: epoch, step, then a column a metric, in order of appearance.

    Unlike Lightning's CSVLogger it goes on with the file of an interrupted run, of which it drops the rows from
    `first_step` on, and those of a test, which comes again at the end.
    """

    def __init__(self, run_dir: str, first_step: int = 0):
        super().__init__()
        self._file = Path(run_dir) / "metrics.csv"
        self._columns = ["epoch", "step"]
        self._rows: list[dict[str, Any]] = []
        self._num_written = 0  # of the rows; 0 also means that the file is to be written anew
        if first_step and self._file.is_file():
            try:
                self._read(first_step)
            except (OSError, ValueError, csv.Error) as error:
                raise UserError(f"{self._file}: can't be read ({error}); move it to have it written anew") from error

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row, or fill up the last one when it is of the same step."""
        row = {"step": step} | dict(metrics)
        if self._num_written < len(self._rows) and self._rows[-1].get("step") == step:
            self._rows[-1] |= row
        else:
            self._rows.append(row)

    @rank_zero_only
    def save(self) -> None:
        """Write what is new: append, or write anew when there are new columns; what can't be written waits."""
        with spared("metrics.csv"):
            self._save()

    def _save(self) -> None:
        new_columns = [name for row in self._rows[self._num_written :] for name in row if name not in self._columns]
        self._columns += dict.fromkeys(new_columns)
        if new_columns or not self._num_written:
            self._num_written = 0  # until the file has these columns
            header = io.StringIO(newline="")
            csv.DictWriter(header, self._columns).writeheader()
            write_atomically(self._file, header.getvalue() + self._text(self._rows))
        elif self._num_written < len(self._rows):
            with open_for_appending(self._file) as stream:
                append_whole(stream, self._text(self._rows[self._num_written :]).encode())
        self._num_written = len(self._rows)

    def show_picture(self, tag: str, encoded: bytes, size: tuple[int, int], step: int) -> None:
        """Nothing: it has figures only."""

    def show_text(self, tag: str, text: str) -> None:
        """Nothing: it has figures only."""

    def end(self, status: str, reason: str | None, figures: Mapping[str, Any]) -> None:
        """Nothing: status.json and metrics.json have it."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    def _text(self, rows: list[dict[str, Any]]) -> str:
        text = io.StringIO(newline="")
        csv.DictWriter(text, self._columns).writerows(rows)
        return text.getvalue()

    def _read(self, first_step: int) -> None:
        """Take over the rows before that step; a last one that a kill has cut short is of no use."""
        stream = io.TextIOWrapper(open_regular(self._file, _MOST_BYTES, within=self._file.parent), "utf-8", newline="")
        with stream:
            reader = csv.DictReader(stream)
            self._columns = list(reader.fieldnames or self._columns)
            rows = [{name: value for name, value in row.items() if name and value not in ("", None)} for row in reader]
        self._rows = [row for row in rows if _step_of(row) < first_step and not any(map(_is_of_test, row))]


def _step_of(row: Mapping[str, str]) -> float:
    """The step of a row that was read; infinite where it has none, as a torn one may not."""
    step = row.get("step", "")
    return int(step) if step.isdecimal() else math.inf


def _is_of_test(name: str) -> bool:
    return name.startswith("test/")
