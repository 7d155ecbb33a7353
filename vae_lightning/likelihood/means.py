"""Exact means over a data set, whatever the batch size and the number of ranks."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Mean:
    """A mean over images with its standard error, the sample's standard deviation over sqrt(count); of one none."""

    value: float
    stderr: float | None
    count: int


class ExactMeans:
    """Accumulates per-image terms in float64: every image counts once, however it was batched."""

    def __init__(self):
        self._moments: dict[str, Tensor] = {}

    def update(self, terms: dict[str, Float[Tensor, " B"]]) -> None:
        """Add one batch of terms, by name."""
        for name, values in terms.items():
            values = values.detach()
            values = (values.cpu() if values.device.type == "mps" else values).double()  # MPS has no float64
            count = torch.full_like(values[0], len(values))
            moments = torch.stack([count, values.sum(), values.square().sum()])
            self._moments[name] = self._moments[name] + moments if name in self._moments else moments

    def compute(self, sum_over_ranks: Callable[[Tensor], Tensor] = lambda moments: moments) -> dict[str, Mean]:
        """The means of all terms; `sum_over_ranks` adds a tensor up over the processes that share the data."""
        return {name: _mean(sum_over_ranks(moments)) for name, moments in self._moments.items()}


def _mean(moments: Tensor) -> Mean:
    count, total, total_of_squares = moments.tolist()
    value = total / count
    if count < 2:
        return Mean(value, None, int(count))
    variance = max(total_of_squares / count - value**2, 0.0) * count / (count - 1)
    return Mean(value, sqrt(variance / count), int(count))
