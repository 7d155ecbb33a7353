"""The evidence lower bound as a score."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float64
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.scores.score import AnomalyScore, ScoredBatch


@dataclass(frozen=True)
class ELBOScore(AnomalyScore):
    """-(rate + distortion) at beta = 1, in nats: low for images that the model does not expect.

    Simple images have a high one, strange or not (arXiv 1810.09136); `InputComplexity` and `LikelihoodRegret` are
    answers to that.

    Attributes:
        num_samples: latents of each image; None is as many as in training.

    Raises:
        ValueError: a num_samples below 1.
    """

    label: ClassVar[str] = "ELBO"
    unit: ClassVar[str] = "nats"
    worse: ClassVar[Literal["high", "low"]] = "low"
    num_samples: int | None = None

    def __post_init__(self) -> None:
        require_at_least("num_samples", 1 if self.num_samples is None else self.num_samples, 1)

    def __call__(self, batch: ScoredBatch) -> Float64[Tensor, " B"]:
        return batch.elbo(self.num_samples)
