"""The error of the reconstruction as a score."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float64
from torch import Tensor

from vae_lightning.runs.trained import TrainedRun
from vae_lightning.scores.score import AnomalyScore, ScoredBatch


@dataclass(frozen=True)
class ReconstructionScore(AnomalyScore):
    """The mean squared difference of an image and the mean image at its posterior's mean, pixels in [0, 1]."""

    label: ClassVar[str] = "reconstruction error"
    unit: ClassVar[str] = "per pixel"
    digits: ClassVar[int] = 5

    def why_not(self, run: TrainedRun) -> str | None:
        return None

    def __call__(self, batch: ScoredBatch) -> Float64[Tensor, " B"]:
        return (batch.made - batch.x).square().mean((1, 2, 3)).double().cpu()
