"""All scores of disentanglement at once."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vae_lightning.latents.factors.beta_vae import beta_vae_score
from vae_lightning.latents.factors.dci import dci
from vae_lightning.latents.factors.explicitness import explicitness
from vae_lightning.latents.factors.factor_vae import factor_vae_score
from vae_lightning.latents.factors.intervals import Interval
from vae_lightning.latents.factors.mutual_information import mig, modularity
from vae_lightning.latents.factors.sap import sap
from vae_lightning.latents.factors.table import Factors


def disentanglement(
    codes: np.ndarray,
    factors: Factors,
    *,
    names: Sequence[str] | None = None,
    num_resamples: int | None = None,
    seed: int = 0,
) -> dict[str, Interval]:
    """All scores by name: `beta_vae_score`, `factor_vae_score`, `mig`, `dci_disentanglement`, `dci_completeness`,
    `dci_informativeness`, `sap`, `modularity` and `explicitness`, each as the function of that name has it.

    Args:
        codes: [n, D].
        factors: [n, F] of 2 factors at least, or F columns [n] by name, as `factor_table` takes them.
        names: of the columns of an array.
        num_resamples: of every score; None for each one's own.
        seed: of all that is drawn.

    Raises:
        ArgumentError: codes or factors that `factor_table` refuses, or less than 2 factors.
        ValueError: less than 2 resamples, or a seed below 0.
    """
    return dict(one_by_one(codes, factors, names=names, num_resamples=num_resamples, seed=seed))


def one_by_one(
    codes: np.ndarray,
    factors: Factors,
    *,
    names: Sequence[str] | None = None,
    num_resamples: int | None = None,
    seed: int = 0,
) -> Iterator[tuple[str, Interval]]:
    """What `disentanglement` gives, each as soon as it is computed."""
    options: dict[str, Any] = {"names": names, "seed": seed}
    options |= {} if num_resamples is None else {"num_resamples": num_resamples}
    yield "beta_vae_score", beta_vae_score(codes, factors, **options)
    yield "factor_vae_score", factor_vae_score(codes, factors, **options)
    yield "mig", mig(codes, factors, **options)
    for name, found in dci(codes, factors, **options)._asdict().items():
        yield f"dci_{name}", found
    yield "sap", sap(codes, factors, **options)
    yield "modularity", modularity(codes, factors, **options)
    yield "explicitness", explicitness(codes, factors, **options)
