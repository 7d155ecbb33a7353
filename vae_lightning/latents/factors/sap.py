"""The gap between the two latents that predict a factor best on their own."""

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

_PURPOSE = 5
_NUM_SHUFFLES = 3


def sap(
    codes: np.ndarray,
    factors: Factors,
    *,
    names: Sequence[str] | None = None,
    num_resamples: int = 20,
    seed: int = 0,
) -> Interval:
    """The separated attribute predictability: how much better one latent predicts a factor than the second best.

        SAP = 1/F sum_f (S_best,f - S_second,f)

    S_df of a factor of K classes is the balanced accuracy by which thresholds on latent d alone tell them, rescaled so
    that chance, 1 / K, is 0 and perfection 1; what is below chance is 0. The thresholds are those of a decision tree of
    K leaves at most (scikit-learn's, classes of equal weight), trained on one half of the rows and tested on the other;
    the halves share out each class evenly. S_df of a factor of numbers is the squared correlation with the latent over
    all rows. Of a single latent the second best is 0. The floor of the interval is of 3 shuffles. Kumar, Sattigeri &
    Balakrishnan, arXiv 1711.00848, who have a linear support vector machine in place of the tree, which can't tell the
    middle classes of an ordered factor.

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
        gaps = []
        for factor, (train, test) in zip(table.factors, split, strict=True):
            rows = resample(train), resample(test)
            told = [_told_by(latent[:, None], factor, *rows) for latent in latents.T]
            best, second = sorted([*told, 0.0], reverse=True)[:2]
            gaps.append(best - second)
        return np.array([np.mean(gaps)])

    return over_resamples(score, table.standardized, num_resamples, generator, num_shuffles=_NUM_SHUFFLES)[0]


def _told_by(latent: Float64[np.ndarray, "n 1"], factor: Factor, train: Rows, test: Rows) -> float:
    """How well one latent predicts a factor, from 0 to 1."""
    if factor.numbers is not None:
        every = np.concatenate([train, test])
        return _squared_correlation(latent[every, 0], factor.numbers[every])
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_leaf_nodes=factor.num_classes, class_weight="balanced", random_state=0)
    tree.fit(latent[train], factor.classes[train])
    correct, classes = tree.predict(latent[test]) == factor.classes[test], factor.classes[test]
    there = np.bincount(classes, minlength=factor.num_classes)
    right = np.bincount(classes, correct, factor.num_classes)
    accuracy, chance = (right[there > 0] / there[there > 0]).mean(), 1 / factor.num_classes
    return max(float(accuracy - chance) / (1 - chance), 0.0)


def _squared_correlation(one: Float64[np.ndarray, " n"], other: Float64[np.ndarray, " n"]) -> float:
    """0 where one of them is the same everywhere."""
    one, other = one - one.mean(), other - other.mean()
    spread = (one @ one) * (other @ other)
    return float((one @ other) ** 2 / spread) if spread > 0 else 0.0
