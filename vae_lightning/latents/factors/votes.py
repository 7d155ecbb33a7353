"""Images that share a factor's value, drawn from those that are there: no generator of images is asked."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from vae_lightning.latents.factors.intervals import Rows
from vae_lightning.latents.factors.table import FactorTable

BATCH = 64  # images, or pairs of them, behind a vote
NUM_TRAIN, NUM_TEST = 10_000, 5_000  # votes, as disentanglement_lib has them
_VALUES = 2**21  # of codes at a time: 16 MB


@dataclass(frozen=True)
class Sharing:
    """Rows by the value that one factor has in them.

    Attributes:
        rows: those of one value after those of another.
        starts: where each value begins.
        counts: how many rows have it.
    """

    rows: Rows
    starts: Int64[np.ndarray, " K"]
    counts: Int64[np.ndarray, " K"]

    def batches(self, num: int, generator: np.random.Generator) -> Int64[np.ndarray, "num 64"]:
        """64 rows each, with replacement, that share the value of a row drawn at random."""
        value = self._values((num, 1), generator)
        place = (generator.random((num, BATCH)) * self.counts[value]).astype(np.int64)
        return self.rows[self.starts[value] + place]

    def pairs(self, num: int, generator: np.random.Generator) -> Int64[np.ndarray, "2 num 64"]:
        """64 pairs of two rows each; a pair shares the value of a row drawn at random, and others may have another."""
        value = self._values((num, BATCH), generator)
        count = self.counts[value]
        first = (generator.random(count.shape) * count).astype(np.int64)
        step = 1 + (generator.random(count.shape) * (count - 1)).astype(np.int64)
        return self.rows[self.starts[value] + np.stack([first, (first + step) % count])]

    def _values(self, shape: tuple[int, int], generator: np.random.Generator) -> Int64[np.ndarray, "..."]:
        return generator.choice(len(self.counts), shape, p=self.counts / self.counts.sum())


def sharing(table: FactorTable, rows: Rows) -> list[Sharing]:
    """These rows by the value of each factor, without values that only one of them has, unless all are such."""
    return [_sharing(factor.classes[rows], rows) for factor in table.factors]


def parts(num_votes: int, num_latents: int) -> list[int]:
    """The votes to be counted at a time, so that their codes take little memory."""
    most = max(1, _VALUES // (BATCH * num_latents))
    return [min(most, num_votes - start) for start in range(0, num_votes, most)]


def _sharing(classes: Int64[np.ndarray, " n"], rows: Rows) -> Sharing:
    order = np.argsort(classes, kind="stable")
    _, starts, counts = np.unique(classes[order], return_index=True, return_counts=True)
    enough = counts > 1 if (counts > 1).any() else counts > 0
    return Sharing(rows[order], starts[enough].astype(np.int64), counts[enough].astype(np.int64))
