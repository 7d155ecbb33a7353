"""A score, and how far it can be trusted: the spread over resampled images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from vae_lightning.errors import require_at_least

_WIDTH = 1.96  # standard errors to either side: 95% of a normal distribution

Rows = Int64[np.ndarray, " _"]
Resample = Callable[[Rows], Rows]


@dataclass(frozen=True)
class Interval:
    """A score with its standard error and a 95% interval, over images of one model: other seeds are not in it.

    A score that takes the best of several latents is raised by noise alone, and one that trains a predictor lowered by
    too few images. Resamples show the same shift once more. So the interval holds both the value and the value less
    that shift:

        bias = mean of the resamples - value
        low  = min(value, value - bias) - 1.96 stderr
        high = max(value, value - bias) + 1.96 stderr,  both cut to the range of the score

    Attributes:
        value: the score of all images.
        stderr: the standard deviation of the score over bootstrap resamples of the images.
        low, high: the interval.
    """

    value: float
    stderr: float
    low: float
    high: float

    def __float__(self) -> float:
        return self.value


def interval(value: float, resampled: Float64[np.ndarray, " R"], lowest: float = 0.0) -> Interval:
    """The interval of a score between `lowest` and 1 whose R resamples had these values."""
    stderr, shifted = float(resampled.std(ddof=1)), 2 * value - float(resampled.mean())
    low, high = min(value, shifted) - _WIDTH * stderr, max(value, shifted) + _WIDTH * stderr
    return Interval(value, stderr, max(low, lowest), min(high, 1.0))


def over_resamples(
    score: Callable[[Resample], Float64[np.ndarray, " S"]],
    num_resamples: int,
    generator: np.random.Generator,
    lowest: float = 0.0,
) -> list[Interval]:
    """Each of S scores with its interval.

    Args:
        score: computes them of the rows that what it is given leaves of each set of rows that it asks about: all of
            them, and then as many, drawn with replacement.
        num_resamples: how often it does so.
        generator: of these draws.
        lowest: the scores' lowest value.

    Raises:
        ValueError: less than 2 resamples.
    """
    require_at_least("num_resamples", num_resamples, 2)
    values = score(lambda rows: rows)
    again = np.stack(
        [score(lambda rows: rows[generator.integers(len(rows), size=len(rows))]) for _ in range(num_resamples)]
    )
    return [interval(float(value), column, lowest) for value, column in zip(values, again.T, strict=True)]


def generator_of(seed: int, purpose: int) -> np.random.Generator:
    """A score's own draws; NumPy's global generator is neither read nor moved.

    Raises:
        ValueError: a seed below 0.
    """
    require_at_least("seed", seed, 0)
    return np.random.default_rng([seed, purpose])


def halves(classes: Int64[np.ndarray, " n"], generator: np.random.Generator) -> tuple[Rows, Rows]:
    """The rows to train a predictor on and those to test it on: half of each class in either."""
    order = generator.permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]
    return order[::2], order[1::2]
