"""The strangest images of a stream, kept with what is shown of them."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from vae_lightning.drawing.png import to_uint8
from vae_lightning.scores.score import ScoredBatch


@dataclass(frozen=True)
class ShownImage:
    """One image as the page has it.

    Attributes:
        row: its number among all that are scored.
        image: itself.
        made: its reconstruction.
    """

    row: int
    image: UInt8[Tensor, "C H W"]
    made: UInt8[Tensor, "C H W"]


class Worst:
    """For each score those so many images that are the strangest by it, of all that are offered.

    Args:
        most: of each score.
        num_scores: how many there are.
    """

    def __init__(self, most: int, num_scores: int):
        self._most = most
        self._heaps: list[list[tuple[float, int, ShownImage]]] = [[] for _ in range(num_scores)]
        self._order = count()  # of images that are equally strange the first stay

    def offer(self, batch: ScoredBatch, strangeness: Sequence[Float64[np.ndarray, " B"]]) -> None:
        """Take what is stranger than what is kept.

        Args:
            batch: its indices are the rows.
            strangeness: of each score, the higher the stranger; what is no number is the strangest.
        """
        kept: dict[int, ShownImage] = {}
        for heap, values in zip(self._heaps, strangeness, strict=True):
            ranked = np.nan_to_num(values, nan=np.inf)
            for place in np.argsort(-ranked, kind="stable")[: self._most].tolist():
                value = float(ranked[place])
                if len(heap) == self._most and value <= heap[0][0]:
                    break
                if place not in kept:
                    kept[place] = _shown(batch, place)
                entry: Any = (value, -next(self._order), kept[place])
                (heapq.heappush if len(heap) < self._most else heapq.heapreplace)(heap, entry)

    def shown(self) -> list[ShownImage]:
        """All that are kept, each once, in the order of their rows."""
        found = {shown.row: shown for heap in self._heaps for _, _, shown in heap}
        return [found[row] for row in sorted(found)]


def _shown(batch: ScoredBatch, place: int) -> ShownImage:
    made = to_uint8(batch.made[place].float().cpu())
    return ShownImage(int(batch.indices[place]), batch.images[place].clone(), made)


def stacked(shown: Sequence[ShownImage]) -> tuple[UInt8[Tensor, "N C H W"], UInt8[Tensor, "N C H W"]]:
    """The images, and their reconstructions."""
    return torch.stack([each.image for each in shown]), torch.stack([each.made for each in shown])
