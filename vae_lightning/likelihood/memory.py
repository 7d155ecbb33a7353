"""How much memory the samples of an image take while their weights are computed."""

import math
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vae_lightning.likelihood.log_weights import Looked, log_weights
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.models.parts import decoder_shape
from vae_lightning.noise import Seeded

_OF_KERNELS = 2  # of what tensors take: kernels of convolutions, and the plans kept of them, take half as much and more


@dataclass(frozen=True)
class LatentMemory:
    """What is taken at most while latents are drawn and decoded and their images' likelihoods computed.

    Attributes:
        fixed: bytes, however few latents there are: what a VampPrior makes of its own images, most of all.
        per_latent: bytes that each one adds.
    """

    fixed: int
    per_latent: int

    def most(self, budget: float) -> int:
        """The latents that there may be at a time within so many bytes; 0 where one is too much."""
        return max(0, int((budget - self.fixed) // self.per_latent))


@torch.no_grad()
def latent_memory(vae: LatentModel, image_shape: tuple[int, int, int]) -> LatentMemory:
    """Found by doing so with one and with two latents, operation by operation: the same ones, with more in them."""
    parameter = next(vae.parameters(), torch.zeros(()))
    x = torch.zeros(2, *image_shape, device=parameter.device, dtype=parameter.dtype)
    labels = vae.told(torch.zeros(2, dtype=torch.int64, device=x.device))
    images = Looked(x, vae.observe(x, labels), labels)
    lives = []
    for count in (1, 2):
        with LiveMemory() as memory:
            log_weights(vae, images[:count], Seeded(0, count, x.device))
        lives.append(memory.live)
    if len(lives[0]) != len(lives[1]):  # other operations for two than for one: they begin and end with different ones
        lives = [[max(live)] for live in lives]
    least = (math.prod(decoder_shape(vae.likelihood, image_shape)) + vae.latent_dim) * parameter.element_size()
    per_latent = max(least, *(two - one for one, two in zip(*lives, strict=True)))
    fixed = max(0, *(2 * one - two for one, two in zip(*lives, strict=True)))
    return LatentMemory(_OF_KERNELS * fixed, _OF_KERNELS * per_latent)


class LiveMemory(TorchDispatchMode):
    """The bytes of the tensors that were made within it and are still there.

    What kernels take for themselves is not seen.

    Attributes:
        live: after each operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live: list[int] = []
        self._now = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                self._note(each.untyped_storage())
        self.live.append(self._now)
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self._now += size
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self._now -= size
