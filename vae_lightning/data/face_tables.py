"""CelebA's tables of a number for each picture, as they come or as Kaggle has them."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vae_lightning.data.tables import QuotingError
from vae_lightning.disk.files import read_text
from vae_lightning.errors import UserError

logger = logging.getLogger(__name__)

_MOST_BYTES = 200_000_000  # the attributes have 27 MB


@dataclass(frozen=True)
class FaceTable:
    """A whole number of each picture in each column.

    Attributes:
        path: of the file.
        source: how messages call where it lies, as `data.root=data`.
        columns: their names.
        rows: of each picture, by its name without folder.
        values: [pictures, columns].
    """

    path: Path
    source: str
    columns: tuple[str, ...]
    rows: Mapping[str, int]
    values: Int64[np.ndarray, "N C"]

    @property
    def names(self) -> set[str]:
        """Those of the pictures."""
        return set(self.rows)

    def check_covers(self, names: Iterable[str]) -> None:
        """Raises UserError for pictures that the table does not have."""
        absent = [name for name in names if name not in self.rows]
        if absent:
            raise UserError(
                f"{self.source}: {len(absent):,} pictures are not in {self.path.name}, as {absent[0]!r}; give the "
                "whole table, or remove them"
            )

    def tell_missing(self, count: int) -> None:
        """Says how many pictures the table has that are not there."""
        logger.warning("%s: %s of the pictures in %s are not there", self.source, f"{count:,}", self.path.name)

    def of(self, names: Sequence[str]) -> dict[str, Int64[Tensor, " N"]]:
        """The columns, of these pictures in their order."""
        values = torch.from_numpy(self.values)[[self.rows[name] for name in names]]
        return {column: values[:, number].contiguous() for number, column in enumerate(self.columns)}


def read_table(path: Path, source: str, meanings: Mapping[str, int], columns: Sequence[str] | None = None) -> FaceTable:
    """A table of CelebA: a line for each picture, with commas in a .csv and blanks else.

    Args:
        path: of the file.
        source: as in `FaceTable`.
        meanings: of what stands in the columns.
        columns: their names; None where the file has them, in its first line or after the number of pictures.

    Raises UserError for a file that can't be read, or that is no such table.
    """
    try:
        lines = [line.replace(",", " ").split() for line in read_text(path, _MOST_BYTES).splitlines() if line.strip()]
        if path.suffix == ".csv":
            header, lines = lines[0][1:], lines[1:]
        elif columns is None:
            header, lines = lines[1], lines[2:]
        else:
            header = []
        names = tuple(columns or header)
        values = np.array([[meanings[word] for word in words] for _, *words in lines], np.int64)
        if not lines or values.shape != (len(lines), len(names)):
            raise ValueError(f"its {len(lines):,} lines have not {len(names)} columns each")
        return FaceTable(path, source, names, {words[0]: row for row, words in enumerate(lines)}, values)
    except KeyError as error:
        none, told = f"is none of {', '.join(meanings)}); get it anew", f"{source}: {path.name} is no table of CelebA ("
        raise QuotingError(f"{told}{error.args[0]!r} {none}", f"{told}a word {none}") from None
    except (OSError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
    raise UserError(f"{source}: {path.name} is no table of CelebA ({reason}); get it anew")
