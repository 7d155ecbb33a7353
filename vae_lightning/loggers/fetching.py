"""Numbers on their way from a GPU to the host, which goes on meanwhile."""

from typing import final

import torch
from torch import Tensor


@final
class Fetched:
    """A few numbers, asked for when this is made; what is computed later does not change them.

    Args:
        values: of any shape and device; on the CPU they are there at once.
    """

    def __init__(self, values: Tensor):
        self._event: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._values = values.detach().to("cpu", non_blocking=True)  # into pinned memory, or it would be waited for
            self._event = torch.cuda.Event()
            self._event.record()
        else:
            self._values = values.detach().clone()

    def numbers(self) -> list[float]:
        """The numbers, flat, once the device has got so far."""
        if self._event is not None:
            self._event.synchronize()
        numbers: list[float] = self._values.flatten().tolist()
        return numbers
