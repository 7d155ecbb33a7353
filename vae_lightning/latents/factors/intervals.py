"""A score, and how far it can be trusted: the spread over resampled images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from vae_lightning.errors import require_at_least

_WIDTH = 1.96  # standard errors to either side: 95% of a normal distribution

Rows = Int64[np.ndarray, " _"]
Resample = Callable[[Rows], Rows]
Score = Callable[[np.ndarray, Resample], Float64[np.ndarray, " S"]]


def _all(rows: Rows) -> Rows:
    return rows


@dataclass(frozen=True)
class Interval:
    """A score with its standard error and a 95% interval, over images of one model: other seeds are not in it.

        low  = value - floor - 1.96 stderr
        high = value + 1.96 stderr,  both cut to the range of the score

    A score that takes the best of several latents, or measures how unlike they are, is raised by noise alone. Its
    floor is what it comes to when the codes are shuffled among the images, so that they tell nothing: 0 is in the
    interval of such a code. Other scores have the floor 0.

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


def interval(value: float, resampled: Float64[np.ndarray, " R"], floor: float = 0.0, lowest: float = 0.0) -> Interval:
    """The interval of a score between `lowest` and 1 whose R resamples had these values."""
    stderr = float(resampled.std(ddof=1))
    low, high = value - floor - _WIDTH * stderr, value + _WIDTH * stderr
    return Interval(value, stderr, max(low, lowest), min(high, 1.0))


def over_resamples(
    score: Score,
    latents: np.ndarray,
    num_resamples: int,
    generator: np.random.Generator,
    *,
    num_shuffles: int = 0,
    raised: Sequence[bool] = (True,),
    lowest: float = 0.0,
) -> list[Interval]:
    """Each of S scores with its interval.

    Args:
        score: computes them of latents [n, D], from the rows that what it is given leaves of each set of rows that it
            asks about: all of them, and then as many, drawn with replacement.
        latents: the codes, as the score takes them.
        num_resamples: of the rows, for the standard error.
        generator: of all these draws.
        num_shuffles: of the latents among the rows, whose mean is the floor; none for scores without one.
        raised: by noise, for each score: it has a floor.
        lowest: the scores' lowest value.

    Raises:
        ValueError: less than 2 resamples.
    """
    require_at_least("num_resamples", num_resamples, 2)
    values = score(latents, _all)
    again = [
        score(latents, lambda rows: rows[generator.integers(len(rows), size=len(rows))]) for _ in range(num_resamples)
    ]
    shuffled = [score(generator.permutation(latents), _all) for _ in range(num_shuffles)]
    floors = np.where(raised, np.mean(shuffled, 0), 0.0) if shuffled else np.zeros_like(values)
    columns = zip(values.tolist(), np.stack(again, 1), floors.tolist(), strict=True)
    return [interval(value, resampled, floor, lowest) for value, resampled, floor in columns]


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
