"""The rate as a score."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float64
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.scores.score import AnomalyScore, ScoredBatch


@dataclass(frozen=True)
class RateScore(AnomalyScore):
    """KL(q(z|x) || p(z)), of a hierarchy that of all groups, in nats: how much has to be said of an image.

    Attributes:
        num_samples: latents of each image, where there is no closed form; None is as many as in training.

    Raises:
        ValueError: a num_samples below 1.
    """

    label: ClassVar[str] = "rate"
    unit: ClassVar[str] = "nats"
    num_samples: int | None = None

    def __post_init__(self) -> None:
        require_at_least("num_samples", 1 if self.num_samples is None else self.num_samples, 1)

    def __call__(self, batch: ScoredBatch) -> Float64[Tensor, " B"]:
        rate = batch.terms(self.num_samples).rate
        assert rate is not None
        return rate.double().cpu()
