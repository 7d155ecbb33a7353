"""How well a linear classifier tells each value of a factor from all others."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from vae_lightning.latents.factors.intervals import (
    Interval,
    Resample,
    Rows,
    generator_of,
    halves,
    over_resamples,
)
from vae_lightning.latents.factors.table import Factor, Factors, factor_table

_PURPOSE = 6


def explicitness(
    codes: np.ndarray,
    factors: Factors,
    *,
    names: Sequence[str] | None = None,
    num_resamples: int = 10,
    seed: int = 0,
) -> Interval:
    """How well each class of each factor is told from the others by all latents together, linearly.

        explicitness = 1/F sum_f mean over the classes k of f of 2 (AUC_fk - 1/2),  0 by chance

    AUC is the area under the ROC curve of a logistic regression (scikit-learn's, C = 1, standardized latents) of class
    k against the rest, trained on one half of the rows, on the other half; the halves share out each class evenly. A
    factor of numbers has the bins that they are cut into for classes. The middle values of a factor in order are not
    linearly separable from both sides: even the factor itself as a code has less than 1 then. Ridgeway & Mozer, arXiv
    1802.05312; code that has the AUC itself, as disentanglement_lib, gives (1 + explicitness) / 2.

    Args:
        codes: [n, D].
        factors: [n, F], or F columns [n] by name, as `factor_table` takes them.
        names: of the columns of an array.
        num_resamples: bootstrap resamples of the rows in each half, for the interval.
        seed: of halves and resamples.

    Raises:
        ArgumentError: codes or factors that `factor_table` refuses.
        ValueError: less than 2 resamples, or a seed below 0.
    """
    table, generator = factor_table(codes, factors, names), generator_of(seed, _PURPOSE)
    split = [halves(factor.classes, generator) for factor in table.factors]

    def score(latents: Float64[np.ndarray, "n D"], resample: Resample) -> Float64[np.ndarray, " 1"]:
        areas = [
            _mean_area(latents, factor, resample(train), resample(test))
            for factor, (train, test) in zip(table.factors, split, strict=True)
        ]
        return np.array([2 * np.mean(areas) - 1])

    return over_resamples(score, table.standardized, num_resamples, generator, lowest=-1)[0]


def _mean_area(latents: Float64[np.ndarray, "n D"], factor: Factor, train: Rows, test: Rows) -> float:
    """The mean AUC over the classes that some rows of either half have, and others have not; 1/2 without any."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    areas = []
    for number in range(factor.num_classes):
        is_it, is_there = factor.classes[train] == number, factor.classes[test] == number
        if 0 < is_it.sum() < len(is_it) and 0 < is_there.sum() < len(is_there):
            classifier = LogisticRegression(max_iter=1000).fit(latents[train], is_it)
            areas.append(roc_auc_score(is_there, classifier.decision_function(latents[test])))
    return float(np.mean(areas)) if areas else 0.5
