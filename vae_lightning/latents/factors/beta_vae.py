"""The score of the beta-VAE paper: which factor two images share, told from how far apart their codes are."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from vae_lightning.latents.factors.intervals import Interval, Resample, generator_of, over_resamples
from vae_lightning.latents.factors.table import Factors, factor_table
from vae_lightning.latents.factors.votes import NUM_TEST, NUM_TRAIN, Sharing, parts, sharing

_PURPOSE = 2


def beta_vae_score(
    codes: np.ndarray,
    factors: Factors,
    *,
    names: Sequence[str] | None = None,
    num_resamples: int = 20,
    seed: int = 0,
) -> Interval:
    """How often a linear classifier tells which factor is shared by pairs of images; chance is 1 / F.

    A vote takes a factor at random and 64 pairs of images, the two of each pair with the same value of that factor. The
    classifier, a logistic regression (scikit-learn's, C = 1) on standardized inputs, is given the mean of |z1 - z2|
    over the pairs, [D], and has to tell the factor. It is trained on 10,000 votes of one half of the rows, and
    the score is its accuracy on 5,000 of the other half. Pairs are drawn among the rows that are there: two different
    ones, whose value is that of a row drawn at random. A value that only one row of a half has is not drawn. Higgins et
    al., beta-VAE: Learning basic visual concepts with a constrained variational framework, 2017.

    Args:
        codes: [n, D].
        factors: [n, F] of 2 factors at least, or F columns [n] by name, as `factor_table` takes them.
        names: of the columns of an array.
        num_resamples: bootstrap resamples of the rows in each half, for the interval, each with votes of its own.
        seed: of all that is drawn.

    Raises:
        ArgumentError: codes or factors that `factor_table` refuses, or less than 2 factors.
        ValueError: less than 2 resamples, or a seed below 0.
    """
    table, generator = factor_table(codes, factors, names, least_factors=2), generator_of(seed, _PURPOSE)
    train, test = np.array_split(generator.permutation(len(table)), 2)

    def score(latents: Float64[np.ndarray, "n D"], resample: Resample) -> Float64[np.ndarray, " 1"]:
        of_train, of_test = (sharing(table, resample(rows)) for rows in (train, test))
        return np.array([_accuracy(latents, of_train, of_test, generator)])

    return over_resamples(score, table.codes, num_resamples, generator)[0]


def _accuracy(
    latents: Float64[np.ndarray, "n D"], train: list[Sharing], test: list[Sharing], generator: np.random.Generator
) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(*_votes(latents, train, NUM_TRAIN, generator))
    differences, shared = _votes(latents, test, NUM_TEST, generator)
    return float(np.mean(classifier.predict(differences) == shared))


def _votes(
    latents: Float64[np.ndarray, "n D"], of_factors: list[Sharing], num: int, generator: np.random.Generator
) -> tuple[Float64[np.ndarray, "N D"], Int64[np.ndarray, " N"]]:
    """The mean distances of the pairs of each vote, and the number of the factor that they share."""
    counts = np.bincount(generator.integers(len(of_factors), size=num), minlength=len(of_factors))
    distances = []
    for each, count in zip(of_factors, counts, strict=True):
        for part in parts(int(count), latents.shape[1]):
            one, other = each.pairs(part, generator)
            distances.append(np.abs(latents[one] - latents[other]).mean(1))
    return np.concatenate(distances), np.repeat(np.arange(len(counts)), counts)
