"""Scores of the mutual information between single latents and single factors: MIG and modularity."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from vae_lightning.latents.factors.intervals import Interval, generator_of, over_resamples
from vae_lightning.latents.factors.table import Factors, FactorTable, equal_bins, factor_table

_PURPOSE = 1
_MOST_VALUES = 100  # that a latent may have and keep them
_NUM_SHUFFLES = 20
_NOISE = 4  # standard deviations of what independence gives: what a latent must carry more than to have a modularity


class Information(NamedTuple):
    """What single latents tell of single factors, in nats.

    Attributes:
        mutual: I(z_d; v_f).
        entropy: H(v_f).
        noise: the standard deviation that the estimate of I has over samples of independent latents and factors.
    """

    mutual: Float64[np.ndarray, "D F"]
    entropy: Float64[np.ndarray, " F"]
    noise: Float64[np.ndarray, "D F"]


def mig(
    codes: np.ndarray,
    factors: Factors,
    *,
    names: Sequence[str] | None = None,
    num_resamples: int = 200,
    seed: int = 0,
) -> Interval:
    """The mutual information gap: of each factor, how much more its best latent tells than the second best.

        MIG = 1/F sum_f (I(z_best; v_f) - I(z_second; v_f)) / H(v_f),  each gap between 0 and 1

    The entropies in I(z; v) = H(z) + H(v) - H(z, v) are those of the counts with the correction of Miller and Madow,
    (m - 1) / 2n for m values that occur among n rows: a latent that is the factor has I = H(v) to the last bit, and an
    independent one 0 on average, to the first order in 1/n. What remains below 0 counts as 0. A latent of at most 100
    different values keeps them, and others are cut into 20 bins of equal width between the smallest and the largest.

    Of a single latent the second best is 0. The floor of the interval is of 20 shuffles. Chen, Li, Grosse & Duvenaud,
    arXiv 1802.04942; their own I is that of samples of q(z|x), this one that of the codes handed over, posterior means
    by custom.

    Args:
        codes: [n, D].
        factors: [n, F], or F columns [n] by name, as `factor_table` takes them.
        names: of the columns of an array.
        num_resamples: bootstrap resamples of the rows, for the interval.
        seed: of these.

    Raises:
        ArgumentError: codes or factors that `factor_table` refuses.
        ValueError: less than 2 resamples, or a seed below 0.
    """
    table = factor_table(codes, factors, names)
    cut, every = cut_codes(table.codes), np.arange(len(table))
    generator = generator_of(seed, _PURPOSE)
    return over_resamples(
        lambda latents, resample: np.array([gap(information(latents, table, resample(every)))]),
        cut,
        num_resamples,
        generator,
        num_shuffles=_NUM_SHUFFLES,
    )[0]


def modularity(
    codes: np.ndarray,
    factors: Factors,
    *,
    names: Sequence[str] | None = None,
    num_resamples: int = 200,
    seed: int = 0,
) -> Interval:
    """Whether each latent tells of one factor only.

        modularity = mean over latents d of 1 - sum_{f != best} I(z_d; v_f)^2 / ((F - 1) I(z_d; v_best)^2)

    with I as in `mig`, and v_best the factor that the latent tells most of. Latents that tell of none are left out: of
    all rows, the most that one tells must be above 4 standard deviations of what independent ones seem to tell. If all
    are left out it is 0. Ridgeway & Mozer, arXiv 1802.05312.

    Args:
        codes, factors, names, num_resamples, seed: as of `mig`, but of 2 factors at least.

    Raises:
        ArgumentError: codes or factors that `factor_table` refuses, or less than 2 factors.
        ValueError: less than 2 resamples, or a seed below 0.
    """
    table = factor_table(codes, factors, names, least_factors=2)
    cut, every = cut_codes(table.codes), np.arange(len(table))
    tells = telling(information(cut, table, every))
    generator = generator_of(seed, _PURPOSE)
    return over_resamples(
        lambda latents, resample: np.array([one_factor_each(information(latents, table, resample(every)).mutual)]),
        cut[:, tells],
        num_resamples,
        generator,
    )[0]


def shares_told(
    codes: np.ndarray, factors: Factors, *, names: Sequence[str] | None = None
) -> dict[str, Float64[np.ndarray, " D"]]:
    """What part of each factor each latent tells by itself: I(z_d; v_f) / H(v_f), with I and H as in `mig`.

    Args:
        codes, factors, names: as of `mig`.

    Returns:
        of each factor by name the parts, in the order of the latents.

    Raises:
        ArgumentError: codes or factors that `factor_table` refuses.
    """
    table = factor_table(codes, factors, names)
    told = information(cut_codes(table.codes), table, np.arange(len(table)))
    shares = np.empty_like(told.mutual)
    shares[table.latents] = (told.mutual / told.entropy).clip(0, 1)
    return {factor.name: shares[:, number] for number, factor in enumerate(table.factors)}


def cut_codes(codes: Float64[np.ndarray, "n D"]) -> Int64[np.ndarray, "n D"]:
    """The number of each latent's value among its different ones, or of the bin that it lies in."""
    return np.stack([_cut(latent) for latent in codes.T], 1)


def information(cut: Int64[np.ndarray, "n D"], table: FactorTable, rows: Int64[np.ndarray, " m"]) -> Information:
    """What the latents of these rows, numbered as `cut_codes` does, tell of the factors."""
    latents = [np.ascontiguousarray(latent) for latent in cut[rows].T]
    factors = [factor.classes[rows] for factor in table.factors]
    of_latents = [_entropy(latent) for latent in latents]
    of_factors = [_entropy(classes) for classes in factors]
    mutual = np.zeros((len(latents), len(factors)))
    noise = np.zeros_like(mutual)
    for d, (latent, (nats, values)) in enumerate(zip(latents, of_latents, strict=True)):
        for f, (classes, (of_factor, count)) in enumerate(zip(factors, of_factors, strict=True)):
            joint, _ = _entropy(latent * table.factors[f].num_classes + classes)
            mutual[d, f] = max(nats + of_factor - joint, 0.0)
            noise[d, f] = (2 * (values - 1) * (count - 1)) ** 0.5 / (2 * len(rows))
    return Information(mutual, np.array([nats for nats, _ in of_factors]), noise)


def gap(told: Information) -> float:
    """The mean gap between the two latents that tell most of each factor, over the factors that vary."""
    ordered = np.sort(np.vstack([told.mutual, np.zeros_like(told.entropy)]), 0)
    varies = told.entropy > 0
    gaps = (ordered[-1] - ordered[-2])[varies] / told.entropy[varies]
    return float(gaps.clip(0, 1).mean())


def telling(told: Information) -> Bool[np.ndarray, " D"]:
    """The latents that tell of some factor more than noise would."""
    return np.asarray((told.mutual > _NOISE * told.noise).any(1))


def one_factor_each(mutual: Float64[np.ndarray, "D F"]) -> float:
    """The mean modularity of latents that tell so much of each factor; 0 where none tells anything."""
    most = mutual.max(1, initial=0)
    shares = np.square(mutual[most > 0] / most[most > 0, None])
    return float(np.mean(1 - (shares.sum(1) - 1) / (mutual.shape[1] - 1))) if len(shares) else 0.0


def _cut(latent: Float64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    values, numbers = np.unique(latent, return_inverse=True)
    return numbers.astype(np.int64) if len(values) <= _MOST_VALUES else equal_bins(latent)


def _entropy(numbers: Int64[np.ndarray, " n"]) -> tuple[float, int]:
    """In nats with the correction of Miller and Madow, and how many different numbers there are.

    The counts are sorted, so that it is the same to the last bit however the values are numbered.
    """
    counts = np.bincount(numbers)
    counts = np.sort(counts[counts > 0])
    shares = counts / len(numbers)
    return float(-(shares * np.log(shares)).sum() + (len(counts) - 1) / (2 * len(numbers))), len(counts)
