"""The strangest images of a stream, kept with what is shown of them."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

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

    Their pixels lie in memory that is taken once: small pieces of their own, taken and given back while large ones come
    and go, would keep ever more of the large ones from being given back.

    Args:
        most: of each score.
        num_scores: how many there are.
    """

    def __init__(self, most: int, num_scores: int):
        self._most = most
        self._heaps: list[list[tuple[float, int, int]]] = [[] for _ in range(num_scores)]
        self._order = count()  # of images that are equally strange the first stay
        self._places: dict[int, int] = {}  # of each row that is kept
        self._free = list(range(most * num_scores + 1))
        self._pixels: UInt8[Tensor, "P 2 C H W"] | None = None

    def offer(self, batch: ScoredBatch, strangeness: Sequence[Float64[np.ndarray, " B"]]) -> None:
        """Take what is stranger than what is kept.

        Args:
            batch: its indices are the rows.
            strangeness: of each score, the higher the stranger; what is no number is the strangest.
        """
        for heap, values in zip(self._heaps, strangeness, strict=True):
            ranked = np.nan_to_num(values, nan=np.inf)
            for number in np.argsort(-ranked, kind="stable")[: self._most].tolist():
                value, row = float(ranked[number]), int(batch.indices[number])
                if len(heap) < self._most:
                    heapq.heappush(heap, (value, -next(self._order), row))
                elif value > heap[0][0]:
                    self._forget(heapq.heapreplace(heap, (value, -next(self._order), row))[2])
                else:
                    break
                self._keep(row, batch, number)

    def shown(self) -> list[ShownImage]:
        """All that are kept, each once, in the order of their rows."""
        assert self._pixels is not None, "something was offered"
        return [ShownImage(row, *self._pixels[place].unbind()) for row, place in sorted(self._places.items())]

    def _keep(self, row: int, batch: ScoredBatch, number: int) -> None:
        if row in self._places:
            return
        if self._pixels is None:
            self._pixels = torch.empty(len(self._free), 2, *batch.images.shape[1:], dtype=torch.uint8)
        self._places[row] = self._free.pop()
        self._pixels[self._places[row], 0] = batch.images[number]
        self._pixels[self._places[row], 1] = to_uint8(batch.made[number]).cpu()

    def _forget(self, row: int) -> None:
        """Give the place of a row back that no score keeps any more."""
        if all(row != kept for heap in self._heaps for _, _, kept in heap):
            self._free.append(self._places.pop(row))


def stacked(shown: Sequence[ShownImage]) -> tuple[UInt8[Tensor, "N C H W"], UInt8[Tensor, "N C H W"]]:
    """The images, and their reconstructions."""
    return torch.stack([each.image for each in shown]), torch.stack([each.made for each in shown])
