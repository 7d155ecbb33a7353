"""The importance-weighted likelihood as a score."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.latents.aggregated import NO_DENSITY
from vae_lightning.likelihood.kind import is_in_nats
from vae_lightning.metrics.log_likelihood import OF_CODES, LogLikelihood
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
        if not is_in_nats(run.kind):
            return f"there is no log p(x) to estimate: the model has {run.kind}"
        if run.vae.is_discrete:
            return OF_CODES
        return None if run.vae.has_density else NO_DENSITY

    @torch.no_grad()
    def __call__(self, batch: ScoredBatch) -> Float64[Tensor, " B"]:
        run = batch.run
        sampled = LogLikelihood().sampler(run.vae, run.preprocessing.image_shape, batch.seed, "test", self.num_samples)
        parts = [bounds.log_likelihood for _, bounds in sampled(batch.x, batch.indices, batch.labels)]
        return -torch.cat(parts)
