"""What a score of strangeness is, and what it is computed from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from vae_lightning.data.loader import ImageBatch
from vae_lightning.drawing.png import to_uint8
from vae_lightning.latents.aggregated import NO_DENSITY
from vae_lightning.metrics.bounds import elbo_terms, samples_in_training
from vae_lightning.objectives.terms import Terms
from vae_lightning.runs.trained import TrainedRun


@dataclass(frozen=True)
class ScoredBatch:
    """Some images with what scores share of the work on them.

    Attributes:
        run: whose model looks at them, in evaluation mode.
        x: the images in [0, 1] on the model's device.
        indices: of the images among all that are scored, from which with the seed their noise follows.
        labels: of a model that is told labels, on its device.
        seed: of the noise, as `evaluation_seed` makes it.
    """

    run: TrainedRun
    x: Float[Tensor, "B C H W"]
    indices: Int64[Tensor, " B"]
    labels: Int64[Tensor, " B"] | None
    seed: int
    _terms: dict[int, Terms] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def images(self) -> UInt8[Tensor, "B C H W"]:
        """The images in 256 levels, on the CPU."""
        return to_uint8(self.x).cpu()

    @cached_property
    def made(self) -> Float[Tensor, "B C H W"]:
        """Their reconstructions at the posteriors' means, in [0, 1]."""
        with torch.no_grad():
            return self.run.vae.reconstruct(self.x, self.labels)

    def terms(self, num_samples: int | None) -> Terms:
        """ELBO, rate and distortion by so many latents of each image; None is as many as in training."""
        count = samples_in_training(self.run) if num_samples is None else num_samples
        if count not in self._terms:
            batch = ImageBatch(self.x, self.indices, self.labels)
            self._terms[count] = elbo_terms(self.run.vae, batch, count, self.seed)
        return self._terms[count]

    def elbo(self, num_samples: int | None) -> Float64[Tensor, " B"]:
        """The ELBO of each image in nats, on the CPU."""
        elbo = self.terms(num_samples).elbo
        assert elbo is not None
        return elbo.double().cpu()


class AnomalyScore(ABC):
    """A number that says how strange an image is to a model.

    Attributes:
        label: for tables.
        unit: of the number.
        worse: whether strange images have high values or low ones.
        digits: after the point, in tables.
    """

    label: ClassVar[str]
    unit: ClassVar[str]
    worse: ClassVar[Literal["high", "low"]] = "high"
    digits: ClassVar[int] = 2

    def why_not(self, run: TrainedRun) -> str | None:
        """Why a model has no such score; None where it has one. Most want an ELBO."""
        return None if run.vae.has_density else NO_DENSITY

    def fitted(self, usual: Callable[[], Iterable[ScoredBatch]]) -> "AnomalyScore":
        """This score once it has seen the images that are usual, the run's validation images, if it has to.

        Args:
            usual: gives them, batch by batch; raises a UserError where the run's data are not there.
        """
        return self

    @property
    def learned(self) -> float | None:
        """What it has learned of usual images, for `with_learned`; None where it learns nothing."""
        return None

    def with_learned(self, learned: float) -> "AnomalyScore":
        """This score with what it has learned once."""
        return self

    @abstractmethod
    def __call__(self, batch: ScoredBatch) -> Float64[Tensor, " B"]:
        """The score of each image, on the CPU."""

    def strangeness(self, values: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
        """Values of this score such that the higher is the stranger."""
        return values if self.worse == "high" else -values
