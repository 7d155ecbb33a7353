"""Typicality: how far an image's likelihood is from what is usual, upwards or downwards."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.scores.score import AnomalyScore, ScoredBatch


@dataclass(frozen=True)
class Typicality(AnomalyScore):
    """|ELBO(x) - mean ELBO of the validation images|, in nats (arXiv 1906.02994, for single images).

    An image that is much likelier than usual is strange, too. The paper has the likelihood where this has its bound.

    Attributes:
        num_samples: latents of each image; None is as many as in training.
        usual: the mean ELBO; None for that of the run's validation images, which are then looked at.

    Raises:
        ValueError: a num_samples below 1.
    """

    label: ClassVar[str] = "typicality"
    unit: ClassVar[str] = "nats"
    num_samples: int | None = None
    usual: float | None = None

    def __post_init__(self) -> None:
        require_at_least("num_samples", 1 if self.num_samples is None else self.num_samples, 1)

    def fitted(self, usual: Callable[[], Iterable[ScoredBatch]]) -> "Typicality":
        if self.usual is not None:
            return self
        elbo = torch.cat([batch.elbo(self.num_samples) for batch in usual()])
        return replace(self, usual=float(elbo.mean()))

    @property
    def learned(self) -> float | None:
        return self.usual

    def with_learned(self, learned: float) -> "Typicality":
        return self if self.usual is not None else replace(self, usual=learned)

    def __call__(self, batch: ScoredBatch) -> Float64[Tensor, " B"]:
        assert self.usual is not None, "fitted"
        return (batch.elbo(self.num_samples) - self.usual).abs()
