"""What a run has logged while training, read from its metrics.csv."""

import csv
import io
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from vae_lightning.disk.files import open_regular

CURVES = ("val/elbo", "train/loss")
_OF_EPOCH = {"train/loss_epoch": "train/loss"}  # a mean over the epoch, in place of a batch's where there is one
Curve = list[tuple[int, float]]
_MOST_BYTES = 256_000_000
_MOST_ROWS, _MOST_EPOCHS = 1_000_000, 100_000
_LONGEST = 1_000_000  # characters of a line
_LAST_EPOCH = 10**9
_HUGE = 1e300  # no figure: sums and differences of such would be none


def read_curves(file: Path) -> dict[str, Curve]:
    """Of each metric the last value of each epoch, or where there is one the epoch's mean.

    The file counts epochs from 0 and people from 1.

    Raises:
        OSError, ValueError, csv.Error: it can't be read, or is too large: 1,000,000 rows and 100,000 epochs are taken.
    """
    points: dict[str, dict[int, float]] = {name: {} for name in (*CURVES, *_OF_EPOCH)}
    opened = open_regular(file, _MOST_BYTES, within=file.parent)
    with io.TextIOWrapper(opened, "utf-8", errors="replace") as stream:
        rows = _rows(stream)
        columns = {name: place for place, name in enumerate(next(rows, []))}
        if "epoch" not in columns:
            return {}
        for row in rows:
            epoch = _finite(row, columns["epoch"])
            if epoch is None or not 0 <= epoch < _LAST_EPOCH:
                continue
            for name in points:
                value = _finite(row, columns[name]) if name in columns else None
                if value is not None:
                    points[name][int(epoch) + 1] = value
                    if len(points[name]) > _MOST_EPOCHS:
                        raise ValueError(f"more than {_MOST_EPOCHS:,} epochs")
    for mean, name in _OF_EPOCH.items():
        points[name] |= points.pop(mean)
    return {name: sorted(values.items()) for name, values in points.items() if values}


def _rows(stream: io.TextIOWrapper) -> Iterator[list[str]]:
    """A row a line: figures have no line breaks, and a quote that is never closed would make a row of all lines."""
    for number in count():  # the names are number 0
        line = stream.readline(_LONGEST + 1)
        if not line:
            return
        if number > _MOST_ROWS:
            raise ValueError(f"more than {_MOST_ROWS:,} rows")
        if len(line) > _LONGEST:
            raise ValueError(f"a line of more than {_LONGEST:,} characters")
        yield next(csv.reader([line]), [])


def _finite(row: list[str], place: int) -> float | None:
    try:
        value = float(row[place])
    except (IndexError, ValueError):  # an empty cell, or the torn last line of a killed run
        return None
    return value if abs(value) < _HUGE else None
