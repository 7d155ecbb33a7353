"""How well a score tells bad images from good ones."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

_NUM_RESAMPLES, _FEWEST_RESAMPLES = 1000, 100
_WORK = 10_000_000  # images that all resamples together may have
_SHARE = 0.95


class Estimate(NamedTuple):
    """A number with the ends of its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Detection:
    """Of one score on good and bad images.

    Attributes:
        auroc: the chance that a bad image is stranger than a good one; 0.5 is guessing.
        average_precision: of the images down to each bad one, worst first, the fraction that are bad, on average; the
            fraction of bad images among all is guessing.
        num_good, num_bad: images.
    """

    auroc: Estimate
    average_precision: Estimate
    num_good: int
    num_bad: int


def detection(strangeness: Float64[np.ndarray, " N"], is_bad: Bool[np.ndarray, " N"], seed: int = 0) -> Detection:
    """AUROC and average precision, as scikit-learn defines them, with intervals by the bootstrap.

    The intervals hold 95% of 1,000 resamples of the good images and of the bad ones, each of as many as there are; of
    more than 10,000 images there are fewer resamples, of more than 100,000 there are 100. Where every bad image is
    stranger than every good one no resample differs, and the interval says nothing of how few they are.

    Args:
        strangeness: the higher, the stranger.
        is_bad: which images are.
        seed: of the resamples.

    Raises:
        ValueError: no good image, or no bad one, or a value that is no number.
    """
    good, bad = strangeness[~is_bad], strangeness[is_bad]
    if not len(good) or not len(bad):
        raise ValueError(f"{len(good):,} good images and {len(bad):,} bad ones: both take one at least")
    if np.isnan(strangeness).any():
        raise ValueError("a value that is no number")
    generator, count = np.random.default_rng(seed), max(_FEWEST_RESAMPLES, min(_NUM_RESAMPLES, _WORK // len(is_bad)))
    resampled = [told_apart(*(generator.choice(part, len(part)) for part in (good, bad))) for _ in range(count)]
    low, high = np.quantile(resampled, [(1 - _SHARE) / 2, (1 + _SHARE) / 2], axis=0).tolist()
    value = told_apart(good, bad)
    roc, precision = (Estimate(*ends) for ends in zip(value, low, high, strict=True))
    return Detection(roc, precision, len(good), len(bad))


def told_apart(good: Float64[np.ndarray, " G"], bad: Float64[np.ndarray, " B"]) -> tuple[float, float]:
    """AUROC and average precision of the strangeness of good and of bad images; equal values count half."""
    values, is_bad = np.concatenate([good, bad]), np.repeat([False, True], [len(good), len(bad)])
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(values) - 1)  # of equal ones the last
    found = np.cumsum(is_bad[order])[ends]
    false = 1 + ends - found
    gained = np.diff(found, prepend=0)
    middle = found - gained / 2
    area = (middle * np.diff(false, prepend=0)).sum() / (len(good) * len(bad))
    return float(area), float((gained * found / (ends + 1)).sum() / len(bad))
