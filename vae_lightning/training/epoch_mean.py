"""The mean of the training loss over an epoch, exact and without waiting for the device until it is asked for."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


class EpochMean:
    """Of the images that were trained on so far; those of steps that were not finite do not count.

    Args:
        device: where the losses are, and the sum, in float64 but on MPS, which has none.
    """

    def __init__(self, device: torch.device):
        self._sums = torch.zeros(2, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)

    def add(self, loss: Float[Tensor, " B"]) -> None:
        """Take the losses of a batch."""
        total = loss.detach().sum(dtype=self._sums.dtype)
        pair = torch.stack([total, torch.full_like(total, len(loss))])
        self._sums += torch.where(total.isfinite(), pair, 0.0)

    def state(self) -> Float[Tensor, " 2"]:
        """The sum of the losses and the number of images, float64 on the CPU."""
        return self._sums.to("cpu", torch.float64, copy=True)

    def restore(self, state: Float[Tensor, " 2"]) -> None:
        """Go on from what `state` gave."""
        self._sums.copy_(state)

    def value(self, summed_over_ranks: Callable[[Tensor], Tensor]) -> float | None:
        """The mean over all ranks' images, in nats; None before there are any. To be called on every rank."""
        total, count = summed_over_ranks(self._sums.clone()).tolist()
        return total / count if count else None
