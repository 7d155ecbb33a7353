"""How much of a codebook a model of discrete codes uses, over a set of images."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_lightning.models.discrete import code_groups
from vae_lightning.models.latent_model import Group

WHY_NO_UNITS = "codes have no active units, but evaluate metrics=units tells how much of the codebook is used"


@dataclass(frozen=True)
class CodeUse:
    """How often each code of a codebook was chosen, at all positions of all images.

    Attributes:
        counts: of each of the K codes.
    """

    counts: Float64[Tensor, " K"]

    @property
    def share(self) -> float:
        """The part of the codes that was chosen at all, in [0, 1]."""
        return float((self.counts > 0).double().mean())

    @property
    def perplexity(self) -> float:
        """exp of the entropy of how often each is chosen: K where all are alike, 1 where it is always the same."""
        frequencies = self.counts / self.counts.sum()
        return math.exp(float(torch.special.entr(frequencies).sum()))

    def figures(self) -> dict[str, float]:
        """Both by name."""
        return {"codebook_use": self.share, "perplexity": self.perplexity}


class CodeMeter:
    """Accumulates `CodeUse`: every image counts once, however it was batched. It stays empty without codes."""

    def __init__(self) -> None:
        self._counts: Tensor | None = None

    def update(self, groups: Sequence[Group]) -> None:
        """Add one batch of images, by its groups of latents."""
        for indices, num_codes in code_groups(groups):
            counts = torch.bincount(indices.flatten(), minlength=num_codes)
            self._counts = counts if self._counts is None else self._counts + counts

    def compute(self, sum_over_ranks: Callable[[Tensor], Tensor] = lambda counts: counts) -> CodeUse | None:
        """The use, on the CPU; None where no image with codes was seen: by all ranks, or by none."""
        return None if self._counts is None else CodeUse(sum_over_ranks(self._counts).cpu().double())
