"""Disentanglement, completeness and informativeness: which latents predict which factors, and how well."""

from collections.abc import Sequence
from typing import Any, NamedTuple

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

_PURPOSE = 4
_NUM_TREES = 10
_NUM_SHUFFLES = 3


class DCI(NamedTuple):
    """The three scores of `dci`."""

    disentanglement: Interval
    completeness: Interval
    informativeness: Interval


def dci(
    codes: np.ndarray,
    factors: Factors,
    *,
    names: Sequence[str] | None = None,
    num_resamples: int = 10,
    seed: int = 0,
) -> DCI:
    """Whether each latent predicts one factor, each factor is predicted from one latent, and how well by all.

    For each factor a random forest (scikit-learn's, 10 trees of any depth that consider all latents at each split) is
    trained on one half of the rows. R_df is the importance that it gives latent d, the impurity that its splits remove:

        disentanglement = sum_d r_d (1 - H_F(R_d / sum_f R_df)),  r_d = sum_f R_df / sum_df R_df
        completeness    = 1/F sum_f (1 - H_D(R_f / sum_d R_df))
        informativeness = the mean over factors of the accuracy on the other half, or R^2 >= 0 of a factor of numbers

    H_F and H_D are entropies with the logarithm to the base F and D: those of all factors and all latents, idle ones
    too. The halves share out each class of a factor evenly. A factor whose forest makes no split has the completeness
    0, and of a single latent completeness is 1. The floor of the first two intervals is of 3 shuffles. Eastwood &
    Williams, A framework for the quantitative evaluation of disentangled representations, 2018, who have the error in
    place of the accuracy.

    Args:
        codes: [n, D].
        factors: [n, F] of 2 factors at least, or F columns [n] by name, as `factor_table` takes them.
        names: of the columns of an array.
        num_resamples: bootstrap resamples of the rows in each half, for the intervals, with forests of their own.
        seed: of halves, resamples and forests.

    Raises:
        ArgumentError: codes or factors that `factor_table` refuses, or less than 2 factors.
        ValueError: less than 2 resamples, or a seed below 0.
    """
    table, generator = factor_table(codes, factors, names, least_factors=2), generator_of(seed, _PURPOSE)
    split = [halves(factor.classes, generator) for factor in table.factors]

    def score(latents: Float64[np.ndarray, "n D"], resample: Resample) -> Float64[np.ndarray, " 3"]:
        random_state = int(generator.integers(2**31))
        told = [
            _predicted(latents, factor, resample(train), resample(test), random_state)
            for factor, (train, test) in zip(table.factors, split, strict=True)
        ]
        importances = np.stack([importance for importance, _ in told], 1)
        correct = float(np.mean([part for _, part in told]))
        return np.array([disentanglement_of(importances), completeness_of(importances), correct])

    by_noise: dict[str, Any] = {"num_shuffles": _NUM_SHUFFLES, "raised": (True, True, False)}
    return DCI(*over_resamples(score, table.standardized, num_resamples, generator, **by_noise))


def disentanglement_of(importances: Float64[np.ndarray, "D F"]) -> float:
    """How far each latent is important for one factor only, weighed by its importance; 0 where none has any."""
    weights = importances.sum(1)
    if not weights.any():
        return 0.0
    used = weights > 0
    return float(np.average(_one_only(importances[used]), weights=weights[used]))


def completeness_of(importances: Float64[np.ndarray, "D F"]) -> float:
    """How far one latent only is important for each factor, on average; 0 of a factor for which none is."""
    found = importances.sum(0) > 0
    return float(_one_only(importances.T[found]).sum() / importances.shape[1])


def _one_only(importances: Float64[np.ndarray, "N M"]) -> Float64[np.ndarray, " N"]:
    """1 less the entropy of each row's shares, to the base M; 1 where there is one column."""
    if importances.shape[1] == 1:
        return np.ones(len(importances))
    shares = importances / importances.sum(1, keepdims=True)
    logarithms = np.log(np.where(shares > 0, shares, 1.0))
    return 1 + (shares * logarithms).sum(1) / np.log(importances.shape[1])


def _predicted(
    latents: Float64[np.ndarray, "n D"], factor: Factor, train: Rows, test: Rows, random_state: int
) -> tuple[Float64[np.ndarray, " D"], float]:
    """The importance of each latent in a forest, and its accuracy on other rows, or R^2."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    options = {"n_estimators": _NUM_TREES, "max_features": None, "random_state": random_state}
    is_number = factor.numbers is not None
    forest = RandomForestRegressor(**options) if is_number else RandomForestClassifier(**options)
    values = factor.classes if factor.numbers is None else factor.numbers
    forest.fit(latents[train], values[train])
    return forest.feature_importances_, max(float(forest.score(latents[test], values[test])), 0.0)
