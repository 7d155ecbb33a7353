"""How well a score tells bad images from good ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

_NUM_RESAMPLES, _FEWEST_RESAMPLES = 1000, 100
_WORK = 2_000_000  # images that all resamples together may have
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
    """AUROC and average precision (scikit-learn) with intervals by the bootstrap.

    The intervals hold 95% of 1,000 resamples of the good images and of the bad ones, each of as many as there are; of
    more than 2,000 images there are fewer resamples, of more than 20,000 there are 100.

    Args:
        strangeness: the higher, the stranger.
        is_bad: which images are.
        seed: of the resamples.

    Raises:
        ValueError: no good image, or no bad one, or a value that is no number.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    good, bad = strangeness[~is_bad], strangeness[is_bad]
    if not len(good) or not len(bad):
        raise ValueError(f"{len(good):,} good images and {len(bad):,} bad ones: both take one at least")
    if np.isnan(strangeness).any():
        raise ValueError("a value that is no number")
    roc, precision = (_estimates(measure, good, bad, seed) for measure in (roc_auc_score, average_precision_score))
    return Detection(roc, precision, len(good), len(bad))


def _estimates(
    measure: Callable[..., float], good: Float64[np.ndarray, " G"], bad: Float64[np.ndarray, " B"], seed: int
) -> Estimate:
    generator, truth = np.random.default_rng(seed), np.repeat([0, 1], [len(good), len(bad)])
    count = max(_FEWEST_RESAMPLES, min(_NUM_RESAMPLES, _WORK // len(truth)))
    resampled = [
        measure(truth, np.concatenate([generator.choice(part, len(part)) for part in (good, bad)]))
        for _ in range(count)
    ]
    low, high = np.quantile(resampled, [(1 - _SHARE) / 2, (1 + _SHARE) / 2])
    return Estimate(float(measure(truth, np.concatenate([good, bad]))), float(low), float(high))
