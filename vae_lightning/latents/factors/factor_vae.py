"""The score of the FactorVAE paper: which factor is fixed, told from the latent that varies least."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from vae_lightning.latents.factors.intervals import Interval, Resample, generator_of, over_resamples
from vae_lightning.latents.factors.table import Factors, factor_table
from vae_lightning.latents.factors.votes import NUM_TEST, NUM_TRAIN, Sharing, parts, sharing

_PURPOSE = 3


def factor_vae_score(
    codes: np.ndarray,
    factors: Factors,
    *,
    names: Sequence[str] | None = None,
    active: float = 0.01,
    num_resamples: int = 20,
    seed: int = 0,
) -> Interval:
    """How often the latent that varies least tells which factor is fixed; chance is 1 / F.

    A vote takes a factor at random and 64 images that share a value of it, and is for the latent whose variance over
    these images, divided by that over all, is smallest. Each latent stands for the factor that most of its votes came
    from, of 10,000 votes of one half of the rows, and the score is how many of 5,000 votes of the other half it tells
    rightly; a latent without votes in the first half tells none. Images are drawn, with replacement, among the rows
    that are there, their value is that of a row drawn at random, and one that only one row of a half has is not drawn.
    Latents that are not active take no part; where none is, the score is that of chance. Kim & Mnih, arXiv 1802.05983.

    Args:
        codes: [n, D].
        factors: [n, F] of 2 factors at least, or F columns [n] by name, as `factor_table` takes them.
        names: of the columns of an array.
        active: the variance above which a latent takes part, in squared units of the codes.
        num_resamples: bootstrap resamples of the rows in each half, for the interval, each with votes of its own.
        seed: of all that is drawn.

    Raises:
        ArgumentError: codes or factors that `factor_table` refuses, or less than 2 factors.
        ValueError: less than 2 resamples, or a seed below 0.
    """
    table, generator = factor_table(codes, factors, names, least_factors=2), generator_of(seed, _PURPOSE)
    active_ones = table.standardized[:, table.codes.var(0) > active]
    if active_ones.shape[1] == 0:
        chance = 1 / len(table.factors)
        return Interval(chance, 0.0, chance, chance)
    train, test = np.array_split(generator.permutation(len(table)), 2)

    def score(latents: Float64[np.ndarray, "n D"], resample: Resample) -> Float64[np.ndarray, " 1"]:
        halves = (sharing(table, resample(train)), NUM_TRAIN), (sharing(table, resample(test)), NUM_TEST)
        return np.array([_accuracy(*(_votes(latents, each, num, generator) for each, num in halves))])

    return over_resamples(score, active_ones, num_resamples, generator)[0]


def _votes(
    latents: Float64[np.ndarray, "n D"], of_factors: list[Sharing], num: int, generator: np.random.Generator
) -> Int64[np.ndarray, "D F"]:
    """How many votes each latent has got from each factor."""
    counts = np.bincount(generator.integers(len(of_factors), size=num), minlength=len(of_factors))
    votes = np.zeros((latents.shape[1], len(of_factors)), np.int64)
    for number, (each, count) in enumerate(zip(of_factors, counts, strict=True)):
        for part in parts(int(count), latents.shape[1]):
            least = latents[each.batches(part, generator)].var(1).argmin(1)
            votes[:, number] += np.bincount(least, minlength=len(votes))
    return votes


def _accuracy(train: Int64[np.ndarray, "D F"], test: Int64[np.ndarray, "D F"]) -> float:
    told = train.argmax(1)
    right = np.where(train.max(1) > 0, test[np.arange(len(test)), told], 0)
    return float(right.sum() / test.sum())
