"""What a metric is, and what it returns."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from vae_lightning.likelihood.means import ExactMeans
from vae_lightning.metrics.subject import Subject
from vae_lightning.runs.records import NATS
from vae_lightning.runs.tested_images import ImageRows


@dataclass(frozen=True)
class Figure:
    """One number, or one for each latent dimension, or the reason why there is none.

    Attributes:
        value: None where there is a reason instead.
        stderr: its standard error; None where it has none.
        label: in the table that is printed; empty keeps it out of there.
        unit: of the value, for the table.
        digits: after the point, in the table.
        reason: why there is no value.
        interval: a 95% interval, where it is told besides the standard error.
    """

    value: float | list[float] | None
    stderr: float | list[float] | None = None
    label: str = ""
    unit: str = ""
    digits: int = 2
    reason: str | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Score:
    """The figures of one metric by name, and what they were computed from, such as `num_images`.

    Attributes:
        rows: what is kept of each image beside the means, where it is the ELBO.
    """

    figures: dict[str, Figure]
    facts: dict[str, Any] = field(default_factory=dict)
    rows: ImageRows | None = None


class Metric(ABC):
    """A part of the evaluation; its settings are its own attributes."""

    def check(self, subject: Subject) -> None:  # noqa: B027 (most have nothing to check)
        """Called of every metric before the first is computed: raises a UserError for what could only fail later."""

    @abstractmethod
    def __call__(self, subject: Subject) -> Score:
        """Called on every rank, and returns the same on each."""


def mean_figure(values: Float[Tensor, " N"], label: str, unit: str = NATS, digits: int = 2) -> Figure:
    """The mean of per-image values with its standard error."""
    means = ExactMeans()
    means.update({label: values})
    mean = means.compute()[label]
    return Figure(mean.value, mean.stderr, label, unit, digits)
