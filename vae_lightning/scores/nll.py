"""The importance-weighted likelihood as a score."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.metrics.log_likelihood import LogLikelihood, why_no_likelihood
from vae_lightning.runs.trained import TrainedRun
from vae_lightning.scores.score import AnomalyScore, ScoredBatch


@dataclass(frozen=True)
class NLLScore(AnomalyScore):
    """-log p(x) by importance sampling (arXiv 1509.00519), in nats; in expectation an upper bound.

    Attributes:
        num_samples: K, latents of each image. Papers' likelihoods take thousands; to order images few will do.

    Raises:
        ValueError: a num_samples below 1.
    """

    label: ClassVar[str] = "NLL"
    unit: ClassVar[str] = "nats"
    num_samples: int = 16

    def __post_init__(self) -> None:
        require_at_least("num_samples", self.num_samples, 1)

    def why_not(self, run: TrainedRun) -> str | None:
        return why_no_likelihood(run.vae, run.kind)

    @torch.no_grad()
    def __call__(self, batch: ScoredBatch) -> Float64[Tensor, " B"]:
        run = batch.run
        sampled = LogLikelihood().sampler(run.vae, run.preprocessing.image_shape, batch.seed, "test", self.num_samples)
        parts = [bounds.log_likelihood for _, bounds in sampled(batch.x, batch.indices, batch.labels)]
        return -torch.cat(parts)
