"""How much memory the samples of an image take while their weights are computed."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vae_lightning.likelihood.log_weights import Looked, log_weights
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.noise import Seeded

_OF_KERNELS = 2  # of what tensors take: kernels of convolutions, and the plans kept of them, take half as much and more


@torch.no_grad()
def bytes_per_latent(vae: LatentModel, image_shape: tuple[int, int, int]) -> int:
    """At most so much memory one more latent takes while it is drawn, decoded and its image's likelihood computed.

    Found by doing so with one and with two.
    """
    parameter = next(vae.parameters(), torch.zeros(()))
    x = torch.zeros(2, *image_shape, device=parameter.device, dtype=parameter.dtype)
    labels = vae.told(torch.zeros(2, dtype=torch.int64, device=x.device))
    images = Looked(x, vae.observe(x, labels), labels)
    peaks = []
    for count in (1, 2):
        with PeakMemory() as memory:
            log_weights(vae, images[:count], Seeded(0, count, x.device))
        peaks.append(memory.peak)
    return (peaks[1] - peaks[0]) * _OF_KERNELS


class PeakMemory(TorchDispatchMode):
    """The bytes of the tensors that are made within it, of as many as there are at once.

    What kernels take for themselves is not seen.

    Attributes:
        peak: the most that there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                self._note(each.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self._now -= size
