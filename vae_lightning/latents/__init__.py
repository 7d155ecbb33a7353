"""The mathematics of codes: encoding, units, the aggregated posterior, paths, projections, neighbours, known factors.

The names below are scores of disentanglement, for NumPy arrays from anywhere: each is imported when it is first used,
and none needs PyTorch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_lightning.latents.factors.beta_vae import beta_vae_score
    from vae_lightning.latents.factors.dci import DCI, dci
    from vae_lightning.latents.factors.explicitness import explicitness
    from vae_lightning.latents.factors.factor_vae import factor_vae_score
    from vae_lightning.latents.factors.intervals import Interval
    from vae_lightning.latents.factors.mutual_information import mig, modularity, shares_told
    from vae_lightning.latents.factors.sap import sap
    from vae_lightning.latents.factors.together import disentanglement

_HOMES = {
    "DCI": "dci",
    "Interval": "intervals",
    "beta_vae_score": "beta_vae",
    "dci": "dci",
    "disentanglement": "together",
    "explicitness": "explicitness",
    "factor_vae_score": "factor_vae",
    "mig": "mutual_information",
    "modularity": "mutual_information",
    "sap": "sap",
    "shares_told": "mutual_information",
}

__all__ = [
    "DCI",
    "Interval",
    "beta_vae_score",
    "dci",
    "disentanglement",
    "explicitness",
    "factor_vae_score",
    "mig",
    "modularity",
    "sap",
    "shares_told",
]


if not TYPE_CHECKING:  # which would take any name for one of these

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = getattr(import_module(f"{__name__}.factors.{_HOMES[name]}"), name)
        globals()[name] = found  # found at once from then on
        return found
