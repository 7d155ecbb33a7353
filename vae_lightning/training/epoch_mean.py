"""The mean of the training loss over an epoch, exact and without waiting for the device until it is asked for."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


class EpochMean:
    """Of the images that were trained on so far.

    Args:
        device: where the losses are, and the sum, in float64 but on MPS, which has none.
        skips: whether batches whose loss is not finite are to be left out; else there are none but the last.
    """

    def __init__(self, device: torch.device, *, skips: bool = False):
        self._total = torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
        self._left_out = torch.zeros_like(self._total)  # images
        self._count = 0.0
        self._skips = skips

    def reset(self) -> None:
        """Begin another epoch."""
        self._total.zero_()
        self._left_out.zero_()
        self._count = 0.0

    def add(self, loss: Float[Tensor, " B"]) -> None:
        """Take the losses of a batch, on the device alone: may be captured in a CUDA graph."""
        total = loss.detach().sum(dtype=self._total.dtype)
        if self._skips:
            self._left_out += len(loss) * ~total.isfinite()
            total = total.where(total.isfinite(), 0.0)
        self._total += total

    def count(self, num_images: int) -> None:
        """Of how many images the losses of a batch were."""
        self._count += num_images

    def state(self) -> Float[Tensor, " 2"]:
        """The sum of the losses and the number of images, float64 on the CPU."""
        return self._sums().to("cpu", torch.float64)

    def restore(self, state: Float[Tensor, " 2"]) -> None:
        """Go on from what `state` gave."""
        self._total.copy_(state[0])
        self._left_out.zero_()
        self._count = float(state[1])

    def value(self, summed_over_ranks: Callable[[Tensor], Tensor]) -> float | None:
        """The mean over all ranks' images, in nats; None before there are any. To be called on every rank."""
        total, count = summed_over_ranks(self._sums()).tolist()
        return total / count if count else None

    def _sums(self) -> Float[Tensor, " 2"]:
        return torch.stack([self._total, self._count - self._left_out])
