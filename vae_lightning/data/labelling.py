"""What is known of pictures besides their pixels: labels by the folders they lie in, or by a table, and factors."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from vae_lightning.data.tables import (
    QuotingError,
    Table,
    below_split,
    located,
    parsed,
    pictures_meant,
    read_lines,
    without_columns,
    wrapping_folder,
)
from vae_lightning.errors import UserError, one_line

logger = logging.getLogger(__name__)

NONE, AUTO, FOLDERS = "none", "auto", "folders"
_MOST_FOLDERS = 1000  # that are taken for classes unasked
_MOST_TOLD = 6  # classes in a message
_WITH_COMMA = re.compile(r"[+-]?([0-9]+(,[0-9]*)?|,[0-9]+)([eE][+-]?[0-9]+)?")
_OF_SPLITS = "split"  # the column of a table that is no factor, for `data.split_file` reads it


@dataclass(frozen=True)
class Labelled:
    """What is known of N pictures.

    Attributes:
        labels: the number of each one's class; None for pictures without labels.
        class_names: by that number.
        factors: further facts by name: numbers, or where they have names the number of it.
        factor_names: of those with names, by number.
    """

    labels: Int64[Tensor, " N"] | None = None
    class_names: tuple[str, ...] | None = None
    factors: Mapping[str, Tensor] | None = None
    factor_names: Mapping[str, tuple[str, ...]] | None = None

    def of(self, indices: Int64[Tensor, " M"]) -> "Labelled":
        """The same of some of the pictures."""
        labels = None if self.labels is None else self.labels[indices]
        factors = None if self.factors is None else {name: each[indices] for name, each in self.factors.items()}
        return Labelled(labels, self.class_names, factors, self.factor_names)


@dataclass(frozen=True)
class Labelling:
    """Finds the labels of pictures.

    Attributes:
        source: how messages call the pictures, as `data.root=faces`.
        labels: `none`; `folders`, the one that each picture lies in; `auto`, the same where they look like classes;
            or a table with the columns file and label, whose others are factors.
        key: by which that was given, for messages.
    """

    source: str
    labels: str
    key: str = "data.labels"

    def __call__(self, names: Sequence[str], root: Path, unreadable: Sequence[str] = ()) -> Labelled:
        """What is known of these pictures, in their order; where the labels are from is told.

        Args:
            names: of the pictures, relative to the root.
            root: where their files lie.
            unreadable: files that are left out, which a table may name.

        Raises:
            UserError: the folders, or the table, do not give each picture a label.
        """
        if self.labels == NONE:
            return Labelled()
        if self.labels in (AUTO, FOLDERS):
            return self._of_folders(names)
        return self._of_table(names, root, unreadable)

    def _of_folders(self, names: Sequence[str]) -> Labelled:
        folders = class_folders(names)
        other = next((name for name, folder in zip(names, folders, strict=True) if folder is None), None)
        count = len(set(folders))
        if self.labels == FOLDERS and other is not None:
            raise UserError(
                f"{self.source}: {self.key}=folders wants each image in the folder of its class, right below the root "
                f"or a split's folder; {other!r} is not"
            )
        if self.labels == FOLDERS and count < 2:
            raise UserError(f"{self.source}: {self.key}=folders wants folders of 2 classes or more, and there is one")
        if other is not None or count < 2:
            return Labelled()
        if self.labels == AUTO and count > _MOST_FOLDERS:
            told = "labels: %s folders are too many to be classes unasked; data.labels=folders takes them"
            logger.info(told, f"{count:,}")
            return Labelled()
        labels, classes = numbered([str(folder) for folder in folders])
        logger.info("labels: the %s folders %s", f"{count:,}", listed(classes))
        return Labelled(labels, classes)

    def _of_table(self, names: Sequence[str], root: Path, unreadable: Sequence[str]) -> Labelled:
        told = f"{self.key}={self.labels}"
        table = parsed(read_lines(located(self.labels, root), told), told)
        file, label = table.position("file"), table.position("label")
        if file is None or label is None:
            raise without_columns(table, "label")
        rows = _rows_of(table, file, names, unreadable, root)
        unlabelled = [name for name, row in zip(names, rows, strict=True) if not row[label]]
        if unlabelled:
            raise UserError(f"{told}: has no label for {len(unlabelled)} of its files, the first {unlabelled[0]!r}")
        labels, classes = numbered([row[label] for row in rows])
        columns = {
            name: [row[position] for row in rows]
            for position, name in enumerate(table.header)
            if position not in (file, label) and name.lower() != _OF_SPLITS
        }
        columns |= with_points(columns, told) if table.delimiter != "," else {}
        factors, factor_names = as_factors(columns)
        also = f"; factor{'s' if len(factors) > 1 else ''} {listed(list(factors))}" if factors else ""
        lost = len(table.rows) - len(names)
        are = "file is" if lost == 1 else "files are"
        left = f"; {lost:,} more {are} in it and not among the images" if lost else ""
        count = "class" if len(classes) == 1 else f"{len(classes):,} classes"
        logger.info("labels: the %s %s, by %s%s%s", count, listed(classes), told, also, left)
        _tell_of_lonely(labels, len(classes), told)
        return Labelled(labels, classes, factors or None, factor_names or None)


def _tell_of_lonely(labels: Int64[Tensor, " N"], num_classes: int, told: str) -> None:
    """Ask whether a column of labels is one of numbers or names that each image has for itself."""
    count = int((labels.bincount() == 1).sum())
    if num_classes > _MOST_TOLD and 2 * count > len(labels):
        alone = f"{count:,} of {len(labels):,} images have a class of their own"
        logger.warning("%s: %s: the column label may be a factor, which takes another name beside it", told, alone)


def class_folders(names: Sequence[str]) -> list[str | None]:
    """The folder of each picture right below the root, or below the folder of a split; None where it lies deeper, or in
    none.
    """
    wrapped = len(wrapping_folder(names)) if any(name.count("/") > 1 for name in names) else 0
    parts = [below_split(name[wrapped:]).split("/") for name in names]
    return [each[0] if len(each) == 2 else None for each in parts]


def _rows_of(table: Table, file: int, names: Sequence[str], unreadable: Sequence[str], root: Path) -> list[list[str]]:
    """The row of each picture."""
    meant = pictures_meant([row[file] for row in table.rows], [*names, *unreadable], table.told, root)
    rows = {picture: row for picture, row in zip(meant, table.rows, strict=True) if picture is not None}
    left = [name for name in names if name not in rows]
    if left:
        other = f"; its own first is {table.rows[0][file]!r}" if len(left) == len(names) else ""
        plain = f"{table.told}: has no row for {len(left)} of {len(names)} images, the first {left[0]!r}"
        raise QuotingError(f"{plain}{other}", plain)
    return [rows[name] for name in names]


def numbered(names: Sequence[str]) -> tuple[Int64[Tensor, " N"], tuple[str, ...]]:
    """Each name's number in their order, and the names: 2 before 10 where all are whole numbers."""
    shown = {name: _shown(name) for name in set(names)}
    different = set(shown.values())
    are_numbers = all(name.isascii() and name.isdigit() for name in different)
    ordered = sorted(different, key=(lambda name: (int(name), name)) if are_numbers else None)  # type: ignore[arg-type]
    numbers = {name: number for number, name in enumerate(ordered)}
    return torch.tensor([numbers[shown[name]] for name in names], dtype=torch.int64), tuple(ordered)


def _shown(name: str) -> str:
    """As letters that can be drawn and stored: a file name's bytes may be none."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def as_factors(columns: Mapping[str, Sequence[str]]) -> tuple[dict[str, Tensor], dict[str, tuple[str, ...]]]:
    """Columns of text as numbers: whole ones (int64), others (float32), and names as their numbers in sorted order.

    An empty cell among numbers is NaN.

    Returns:
        the factors [N] by name; and the names of those that have names.
    """
    factors: dict[str, Tensor] = {}
    names: dict[str, tuple[str, ...]] = {}
    for column, cells in columns.items():
        values = _numbers(cells)
        if values is None:
            factors[column], names[column] = numbered(cells)
        elif all(value.is_integer() and abs(value) < 2**53 for value in values):
            factors[column] = torch.tensor([int(value) for value in values], dtype=torch.int64)
        else:
            factors[column] = torch.tensor(values, dtype=torch.float32)
    return factors, names


def with_points(columns: Mapping[str, Sequence[str]], told: str) -> dict[str, list[str]]:
    """The columns whose numbers are written with decimal commas, with points in their place, which is told.

    Every cell that is not empty is a number, and one at least has a comma.
    """
    changed = {
        name: [cell.replace(",", ".") for cell in cells] for name, cells in columns.items() if _has_commas(cells)
    }
    for name, cells in changed.items():
        was, now = next((was, now) for was, now in zip(columns[name], cells, strict=True) if was != now)
        logger.info("%s", one_line(f"{told}: {name}: decimal commas: {was} is read as {now}"))
    return changed


def _has_commas(cells: Sequence[str]) -> bool:
    return any("," in cell for cell in cells) and all(_WITH_COMMA.fullmatch(cell) for cell in cells if cell)


def _numbers(cells: Sequence[str]) -> list[float] | None:
    """None unless all that is not empty are numbers, and something is."""
    try:
        return [float(cell) if cell else math.nan for cell in cells] if any(cells) else None
    except ValueError:
        return None


def listed(names: Sequence[str]) -> str:
    """Names as a message has them, the first few of many."""
    return one_line(", ".join(names[:_MOST_TOLD]) + (", ..." if len(names) > _MOST_TOLD else ""))
